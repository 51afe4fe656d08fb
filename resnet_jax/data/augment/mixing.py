"""Mixup and CutMix: mix each image with another of its batch."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from resnet_jax.data.augment.erasing import Mask, over_channels, random_box

Images = Float[Array, "b *t h w c"]


@dataclasses.dataclass(frozen=True)
class MixSpec:
    """Mixing of pairs of images; targets are mixed with equal weights.

    mixup   lam x + (1 - lam) x'                                  (Zhang et al. 2018)
    cutmix  a box of x' pasted into x, lam the remaining share of x (Yun et al. 2019)

    lam ~ Beta(alpha, alpha), drawn once per batch; a batch is mixed with `probability`.
    As train.py of facebookresearch/mixup-cifar10 (every batch) and of
    clovaai/CutMix-PyTorch, whose README mixes half of CIFAR's batches.
    """

    kind: Literal["mixup", "cutmix"] = "mixup"
    alpha: float = 1.0
    probability: float = 1.0

    def __call__(
        self, key: Array, images: Images
    ) -> tuple[Images, Int[Array, " b"], Float[Array, ""]]:
        """Mix: images, index of the partner [b], weight of the original label."""
        weight_key, order_key, coin_key, box_key = jax.random.split(key, 4)
        lam = jax.random.beta(weight_key, self.alpha, self.alpha)
        partner = jax.random.permutation(order_key, len(images))
        if self.kind == "mixup":
            mixed = lam * images + (1 - lam) * images[partner]
        else:
            pasted = cutmix_box(box_key, images.shape[-3:-1], lam)
            mask = over_channels(pasted, ndim=images.ndim)
            mixed = jnp.where(mask, images[partner], images)
            lam = 1 - pasted.mean()
        use = jax.random.bernoulli(coin_key, self.probability)
        return jnp.where(use, mixed, images), partner, jnp.where(use, lam, 1.0)


def cutmix_box(key: Array, size: Sequence[int], lam: Array) -> Mask:
    """Draw a mask [h w] of a box whose sides are sqrt(1 - lam) times the image's.

    The sides are rounded down, to even ones. The centre is uniform over the pixels and
    the box is clipped at the border; the caller counts the weight from the clipped box.
    """
    side = jnp.sqrt(1 - lam)
    sides = [jnp.floor(extent * side).astype(int) for extent in size]
    return random_box(key, size, sides)
