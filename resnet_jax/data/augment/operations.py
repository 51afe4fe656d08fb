"""Operations of augmentation policies on images of grey levels 0 to 255.

Each is f(image, magnitude, sign), with a magnitude from 0 to 1. The maxima (30 degrees,
shear 0.3, 10 of 32 pixels, 4 bits, factor 1.9) are those of AutoAugment's search space.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Image = Float[Array, "h w c"]
Operation = Callable[[Image, Array, Array], Image]
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def grey(image: Image) -> Image:
    """Compute luma in every channel; images without 3 channels are returned as is."""
    if image.shape[-1] != 3:
        return image
    luma = np.asarray(LUMA, np.float32)[None, None]
    return jnp.broadcast_to((image * luma).sum(-1, keepdims=True), image.shape)


def blend(other: Image, image: Image, factor: Array) -> Image:
    """Interpolate other + factor (image - other), clipped to 0..255."""
    return jnp.clip(other + factor * (image - other), 0, 255)


def warp(image: Image, matrix: Array) -> Image:
    """Sample the nearest pixel at matrix @ (row, column, 1) about the centre, or 0."""
    height, width, _ = image.shape
    middle = jnp.array([(height - 1) / 2, (width - 1) / 2])
    at = jnp.stack(jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij"))
    at = at.reshape(2, -1) - middle[:, None]
    at = jnp.round(matrix[:, :2] @ at + matrix[:, 2:] + middle[:, None]).astype(int)
    limits = jnp.array([height, width])[:, None]
    inside = ((at >= 0) & (at < limits)).all(0)
    row, column = jnp.clip(at, 0, limits - 1)
    sampled = jnp.where(inside[:, None], image[row, column], 0.0)
    return sampled.reshape(image.shape)


def identity(image: Image, magnitude: Array, sign: Array) -> Image:
    return image


def autocontrast(image: Image, magnitude: Array, sign: Array) -> Image:
    """Stretch each channel to 0..255."""
    low, high = image.min((0, 1)), image.max((0, 1))
    scale = 255 / jnp.maximum(high - low, 1)
    stretched = (image - low[None, None]) * scale[None, None]
    return jnp.where((high > low)[None, None], stretched, image)


def equalize(image: Image, magnitude: Array, sign: Array) -> Image:
    """Equalize the histogram of each channel: the share of darker pixels, times 255."""

    def channel(x):
        level = jnp.clip(jnp.round(x), 0, 255).astype(int)
        counts = jnp.zeros(256).at[level.ravel()].add(1)
        below = jnp.cumsum(counts) - counts
        below_brightest = x.size - counts[level.max()]
        return (255 * below / jnp.maximum(below_brightest, 1))[level]

    return jnp.clip(jax.vmap(channel, -1, -1)(image), 0, 255)


def rotate(image: Image, magnitude: Array, sign: Array) -> Image:
    angle = sign * magnitude * np.pi / 6
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return warp(image, jnp.array([[cos, -sin, 0.0], [sin, cos, 0.0]]))


def solarize(image: Image, magnitude: Array, sign: Array) -> Image:
    """Invert grey levels at and above a threshold."""
    return jnp.where(image >= 256 * (1 - magnitude), 255 - image, image)


def posterize(image: Image, magnitude: Array, sign: Array) -> Image:
    """Keep 8 to 4 bits per channel."""
    step = 2.0 ** jnp.round(4 * magnitude)
    return jnp.floor(image / step) * step


def colour(image: Image, magnitude: Array, sign: Array) -> Image:
    return blend(grey(image), image, 1 + sign * 0.9 * magnitude)


def contrast(image: Image, magnitude: Array, sign: Array) -> Image:
    mean = jnp.full_like(image, grey(image).mean())
    return blend(mean, image, 1 + sign * 0.9 * magnitude)


def brightness(image: Image, magnitude: Array, sign: Array) -> Image:
    return blend(jnp.zeros_like(image), image, 1 + sign * 0.9 * magnitude)


def sharpness(image: Image, magnitude: Array, sign: Array) -> Image:
    """Blend with a 3x3 blur: weight 5 at the centre, 1 around it, over 13."""
    height, width, _ = image.shape
    padded = jnp.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge")
    offsets = [(i, j) for i in range(3) for j in range(3)]
    near = sum(padded[i : i + height, j : j + width] for i, j in offsets)
    return blend((near + 4 * image) / 13, image, 1 + sign * 0.9 * magnitude)


def _shear(axis: int) -> Operation:
    """Make a shear by up to 0.3 along an axis."""

    def shear(image, magnitude, sign):
        amount = 0.3 * sign * magnitude
        return warp(image, jnp.eye(2, 3).at[axis, 1 - axis].add(amount))

    return shear


def _translate(axis: int) -> Operation:
    """Make a translation by up to 10 of 32 pixels along an axis."""

    def translate(image, magnitude, sign):
        amount = sign * magnitude * image.shape[axis] * 10 / 32
        return warp(image, jnp.eye(2, 3).at[axis, 2].add(amount))

    return translate


# AugMix leaves out operations that resemble the corruptions of its test sets.
GEOMETRY: tuple[Operation, ...] = (
    autocontrast, equalize, posterize, rotate, solarize,
    _shear(0), _shear(1), _translate(0), _translate(1),
)  # fmt: skip
ALL = (identity, *GEOMETRY, colour, contrast, brightness, sharpness)
