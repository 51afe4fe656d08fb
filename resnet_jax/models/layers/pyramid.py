"""Spatial pyramid pooling of maps, or of regions of maps, to vectors of fixed length.

He et al. 2014, "Spatial Pyramid Pooling in Deep Convolutional Networks" (SPP-net).
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.layers import Layers
from resnet_jax.ops.pooling import max_along

Levels = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class SPP:
    """Maxima over n bins per axis, for every level n, concatenated.

    [b *hw c] -> [b c * sum(n^rank)]; bins in row-major order, channels last. Bins of an
    axis of `size` pixels, which may overlap:

    exact   [floor((i-1)/n size), ceil(i/n size)), for any size  (detection, appendix)
    window  ceil(size/n) pixels every floor(size/n), the layers of fixed-size training
            (Sec. 2.3); an error where that gives more than n windows, as 9 at level 6
            on 10 pixels. The released nets have 7/7 for level 2 on 13 pixels where the
            rule says 7/6.
    """

    levels: Levels = (1, 2, 3, 6)  # in the released nets' order; in the paper reversed
    bins: Literal["exact", "window"] = "exact"

    def __post_init__(self):
        if not self.levels or min(self.levels) < 1:
            raise ConfigError(
                f"model.levels={self.levels}: must be bins along an axis, e.g. "
                "(1, 2, 3, 6)"
            )

    def __call__(
        self, layers: Layers, x: Float[Array, "b *hw c"], *, name: str = "spp"
    ) -> Float[Array, "b features"]:
        return jnp.concatenate([self._level(x, n) for n in self.levels], axis=1)

    def _level(self, x, n):
        size = x.shape[1:-1]
        if n > min(size):
            raise ConfigError(
                f"model.levels={self.levels}: {n} bins per axis do not fit a map of "
                f"{'x'.join(map(str, size))}; take smaller levels, or larger images"
            )
        for axis in range(1, x.ndim - 1):  # the maximum over a box, axis by axis
            spans = self.spans(x.shape[axis], n)
            parts = [jax.lax.slice_in_dim(x, *span, axis=axis) for span in spans]
            x = jnp.concatenate([max_along(part, axis) for part in parts], axis)
        return x.reshape(x.shape[0], -1)

    def spans(self, size: int, n: int) -> list[tuple[int, int]]:
        """(start, stop) in pixels of each bin of an axis."""
        if self.bins == "exact":
            return [(i * size // n, -(-(i + 1) * size // n)) for i in range(n)]
        window, stride = -(-size // n), size // n
        count = (size - window) // stride + 1
        if count != n:
            raise ConfigError(
                f"bins='window': windows of {window} every {stride} on {size} pixels "
                f"are {count}, but level {n} wants {n}; use bins='exact'"
            )
        return [(i * stride, i * stride + window) for i in range(n)]


def regions(
    feature_map: Float[Array, "*hw c"],
    boxes: Int[Array, "r 2 rank"],
    *,
    levels: Levels = (1, 2, 3, 6),
) -> Float[Array, "r features"]:
    """Exact pyramid of every box of one map, for detection (Sec. 4).

    A box is its first and last cell on each axis, inclusive; it may be smaller than a
    level.
    """

    def pyramid(box):
        return jnp.concatenate([_binned(feature_map, box, n).ravel() for n in levels])

    return jax.vmap(pyramid)(boxes)


def _binned(x, box, n):
    """[*hw c] -> [n ... n c]; by masks, since boxes differ in size."""
    for axis in range(x.ndim - 1):
        (low, high), i = box[:, axis], jnp.arange(n)
        size = high - low + 1
        start, stop = low + i * size // n, low - (-(i + 1) * size // n)
        cells = jnp.arange(x.shape[axis])[None]
        inside = (start[:, None] <= cells) & (cells < stop[:, None])
        x = jnp.moveaxis(x, axis, 0)
        inside = inside.reshape(*inside.shape, *(1,) * (x.ndim - 1))
        x = jnp.where(inside, x[None], -jnp.inf).max(1)
        x = jnp.moveaxis(x, 0, axis)
    return x


def on_map(
    boxes: Int[Array, "r 2 rank"], *, stride: int, size: tuple[int, ...]
) -> Int[Array, "r 2 rank"]:
    """Map corners from pixels of an image to first and last cells of a map (appendix).

    floor(x/S) + 1 and ceil(x/S) - 1, S the product of strides: the receptive field of
    cell x' is centred at pixel S x', where every layer is padded by floor(kernel/2). As
    in the released code, an empty box gets its middle cell, and boxes are clipped.
    """
    low, high = boxes[:, 0] // stride + 1, -(-boxes[:, 1] // stride) - 1
    middle, empty = (low + high) // 2, low > high
    corners = [jnp.where(empty, middle, edge) for edge in (low, high)]
    last = jnp.asarray(size)[None] - 1
    return jnp.stack([jnp.clip(corner, 0, last) for corner in corners], axis=1)
