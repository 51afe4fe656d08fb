"""Pooling; on a CPU the gradient of the maximum by slices.

XLA:CPU makes a scatter of select-and-scatter, several times slower than the same sums
over slices (benchmarks/convolution.py). Other platforms get the plain gradient; the
choice is made when the program is lowered.
"""

import functools as ft
import itertools
from dataclasses import dataclass
from typing import cast

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from resnet_jax.ops.custom_gradient import custom_gradient

TAPS = 27  # of the largest window that is written out as slices: 3x3x3


@dataclass(frozen=True)
class Pool:
    """A window over the spatial axes, equal along each."""

    size: int
    stride: int
    padding: tuple[int, int]

    def edges(self, rank: int) -> tuple[tuple[int, int], ...]:
        return ((0, 0), *(self.padding,) * rank, (0, 0))


def max_pool(
    x: Float[Array, "b *spatial c"],
    *,
    window: int,
    strides: int,
    padding: tuple[int, int] = (0, 0),
) -> Float[Array, "b *out c"]:
    """Maximum over windows; of equal ones the first in the window gets the gradient.

    Reverse-mode derivatives only.
    """
    return _max_pool(Pool(window, strides, padding), x)


def max_along(x: Array, axis: int) -> Array:
    """Maximum along an axis, which stays, of size 1; the gradient goes to one pixel.

    That of jnp.max is divided by how many pixels are equal to the maximum: none, where
    XLA computes x again and rounds it otherwise.
    """
    window = tuple(size if i == axis else 1 for i, size in enumerate(x.shape))
    return lax.reduce_window(x, -jnp.inf, lax.max, window, (1,) * x.ndim, "VALID")


def local_mean(x: Float[Array, "b *hw c"], *, window: int) -> Float[Array, "b *hw c"]:
    """Mean over the window around every point; zeros beyond the edge count."""
    rank, low = x.ndim - 2, (window - 1) // 2
    for axis in range(1, rank + 1):
        edges = [(0, 0)] * x.ndim
        edges[axis] = (low, window - 1 - low)
        wide = jnp.pad(x, edges)
        views = (
            lax.slice_in_dim(wide, i, i + x.shape[axis], axis=axis)
            for i in range(window)
        )
        x = cast(Array, sum(views))
    return x / window**rank


def avg_pool(
    x: Float[Array, "b *spatial c"], *, window: int
) -> Float[Array, "b *out c"]:
    """Mean over windows that do not overlap; what fills no window is left out."""
    b, *spatial, c = x.shape
    counts = [size // window for size in spatial]
    x = x[(slice(None), *(slice(count * window) for count in counts))]
    x = x.reshape(b, *itertools.chain(*((count, window) for count in counts)), c)
    return x.mean(axis=tuple(range(2, x.ndim - 1, 2)))


def plain(pool: Pool, x):
    """The maximum as XLA has it."""
    rank = x.ndim - 2
    size, stride = ((1, *(n,) * rank, 1) for n in (pool.size, pool.stride))
    return lax.reduce_window(x, -jnp.inf, lax.max, size, stride, pool.edges(rank))


@custom_gradient
def _max_pool(pool: Pool, x):
    return plain(pool, x)


def _forward(pool: Pool, x):
    return plain(pool, x), x


def _backward(pool: Pool, x, dy):
    def default(x, dy):
        return jax.vjp(ft.partial(plain, pool), x)[1](dy)[0]

    few = pool.size ** (x.ndim - 2) <= TAPS
    cpu = ft.partial(gradient, pool) if few else default
    return (lax.platform_dependent(x, dy, cpu=cpu, default=default),)


_max_pool.defvjp(_forward, _backward)


def gradient(pool: Pool, x, dy):
    """Each point of `dy` goes to the place in its window that was the maximum."""
    rank = x.ndim - 2
    low = x.dtype.type(-jnp.inf)
    padded = lax.pad(x, low, [(*edge, 0) for edge in pool.edges(rank)])
    starts = list(itertools.product(range(pool.size), repeat=rank))
    # A loop, so that its result is kept: fused into the sums below, XLA would compare
    # anew for each of them.
    first = ft.partial(_first_maximum, pool, starts=starts, points=dy.shape[1:-1])
    chosen = lax.map(first, padded)
    dx = jnp.zeros((), dy.dtype)
    for number, start in enumerate(starts):
        part = jnp.where(chosen == number, dy, 0)
        edges = [(0, 0, 0)] * x.ndim
        for axis, at in enumerate(start, start=1):
            reach = at + (dy.shape[axis] - 1) * pool.stride + 1
            edges[axis] = (at, padded.shape[axis] - reach, pool.stride - 1)
        dx += lax.pad(part, dy.dtype.type(0), edges)
    before = pool.padding[0]
    return dx[(slice(None), *(slice(before, before + n) for n in x.shape[1:-1]))]


def _first_maximum(pool: Pool, image, *, starts, points):
    """Which entry of `starts` holds the maximum of each window; the first, if several.

    Compares as select-and-scatter does, so that they agree on what is no number too.
    """

    def view(start):
        reach = ((n - 1) * pool.stride + 1 for n in points)
        pairs = zip(start, reach, strict=True)
        return image[tuple(slice(at, at + far, pool.stride) for at, far in pairs)]

    best = view(starts[0])
    chosen = jnp.zeros(best.shape, jnp.uint8)
    for number, start in enumerate(starts[1:], start=1):
        seen = view(start)
        stays = best >= seen
        best = jnp.where(stays, best, seen)
        chosen = jnp.where(stays, chosen, jnp.uint8(number))
    return chosen
