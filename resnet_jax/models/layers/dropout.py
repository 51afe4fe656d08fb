"""Dropout variants in training, as frozen data that apply themselves."""

import dataclasses
from typing import Protocol, runtime_checkable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.layers import Layers


@runtime_checkable
class Noise(Protocol):
    """Dropout of any kind: noise(layers, x, name=...)."""

    def __call__(self, layers: Layers, x: Array, *, name: str) -> Array: ...


@dataclasses.dataclass(frozen=True)
class Dropout:
    """Dropout of single features with probability `rate`  (Srivastava et al. 2014)."""

    rate: float = 0.3

    def __call__(self, layers: Layers, x: Array, *, name: str) -> Array:
        return layers.dropout(x, self.rate, name=name)


@dataclasses.dataclass(frozen=True)
class SpatialDropout:
    """Dropout of whole channels, drawn per image (Tompson et al. 2015)."""

    rate: float = 0.1

    def __call__(
        self, layers: Layers, x: Float[Array, "b *hw c"], *, name: str
    ) -> Float[Array, "b *hw c"]:
        one = (1,) * (x.ndim - 2)
        ones = jnp.ones((len(x), *one, x.shape[-1]), x.dtype)
        return x * layers.dropout(ones, self.rate, name=name)


@dataclasses.dataclass(frozen=True)
class DropBlock:
    """Dropout of squares of `block` pixels, per channel (Ghiasi et al. 2018).

    Centres are drawn where a whole block fits, at the rate that would drop a fraction
    `rate` of the pixels if blocks never overlapped; the rest is divided by the fraction
    that remains. On a map smaller than a block, blocks have the size of the map. The
    paper's rate grows over the run; here it is constant.
    """

    rate: float = 0.1
    block: int = 7

    def __post_init__(self):
        if self.block % 2 == 0:
            raise ConfigError(f"block={self.block}: DropBlock's must be odd (e.g. 7)")

    def __call__(
        self, layers: Layers, x: Float[Array, "b *hw c"], *, name: str
    ) -> Float[Array, "b *hw c"]:
        return DropBlockModule(self, name=name)(x, train=layers.train)


class DropBlockModule(nn.Module):
    """Draw of the centres from the stream "noise"."""

    spec: DropBlock

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        if not train or not self.spec.rate:
            return x
        sides = x.shape[1:-1]
        blocks = [min(self.spec.block, side - (side + 1) % 2) for side in sides]
        free = [side - block + 1 for side, block in zip(sides, blocks, strict=True)]
        gamma = self.spec.rate
        for side, block, fits in zip(sides, blocks, free, strict=True):
            gamma *= side / block / fits
        key = self.make_rng("noise")
        hit = jax.random.bernoulli(key, min(gamma, 1.0), (len(x), *free, x.shape[-1]))
        margins = [(block // 2, block // 2) for block in blocks]
        hit = jnp.pad(hit.astype(x.dtype), [(0, 0), *margins, (0, 0)])
        dropped = jax.lax.reduce_window(
            hit, 0.0, jax.lax.max, (1, *blocks, 1), (1,) * x.ndim, "SAME"
        )
        mask = 1.0 - dropped
        return x * mask * (mask.size / jnp.maximum(mask.sum(), 1.0)).astype(x.dtype)
