"""Policies of random operations on images of grey levels 0 to 255, in pure jax."""

import dataclasses
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Image = Float[Array, "h w c"]
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def grey(image: Image) -> Image:
    """Luma, in every channel; images of other than three channels are grey already."""
    if image.shape[-1] != 3:
        return image
    return jnp.broadcast_to(
        (image * np.float32(LUMA)[None, None]).sum(-1, keepdims=True), image.shape
    )


def blended(other: Image, image: Image, factor: Array) -> Image:
    """other + factor (image - other): 1 is the image, 0 the other."""
    return jnp.clip(other + factor * (image - other), 0, 255)


def warped(image: Image, matrix: Array) -> Image:
    """Nearest pixels at matrix @ (row, column, 1) about the centre; black beyond."""
    height, width, _ = image.shape
    middle = jnp.array([(height - 1) / 2, (width - 1) / 2])
    at = jnp.stack(jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij"))
    at = at.reshape(2, -1) - middle[:, None]
    at = jnp.round(matrix[:, :2] @ at + matrix[:, 2:] + middle[:, None]).astype(int)
    limits = jnp.array([height, width])[:, None]
    inside = ((at >= 0) & (at < limits)).all(0)
    row, column = jnp.clip(at, 0, limits - 1)
    seen = jnp.where(inside[:, None], image[row, column], 0.0)
    return seen.reshape(image.shape)


def autocontrast(image: Image, m: Array, sign: Array) -> Image:
    low, high = image.min((0, 1)), image.max((0, 1))
    scale = 255 / jnp.maximum(high - low, 1)
    stretched = (image - low[None, None]) * scale[None, None]
    return jnp.where((high > low)[None, None], stretched, image)


def equalize(image: Image, m: Array, sign: Array) -> Image:
    """Every grey level by its share of the darker pixels, channel by channel."""

    def channel(x):
        level = jnp.clip(jnp.round(x), 0, 255).astype(int)
        counts = jnp.zeros(256).at[level.ravel()].add(1)
        below = jnp.cumsum(counts) - counts
        darker = x.size - counts[level.max()]  # than the brightest level
        return (255 * below / jnp.maximum(darker, 1))[level]

    return jnp.clip(jax.vmap(channel, -1, -1)(image), 0, 255)


def rotate(image: Image, m: Array, sign: Array) -> Image:
    angle = sign * m * np.pi / 6
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return warped(image, jnp.array([[cos, -sin, 0.0], [sin, cos, 0.0]]))


def solarize(image: Image, m: Array, sign: Array) -> Image:
    return jnp.where(image >= 256 * (1 - m), 255 - image, image)


def posterize(image: Image, m: Array, sign: Array) -> Image:
    """8 to 4 bits a channel."""
    step = 2.0 ** jnp.round(4 * m)
    return jnp.floor(image / step) * step


def colour(image: Image, m: Array, sign: Array) -> Image:
    return blended(grey(image), image, 1 + sign * 0.9 * m)


def contrast(image: Image, m: Array, sign: Array) -> Image:
    return blended(jnp.full_like(image, grey(image).mean()), image, 1 + sign * 0.9 * m)


def brightness(image: Image, m: Array, sign: Array) -> Image:
    return blended(jnp.zeros_like(image), image, 1 + sign * 0.9 * m)


def sharpness(image: Image, m: Array, sign: Array) -> Image:
    """Against a 3x3 blur with weight 5 in the middle and 1 around."""
    height, width, _ = image.shape
    padded = jnp.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge")
    offsets = [(i, j) for i in range(3) for j in range(3)]
    near = sum(padded[i : i + height, j : j + width] for i, j in offsets)
    return blended((near + 4 * image) / 13, image, 1 + sign * 0.9 * m)


def _moved(axis: int, by: str) -> Callable[..., Image]:
    """Shear by up to 0.3, or a shift by up to 10 of 32 pixels, along an axis."""

    def move(image, m, sign):
        if by == "shear":
            amount, column = 0.3 * sign * m, 1 - axis
        else:
            amount, column = sign * m * image.shape[axis] * 10 / 32, 2
        matrix = jnp.eye(2, 3).at[axis, column].add(amount)
        return warped(image, matrix)

    return move


def identity(image: Image, m: Array, sign: Array) -> Image:
    return image


# Of AugMix: none that test corruptions know.
GEOMETRY = (
    autocontrast, equalize, posterize, rotate, solarize,
    _moved(0, "shear"), _moved(1, "shear"), _moved(0, "shift"), _moved(1, "shift"),
)  # fmt: skip
ALL = (identity, *GEOMETRY, colour, contrast, brightness, sharpness)


def applied(key: Array, image: Image, operations: tuple, magnitude: Array) -> Image:
    """One of the operations, either way."""
    which, way = jax.random.split(key)
    sign = jax.random.rademacher(way, (), jnp.float32)
    number = jax.random.randint(which, (), 0, len(operations))
    return jax.lax.switch(number, operations, image, magnitude, sign)


@dataclasses.dataclass(frozen=True)
class PolicySpec:
    """Random operations, of a magnitude from 0 to 10.

    randaugment  `operations` of 14, one after the other  (Cubuk et al. 2020)
    augmix       three chains of 1 to 3 operations, mixed with the image by weights from
                 Dirichlet(1) and Beta(1, 1); without the consistency loss
                 (Hendrycks et al. 2020)
    The maxima (30 degrees, shear 0.3, 10 of 32 pixels, 4 bits, factor 1.9) are those of
    AutoAugment's search space.
    """

    kind: Literal["none", "randaugment", "augmix"] = "none"
    operations: int = 2
    magnitude: float = 9.0

    def __call__(self, key: Array, image: Image) -> Image:
        if self.kind == "none":
            return image
        if self.kind == "randaugment":
            for k in jax.random.split(key, self.operations):
                image = applied(k, image, ALL, jnp.float32(self.magnitude / 10))
            return image
        chains, weights, share = jax.random.split(key, 3)
        chained = jax.vmap(self._chain, (0, None))(jax.random.split(chains, 3), image)
        weights = jax.random.dirichlet(weights, jnp.ones(3))
        mixed = (weights[:, None, None, None] * chained).sum(0)
        keep = jax.random.beta(share, 1.0, 1.0)
        return keep * image + (1 - keep) * mixed

    def _chain(self, key: Array, image: Image) -> Image:
        """1 to 3 operations of random magnitude."""
        depth, *keys = jax.random.split(key, 4)
        length = jax.random.randint(depth, (), 1, 4)
        for i, k in enumerate(keys):
            level, k = jax.random.split(k)
            m = jax.random.uniform(level, minval=0.1, maxval=self.magnitude / 10)
            image = jnp.where(i < length, applied(k, image, GEOMETRY, m), image)
        return image
