"""Stems and heads: frozen data that apply themselves."""

import dataclasses
from typing import Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Float

from resnet_jax.models.layers.layers import Layers, Step


@dataclasses.dataclass(frozen=True)
class Stem:
    """One convolution, its steps, and a max pool  (He et al. 2016a, Table 1).

    Never replaced by an operator: first layers stay as they are (XNOR-Net, GhostNet).
    """

    kernel: int = 3
    strides: int | tuple[int, ...] = 1  # one for all axes, or one an axis
    pool: tuple[int, int] | None = None  # window and stride, padded by (window - 1) / 2
    steps: tuple[Step, ...] = ("norm", "act")

    def __call__(
        self, layers: Layers, x: Float[Array, "b *hw c"], features: int
    ) -> Float[Array, "b *hw2 features"]:
        layers, side = layers.plain(), (self.kernel - 1) // 2
        x = layers.conv(
            x,
            features,
            kernel=self.kernel,
            strides=self.strides,
            padding=[(side, side)] * layers.spec.rank,
            then=self.steps,
            name="stem_conv",
        )
        if self.pool is None:
            return x
        window, strides = self.pool
        side = (window - 1) // 2
        return layers.max_pool(x, window=window, strides=strides, padding=(side, side))


CIFAR = Stem()
IMAGENET = Stem(kernel=7, strides=2, pool=(3, 2))


@runtime_checkable
class Pool(Protocol):
    """Makes a vector of fixed length of a map of any size."""

    def __call__(self, layers: Layers, x: Array) -> Array: ...


@dataclasses.dataclass(frozen=True)
class GlobalMean:
    """The mean of each channel."""

    def __call__(
        self, layers: Layers, x: Float[Array, "b *hw c"]
    ) -> Float[Array, "b c"]:
        return layers.global_mean(x)


@dataclasses.dataclass(frozen=True)
class Head:
    """Pooling, hidden layers with activation and dropout, the classifier.

    `dropout` acts behind every hidden layer; ahead of the classifier where none is.
    """

    pool: Pool = GlobalMean()
    hidden: tuple[int, ...] = ()
    dropout: float = 0.0

    def __call__(
        self, layers: Layers, x: Float[Array, "b *hw c"], num_classes: int
    ) -> Float[Array, "b n"]:
        """Logits, at least in float32."""
        x = self.pool(layers, x)
        for i, features in enumerate(self.hidden):
            x = layers.dense(x, features, name=f"fc{i + 1}")
            x = self._dropped(layers, layers.act(x, name=f"act_fc{i + 1}"), i)
        if not self.hidden:
            x = self._dropped(layers, x, 0)
        logits = layers.dense(x, num_classes, name="head")
        return logits.astype(jnp.promote_types(logits.dtype, jnp.float32))

    def _dropped(self, layers, x, number):
        if not self.dropout:
            return x
        return layers.dropout(x, self.dropout, name=f"dropout{number + 1}")
