"""Branches of cut nets: widths per convolution, and a choice of input channels."""

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.layers import Layers, Steps


@dataclasses.dataclass(frozen=True)
class Cut:
    """Convolutions of any widths, of which the first reads some channels.

    The others stay in the map that enters, as a shortcut reads them too: the "channel
    selection" of Liu et al. 2017, Sec. 3.3, the sampler of He et al. 2017, Sec. 3.3.
    """

    kernels: tuple[int, ...] = (3, 3)
    inner: tuple[int, ...] = ()  # widths of all convolutions but the last
    stride_at: int = 0  # index of the convolution that subsamples
    channels: tuple[int, ...] | None = None  # read by the first one; None: all

    def __post_init__(self):
        if len(self.inner) != len(self.kernels) - 1:
            raise ConfigError(
                f"inner={self.inner}: needs a width for each but the last of "
                f"kernels={self.kernels}"
            )
        if not 0 <= self.stride_at < len(self.kernels):
            raise ConfigError(
                f"stride_at={self.stride_at}: must index kernels={self.kernels}"
            )

    def __call__(
        self, layers: Layers, x: Array, features: int, strides: int, end: Steps
    ) -> Array:
        x, last = chosen(x, self.channels), len(self.kernels) - 1
        widths = (*self.inner, features)
        for i, (kernel, width) in enumerate(zip(self.kernels, widths, strict=True)):
            x = layers.conv(
                x, width, kernel=kernel, strides=strides if i == self.stride_at else 1,
                then=end if i == last else ("norm", "act"), name=f"conv{i + 1}",
            )  # fmt: skip
        return x


def chosen(x: Array, channels: Sequence[int] | None) -> Array:
    """Those channels of a map; of None all."""
    if channels is None:
        return x
    if not channels or not 0 <= min(channels) <= max(channels) < x.shape[-1]:
        raise ConfigError(
            f"channels={tuple(channels)}: must name some of the {x.shape[-1]} channels"
        )
    return jnp.take(x, jnp.asarray(channels), axis=-1)
