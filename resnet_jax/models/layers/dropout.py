"""Noise on features, as frozen data that apply themselves; none at test."""

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
    """noise(layers, x, name=...) -> x, some of it gone."""

    def __call__(self, layers: Layers, x: Array, *, name: str) -> Array: ...


@dataclasses.dataclass(frozen=True)
class Dropout:
    """Each feature goes with probability `rate`, the others grow (Srivastava 2014)."""

    rate: float = 0.3

    def __call__(self, layers: Layers, x: Array, *, name: str) -> Array:
        return layers.dropout(x, self.rate, name=name)


@dataclasses.dataclass(frozen=True)
class SpatialDropout:
    """Whole maps go: one draw a channel of an image (Tompson et al. 2015)."""

    rate: float = 0.1

    def __call__(
        self, layers: Layers, x: Float[Array, "b *hw c"], *, name: str
    ) -> Float[Array, "b *hw c"]:
        one = (1,) * (x.ndim - 2)
        ones = jnp.ones((len(x), *one, x.shape[-1]), x.dtype)
        return x * layers.dropout(ones, self.rate, name=name)


@dataclasses.dataclass(frozen=True)
class DropBlock:
    """Squares of `block` pixels go, channel by channel (Ghiasi et al. 2018).

    Their centres lie where a whole block fits, drawn at the rate that would drop a
    share `rate` of the pixels if blocks never met; what is left grows to the old sum of
    ones. A map smaller than a block has blocks of its own size. The paper's rate grows
    over the run; here it is constant.
    """

    rate: float = 0.1
    block: int = 7

    def __post_init__(self):
        if self.block % 2 == 0:
            raise ConfigError(f"block={self.block}: of DropBlock must be odd (e.g. 7)")

    def __call__(
        self, layers: Layers, x: Float[Array, "b *hw c"], *, name: str
    ) -> Float[Array, "b *hw c"]:
        return DropBlockModule(self, name=name)(x, train=layers.train)


class DropBlockModule(nn.Module):
    """Draws the centres."""

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
        around = [(block // 2, block // 2) for block in blocks]
        hit = jnp.pad(hit.astype(x.dtype), [(0, 0), *around, (0, 0)])
        gone = jax.lax.reduce_window(
            hit, 0.0, jax.lax.max, (1, *blocks, 1), (1,) * x.ndim, "SAME"
        )
        kept = 1.0 - gone
        return x * kept * (kept.size / jnp.maximum(kept.sum(), 1.0)).astype(x.dtype)
