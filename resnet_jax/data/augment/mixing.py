"""Images mixed with others of their batch, and images with holes."""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Image = Float[Array, "*t h w c"]
Images = Float[Array, "b *t h w c"]


@dataclasses.dataclass(frozen=True)
class MixSpec:
    """Pairs of images as one; their targets are to be mixed likewise.

    mixup   lam x + (1 - lam) x'                     (Zhang et al. 2018)
    cutmix  a box of x' in x, lam the share of x     (Yun et al. 2019)
    lam ~ Beta(alpha, alpha), one for a batch, which is mixed with `probability`.
    """

    kind: Literal["mixup", "cutmix"] = "mixup"
    alpha: float = 1.0
    probability: float = 1.0

    def __call__(self, key: Array, images: Images) -> tuple[Images, Array, Array]:
        """Mixed images, which other is in each [b], and the share of its own."""
        share, order, coin, where = jax.random.split(key, 4)
        lam = jax.random.beta(share, self.alpha, self.alpha)
        other = jax.random.permutation(order, len(images))
        if self.kind == "mixup":
            mixed = lam * images + (1 - lam) * images[other]
        else:
            taken = cut(where, images.shape[-3:-1], lam)
            mixed = jnp.where(_on(taken, images.ndim), images[other], images)
            lam = 1 - taken.mean()
        use = jax.random.bernoulli(coin, self.probability)
        return jnp.where(use, mixed, images), other, jnp.where(use, lam, 1.0)


def cut(key: Array, size: tuple[int, int], lam: Array) -> Array:
    """A mask [h w] of a box with sides sqrt(1 - lam) of the image's.

    Its centre is uniform over the pixels and what lies outside is clipped, so that the
    share of x is to be counted afterwards (released code).
    """
    side = jnp.sqrt(1 - lam)
    sides = [jnp.floor(extent * side).astype(int) for extent in size]
    return box(key, size, sides)


def box(key: Array, size: tuple[int, int], sides: list[Array | int]) -> Array:
    """A mask [h w] of a box around a uniform pixel, clipped at the border."""
    inside = []
    for k, extent, side in zip(jax.random.split(key), size, sides, strict=True):
        low = jax.random.randint(k, (), 0, extent) - side // 2
        at = jnp.arange(extent)
        inside.append((at >= low) & (at < low + side))
    return inside[0][:, None] & inside[1][None]


def cutout(key: Array, image: Image, *, side: int) -> Image:
    """Zeros in a square around a uniform pixel, clipped (DeVries & Taylor 2017)."""
    hole = box(key, image.shape[-3:-1], [side, side])
    return jnp.where(_on(hole, image.ndim), 0.0, image)


TRIES = 100  # boxes drawn until one fits (released code of random erasing)


def erased(key: Array, image: Image, *, probability: float) -> Image:
    """Zeros, the mean, in a box of random size and shape (Zhong et al. 2020).

    Area from U(0.02, 0.4) of the image, height / width from U(0.3, 1 / 0.3), whole.
    """
    height, width = image.shape[-3:-1]
    coin, area, ratio, top, left = jax.random.split(key, 5)
    area = jax.random.uniform(area, (TRIES,), minval=0.02, maxval=0.4) * height * width
    ratio = jax.random.uniform(ratio, (TRIES,), minval=0.3, maxval=1 / 0.3)
    h = jnp.round(jnp.sqrt(area * ratio)).astype(int)
    w = jnp.round(jnp.sqrt(area / ratio)).astype(int)
    fits = (h < height) & (w < width)
    first = jnp.argmax(fits)
    h, w = h[first], w[first]
    use = jax.random.bernoulli(coin, probability) & fits[first]
    top = jax.random.randint(top, (), 0, height - h + 1)
    left = jax.random.randint(left, (), 0, width - w + 1)
    rows, columns = jnp.arange(height), jnp.arange(width)
    hole = ((rows >= top) & (rows < top + h))[:, None]
    hole &= ((columns >= left) & (columns < left + w))[None]
    return jnp.where(_on(hole & use, image.ndim), 0.0, image)


def _on(mask: Array, ndim: int) -> Array:
    """A mask [h w] for all channels of images of so many axes."""
    return mask.reshape((1,) * (ndim - 3) + (*mask.shape, 1))
