"""Pooling, with the gradient of max pooling as sums of slices on a CPU.

XLA:CPU turns select-and-scatter into a scatter, several times slower than equal sums
over slices (benchmarks/convolution.py). Other platforms get XLA's own gradient; the
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

LARGEST = 27  # points of a window that is written out as slices: 3x3x3


@dataclass(frozen=True)
class Pool:
    """Window over the spatial axes, equal along each."""

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
    """Maximum over windows; of equal points the first one gets the gradient.

    Reverse-mode derivatives only.
    """
    return _max_pool(Pool(window, strides, padding), x)


def same_max_pool(
    x: Float[Array, "b *spatial c"], *, window: int, strides: int
) -> Float[Array, "b *out c"]:
    """Max pool to ceil(size / strides), padded as TensorFlow's SAME.

    Of an odd number of padded points, the greater half is behind the map.
    """
    edges = []
    for size in x.shape[1:-1]:
        points = max(-(size // -strides) * strides - strides + window - size, 0)
        edges.append((points // 2, points - points // 2))
    x = jnp.pad(x, [(0, 0), *edges, (0, 0)], constant_values=-jnp.inf)
    return max_pool(x, window=window, strides=strides)


def max_along(x: Array, axis: int) -> Array:
    """Maximum along an axis, which stays with size 1; the gradient goes to one pixel.

    jnp.max divides its gradient by the number of pixels equal to the maximum, which is
    zero where XLA computes x again and rounds it differently.
    """
    window = tuple(size if i == axis else 1 for i, size in enumerate(x.shape))
    return lax.reduce_window(x, -jnp.inf, lax.max, window, (1,) * x.ndim, "VALID")


def local_mean(x: Float[Array, "b *hw c"], *, window: int) -> Float[Array, "b *hw c"]:
    """Mean over the window around every point; zeros beyond the edge are included."""
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
    """Mean over windows that do not overlap; an incomplete last window is dropped."""
    b, *spatial, c = x.shape
    counts = [size // window for size in spatial]
    x = x[(slice(None), *(slice(count * window) for count in counts))]
    x = x.reshape(b, *itertools.chain(*((count, window) for count in counts)), c)
    return x.mean(axis=tuple(range(2, x.ndim - 1, 2)))


def plain(pool: Pool, x):
    """XLA's own max pooling."""
    rank = x.ndim - 2
    size, stride = ((1, *(n,) * rank, 1) for n in (pool.size, pool.stride))
    return lax.reduce_window(x, -jnp.inf, lax.max, size, stride, pool.edges(rank))


@ft.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _max_pool(pool: Pool, x):
    return plain(pool, x)


def _forward(pool: Pool, x):
    return plain(pool, x), x


def _backward(pool: Pool, x, dy):
    def default(x, dy):
        return jax.vjp(ft.partial(plain, pool), x)[1](dy)[0]

    small = pool.size ** (x.ndim - 2) <= LARGEST
    cpu = ft.partial(gradient, pool) if small else default
    return (lax.platform_dependent(x, dy, cpu=cpu, default=default),)


_max_pool.defvjp(_forward, _backward)


def gradient(pool: Pool, x, dy):
    """Add each point of `dy` to the maximum of its window."""
    rank = x.ndim - 2
    low = x.dtype.type(-jnp.inf)
    padded = lax.pad(x, low, [(*edge, 0) for edge in pool.edges(rank)])
    starts = list(itertools.product(range(pool.size), repeat=rank))
    # lax.map stores its result: XLA would fuse the comparisons into each sum below and
    # repeat them.
    first = ft.partial(_first_maximum, pool, starts=starts, points=dy.shape[1:-1])
    argmax = lax.map(first, padded)
    dx = jnp.zeros((), dy.dtype)
    for number, start in enumerate(starts):
        part = jnp.where(argmax == number, dy, 0)
        edges = [(0, 0, 0)] * x.ndim
        for axis, at in enumerate(start, start=1):
            reach = at + (dy.shape[axis] - 1) * pool.stride + 1
            edges[axis] = (at, padded.shape[axis] - reach, pool.stride - 1)
        dx += lax.pad(part, dy.dtype.type(0), edges)
    before = pool.padding[0]
    return dx[(slice(None), *(slice(before, before + n) for n in x.shape[1:-1]))]


def _first_maximum(pool: Pool, image, *, starts, points):
    """Index into `starts` of the maximum of each window; the first, if several.

    Compares as select-and-scatter does, so that both treat NaN alike.
    """

    def view(start):
        reach = ((n - 1) * pool.stride + 1 for n in points)
        pairs = zip(start, reach, strict=True)
        return image[tuple(slice(at, at + far, pool.stride) for at, far in pairs)]

    best = view(starts[0])
    argmax = jnp.zeros(best.shape, jnp.uint8)
    for number, start in enumerate(starts[1:], start=1):
        candidate = view(start)
        stays = best >= candidate
        best = jnp.where(stays, best, candidate)
        argmax = jnp.where(stays, argmax, jnp.uint8(number))
    return argmax
