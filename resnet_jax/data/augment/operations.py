"""Operations of augmentation policies, equal to Pillow's on whole grey levels 0..255.

Each takes Pillow's argument: a threshold, bits, or the factor of an enhancement, and
rounds down where Pillow does. At most one grey level differs (docs/augmentation.md).
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Image = Float[Array, "h w c"]
Operation = Callable[[Image, Array], Image]
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
LUMA_FIXED = (19595, 38470, 7471)  # in parts of 65536, of Pillow's Convert.c


def luma(image: Image) -> Int[Array, "h w 1"]:
    """Luma in whole grey levels; an image without 3 channels is its own."""
    levels = image.astype(jnp.int32)
    if image.shape[-1] != 3:
        return levels
    red, green, blue = (levels[..., i : i + 1] * n for i, n in enumerate(LUMA_FIXED))
    return (red + green + blue + 32768) >> 16


def blend(other: Array, image: Image, factor: Array) -> Image:
    """Interpolate other + factor (image - other), clipped and rounded down."""
    return jnp.floor(jnp.clip(other + factor * (image - other), 0, 255))


def identity(image: Image, _: Array) -> Image:
    return image


def invert(image: Image, _: Array) -> Image:
    return 255 - image


def autocontrast(image: Image, _: Array) -> Image:
    """Stretch each channel to 0..255."""
    low, high = image.min((0, 1), keepdims=True), image.max((0, 1), keepdims=True)
    # A half is added to whole numbers, so that no rounding of the division matters.
    stretched = jnp.floor(((image - low) * 255 + 0.5) / jnp.maximum(high - low, 1))
    return jnp.where(high > low, stretched, image)


def equalize(image: Image, _: Array) -> Image:
    """Equalize the histogram of each channel in whole steps of pixels per level."""

    def channel(levels):
        counts = jnp.zeros(256, jnp.int32).at[levels.ravel()].add(1)
        below = jnp.cumsum(counts) - counts
        step = (levels.size - counts[levels.max()]) // 255
        table = jnp.clip((below + step // 2) // jnp.maximum(step, 1), 0, 255)
        return jnp.where(step > 0, table, jnp.arange(256))[levels]

    levels = image.astype(jnp.int32)
    return jax.vmap(channel, -1, -1)(levels).astype(image.dtype)


def solarize(image: Image, threshold: Array) -> Image:
    """Invert grey levels at and above a threshold."""
    return jnp.where(image >= threshold, 255 - image, image)


def posterize(image: Image, bits: Array) -> Image:
    """Keep the highest bits of each channel."""
    mask = 256 - (1 << (8 - bits.astype(jnp.int32)))
    return (image.astype(jnp.int32) & mask).astype(image.dtype)


def colour(image: Image, factor: Array) -> Image:
    """Blend with the luma of each pixel."""
    return blend(luma(image).astype(image.dtype), image, factor)


def contrast(image: Image, factor: Array) -> Image:
    """Blend with the mean luma, in whole grey levels."""
    grey = luma(image)
    mean = (grey.sum(keepdims=True) + grey.size // 2) // grey.size
    return blend(mean.astype(image.dtype), image, factor)


def brightness(image: Image, factor: Array) -> Image:
    """Blend with black."""
    return blend(jnp.zeros_like(image), image, factor)


def sharpness(image: Image, factor: Array) -> Image:
    """Blend with a 3x3 blur, weight 5 at the centre and 1 around it; borders stay."""
    rows = image[:-2] + image[1:-1] + image[2:]
    near = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    blurred = jnp.floor((near + 4 * image[1:-1, 1:-1]) / 13 + 0.5)
    return blend(image.at[1:-1, 1:-1].set(blurred), image, factor)


POINTWISE: dict[str, Operation] = {
    f.__name__: f
    for f in (
        identity, invert, autocontrast, equalize, solarize, posterize, colour, contrast,
        brightness, sharpness,
    )
}  # fmt: skip


def apply(
    names: Sequence[str], number: Array, image: Image, *, warped: Image, argument: Array
) -> Image:
    """Apply operation `number` of `names`; those that move pixels give `warped`."""

    def branch(name):
        def changed(image, warped, argument):
            pointwise = POINTWISE.get(name)
            found = pointwise(image, argument) if pointwise else warped
            return found.astype(image.dtype)  # arguments may be of float64

        return changed

    return jax.lax.switch(number, [*map(branch, names)], image, warped, argument)
