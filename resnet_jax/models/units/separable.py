"""Branches of separable convolutions: depthwise k x k, then 1x1 (Chollet 2017)."""

import dataclasses

from jaxtyping import Array, Float

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.layers import Layers, Steps
from resnet_jax.models.units.cut import chosen


def separable_conv(
    layers: Layers,
    x: Float[Array, "b *hw c"],
    features: int,
    *,
    kernel: int,
    strides: int = 1,
    then: Steps = (),
    name: str,
) -> Float[Array, "b *hw2 features"]:
    """Depthwise k x k and pointwise 1x1 convolution, nothing between, then `then`."""
    x = layers.conv(
        x, x.shape[-1], kernel=kernel, strides=strides, groups=x.shape[-1],
        name=f"{name}_depthwise",
    )  # fmt: skip
    return layers.conv(x, features, kernel=1, then=then, name=f"{name}_pointwise")


@dataclasses.dataclass(frozen=True)
class SeparableConvs:
    """Separable convolutions with norm and activation between them.

    What subsamples is a max pool after the steps `end`, or the first convolution.
    """

    kernels: tuple[int, ...] = (3, 3)
    inner: tuple[int, ...] | float = 1.0  # of all but the last: widths, or a share
    pool: int | None = 3  # window of the max pool; None: the first one has the strides

    def __post_init__(self):
        if isinstance(self.inner, tuple) and len(self.inner) != len(self.kernels) - 1:
            raise ConfigError(
                f"inner={self.inner}: needs a width for each but the last of "
                f"kernels={self.kernels}"
            )

    def __call__(
        self, layers: Layers, x: Array, features: int, strides: int, end: Steps
    ) -> Array:
        last, inner = len(self.kernels) - 1, self.inner
        if not isinstance(inner, tuple):
            inner = (round(inner * features),) * last
        widths = (*inner, features)
        for i, (kernel, width) in enumerate(zip(self.kernels, widths, strict=True)):
            x = separable_conv(
                layers, x, width, kernel=kernel,
                strides=strides if i == 0 and self.pool is None else 1,
                then=end if i == last else ("norm", "act"), name=f"conv{i + 1}",
            )  # fmt: skip
        if self.pool is None or strides == 1:
            return x
        return layers.same_max_pool(x, window=self.pool, strides=strides)


@dataclasses.dataclass(frozen=True)
class CutSeparableConvs(SeparableConvs):
    """Separable convolutions of a cut net, which read some channels of the map."""

    channels: tuple[int, ...] | None = None  # None: all

    def __call__(
        self, layers: Layers, x: Array, features: int, strides: int, end: Steps
    ) -> Array:
        x = chosen(x, self.channels)
        return super().__call__(layers, x, features, strides, end)


# Xception-50 (He et al. 2017, Sec. 4.3), the reading that has its complexity
XCEPTION_50 = SeparableConvs((3, 3, 3), inner=1 / 2, pool=None)
