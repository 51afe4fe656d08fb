"""Boxes of zeros in images: cutout and random erasing."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Image = Float[Array, "*t h w c"]
Mask = Bool[Array, "h w"]
DEPARTURES = (
    "boxes of zeros, the mean of normalised images, while zhunzhong07/Random-Erasing "
    "fills normalised images with 0.49, 0.48, 0.45"
)
ATTEMPTS = 100  # boxes drawn until one fits (released code of random erasing)


def cutout(key: Array, image: Image, *, side: int) -> Image:
    """Zero a square around a uniform pixel, clipped (DeVries & Taylor 2017).

    Of an odd side it is one pixel smaller (uoguelph-mlrg/Cutout, util/cutout.py).
    """
    hole = random_box(key, image.shape[-3:-1], [side, side])
    return jnp.where(over_channels(hole, ndim=image.ndim), 0.0, image)


def random_box(key: Array, size: Sequence[int], sides: Sequence[Array | int]) -> Mask:
    """Draw a mask of a box around a uniform pixel, clipped at the border.

    From centre - side // 2 up to, and without, centre + side // 2, as in the released
    codes of cutout and CutMix.
    """
    keys, halves = jax.random.split(key), [side // 2 for side in sides]
    starts = [
        jax.random.randint(k, (), 0, extent) - half
        for k, extent, half in zip(keys, size, halves, strict=True)
    ]
    return _box(size, starts, [2 * half for half in halves])


def random_erasing(key: Array, image: Image, *, probability: float) -> Image:
    """Zero a box of random size and shape (Zhong et al. 2020).

    As zhunzhong07/Random-Erasing, transforms.py, but for the colour. Area from
    U(0.02, 0.4) of the image, height / width from U(0.3, 1 / 0.3); the box lies inside
    the image.
    """
    height, width = image.shape[-3:-1]
    coin, area, ratio, top, left = jax.random.split(key, 5)
    area = jax.random.uniform(area, (ATTEMPTS,), minval=0.02, maxval=0.4)
    area = area * height * width
    ratio = jax.random.uniform(ratio, (ATTEMPTS,), minval=0.3, maxval=1 / 0.3)
    h = jnp.round(jnp.sqrt(area * ratio)).astype(int)
    w = jnp.round(jnp.sqrt(area / ratio)).astype(int)
    fits = (h < height) & (w < width)
    first = jnp.argmax(fits)
    h, w = h[first], w[first]
    use = jax.random.bernoulli(coin, probability) & fits[first]
    top = jax.random.randint(top, (), 0, height - h + 1)
    left = jax.random.randint(left, (), 0, width - w + 1)
    hole = _box((height, width), (top, left), (h, w))
    return jnp.where(over_channels(hole & use, ndim=image.ndim), 0.0, image)


def _box(size, starts, sides) -> Mask:
    """Mask of a box from its first row and column and its sides."""
    rows, columns = (
        (jnp.arange(extent) >= start) & (jnp.arange(extent) < start + side)
        for extent, start, side in zip(size, starts, sides, strict=True)
    )
    return rows[:, None] & columns[None]


def over_channels(mask: Mask, *, ndim: int) -> Array:
    """Reshape a mask [h w] to broadcast over images of `ndim` axes."""
    return mask.reshape((1,) * (ndim - 3) + (*mask.shape, 1))
