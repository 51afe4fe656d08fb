"""Affine maps of images, sampled as Pillow does (src/libImaging/Geometry.c).

A matrix ((a, b, c), (d, e, f)) maps the centre (x, y) of a pixel of the output, x + 0.5
for column x, to the point (a x + b y + c, d x + e y + f) of the input; outside is 0.
"""

import math
from typing import TypeAlias

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

Image = Float[Array, "h w c"]
Number: TypeAlias = int | float | Array
Matrix: TypeAlias = tuple[tuple[Number, ...], tuple[Number, ...]]
BITS = 16  # behind the point of fixed-point numbers

IDENTITY: Matrix = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


def rotation(degrees: int | float, height: int, width: int) -> Matrix:
    """Rotation about the centre of the image, anticlockwise."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = width / 2, height / 2
    return (cos, -sin, x - cos * x + sin * y), (sin, cos, y - sin * x - cos * y)


def shear_x(level: Number) -> Matrix:
    """Shear of rows, in which the upper edge stays."""
    return (1.0, level, 0.0), (0.0, 1.0, 0.0)


def shear_y(level: Number) -> Matrix:
    """Shear of columns, in which the left edge stays."""
    return (1.0, 0.0, 0.0), (level, 1.0, 0.0)


def translation_x(pixels: Number) -> Matrix:
    """Shift to the left."""
    return (1.0, 0.0, pixels), (0.0, 1.0, 0.0)


def translation_y(pixels: Number) -> Matrix:
    """Shift upwards."""
    return (1.0, 0.0, 0.0), (0.0, 1.0, pixels)


def fixed_point(matrix: Matrix) -> Int[np.ndarray, "2 3"]:
    """Matrix in fixed point for `nearest`, from the indices of a pixel."""
    exact = np.array(matrix, np.float64)
    exact[:, 2] += exact[:, :2].sum(1) / 2
    return np.floor(exact * 2**BITS + 0.5).astype(np.int32)


def nearest(image: Image, matrix: Int[Array | np.ndarray, "2 3"]) -> Image:
    """Sample the pixel in which the point lies, by a matrix in fixed point."""
    height, width, _ = image.shape
    x, y = jnp.arange(width)[None], jnp.arange(height)[:, None]
    column, row = ((a * x + b * y + c) >> BITS for a, b, c in matrix)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    return jnp.where(inside[..., None], _gathered(image, row, column), 0.0)


def bilinear(image: Image, matrix: Float[Array | np.ndarray, "2 3"]) -> Image:
    """Interpolate between four pixels, rounded down; borders are repeated."""
    height, width, _ = image.shape
    x, y = jnp.arange(width)[None] + 0.5, jnp.arange(height)[:, None] + 0.5
    at_x, at_y = (a * x + b * y + c for a, b, c in matrix)
    inside = (at_x >= 0) & (at_x < width) & (at_y >= 0) & (at_y < height)
    left, top = jnp.floor(at_x - 0.5), jnp.floor(at_y - 0.5)
    dx, dy = (at_x - 0.5 - left)[..., None], (at_y - 0.5 - top)[..., None]
    # The four pixels as channels, of the image with its border repeated: one gather.
    wide = jnp.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge")
    corners = [
        wide[i : i + height + 1, j : j + width + 1] for i in (0, 1) for j in (0, 1)
    ]
    row, column = top.astype(jnp.int32) + 1, left.astype(jnp.int32) + 1
    found = _gathered(jnp.concatenate(corners, -1), row, column)
    first, second, third, fourth = jnp.split(found, 4, axis=-1)
    upper, lower = first + (second - first) * dx, third + (fourth - third) * dx
    return jnp.where(inside[..., None], jnp.floor(upper + (lower - upper) * dy), 0.0)


def _gathered(
    image: Float[Array, "rows columns n"],
    row: Int[Array, "h w"],
    column: Int[Array, "h w"],
) -> Float[Array, "h w n"]:
    """Values at rows and columns, those outside moved to the border."""
    height, width, n = image.shape
    row, column = jnp.clip(row, 0, height - 1), jnp.clip(column, 0, width - 1)
    return image.reshape(height * width, n)[row * width + column]
