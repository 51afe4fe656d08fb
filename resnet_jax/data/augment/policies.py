"""RandAugment and AugMix: random operations per image."""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array

from resnet_jax.data.augment.operations import ALL, GEOMETRY, Image, Operation


@dataclasses.dataclass(frozen=True)
class PolicySpec:
    """Policy of random operations of a magnitude from 0 to 10.

    randaugment  `operations` of 14 in sequence  (Cubuk et al. 2020)
    augmix       three chains of 1 to 3 operations, mixed with the image by weights from
                 Dirichlet(1) and Beta(1, 1); without the consistency loss
                 (Hendrycks et al. 2020)
    """

    kind: Literal["randaugment", "augmix"]
    operations: int = 2
    magnitude: float = 9.0

    def __call__(self, key: Array, image: Image) -> Image:
        if self.kind == "augmix":
            return self._augmix(key, image)
        magnitude = jnp.float32(self.magnitude / 10)
        for k in jax.random.split(key, self.operations):
            image = random_operation(k, image, ALL, magnitude)
        return image

    def _augmix(self, key: Array, image: Image) -> Image:
        chains, weights, share = jax.random.split(key, 3)
        chained = jax.vmap(self._chain, (0, None))(jax.random.split(chains, 3), image)
        weights = jax.random.dirichlet(weights, jnp.ones(3))
        mixed = (weights[:, None, None, None] * chained).sum(0)
        keep = jax.random.beta(share, 1.0, 1.0)
        return keep * image + (1 - keep) * mixed

    def _chain(self, key: Array, image: Image) -> Image:
        """Apply 1 to 3 operations of random magnitude."""
        depth, *keys = jax.random.split(key, 4)
        length = jax.random.randint(depth, (), 1, 4)
        for i, k in enumerate(keys):
            level, k = jax.random.split(k)
            magnitude = jax.random.uniform(
                level, minval=0.1, maxval=self.magnitude / 10
            )
            changed = random_operation(k, image, GEOMETRY, magnitude)
            image = jnp.where(i < length, changed, image)
        return image


def random_operation(
    key: Array, image: Image, operations: tuple[Operation, ...], magnitude: Array
) -> Image:
    """Apply one operation, drawn uniformly, with a random sign."""
    number_key, sign_key = jax.random.split(key)
    sign = jax.random.rademacher(sign_key, (), jnp.float32)
    number = jax.random.randint(number_key, (), 0, len(operations))
    return jax.lax.switch(number, operations, image, magnitude, sign)
