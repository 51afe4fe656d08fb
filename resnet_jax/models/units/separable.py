"""Branches of separable convolutions: depthwise k x k, then 1x1 (Chollet 2017)."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.layers import Layers, Steps


def separable_conv(
    layers: Layers,
    x: Float[Array, "b *hw c"],
    features: int,
    *,
    kernel: int,
    then: Steps = (),
    name: str,
) -> Float[Array, "b *hw features"]:
    """Depthwise k x k and pointwise 1x1 convolution, nothing between, then `then`."""
    x = layers.conv(
        x, x.shape[-1], kernel=kernel, groups=x.shape[-1], name=f"{name}_depthwise"
    )
    return layers.conv(x, features, kernel=1, then=then, name=f"{name}_pointwise")


def same_max_pool(
    layers: Layers, x: Float[Array, "b *hw c"], *, window: int, strides: int
) -> Float[Array, "b *hw2 c"]:
    """Max pool to ceil(size / strides), padded as TensorFlow's SAME.

    Of an odd number of padded points, the greater half is behind the map.
    """
    edges = []
    for size in x.shape[1:-1]:
        points = max(-(size // -strides) * strides - strides + window - size, 0)
        edges.append((points // 2, points - points // 2))
    x = jnp.pad(x, [(0, 0), *edges, (0, 0)], constant_values=-jnp.inf)
    return layers.max_pool(x, window=window, strides=strides)


@dataclasses.dataclass(frozen=True)
class SeparableConvs:
    """Separable convolutions with norm and activation between them, then a max pool.

    The pool subsamples, after the steps `end`; without strides there is none.
    """

    kernels: tuple[int, ...] = (3, 3)
    inner: tuple[int, ...] = ()  # widths of all but the last; (): as the unit's output
    window: int = 3  # of the pool

    def __post_init__(self):
        if self.inner and len(self.inner) != len(self.kernels) - 1:
            raise ConfigError(
                f"inner={self.inner}: needs a width for each but the last of "
                f"kernels={self.kernels}"
            )

    def __call__(
        self, layers: Layers, x: Array, features: int, strides: int, end: Steps
    ) -> Array:
        last = len(self.kernels) - 1
        widths = (*(self.inner or (features,) * last), features)
        for i, (kernel, width) in enumerate(zip(self.kernels, widths, strict=True)):
            then: Steps = end if i == last else ("norm", "act")
            x = separable_conv(
                layers, x, width, kernel=kernel, then=then, name=f"conv{i + 1}"
            )
        if strides == 1:
            return x
        return same_max_pool(layers, x, window=self.window, strides=strides)
