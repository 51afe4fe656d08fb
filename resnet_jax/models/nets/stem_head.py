"""Stems and heads: frozen data that apply themselves."""

import dataclasses
from typing import Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Float

from resnet_jax.models.layers.layers import Layers, Steps
from resnet_jax.models.units.cut import chosen


@dataclasses.dataclass(frozen=True)
class Stem:
    """Convolution, its steps, and a max pool  (He et al. 2016a, Table 1).

    No operator replaces the first convolution of a net, as in XNOR-Net and GhostNet.
    """

    kernel: int = 3
    strides: int | tuple[int, ...] = 1  # one for all axes, or one per axis
    pool: tuple[int, int] | None = None  # window and stride, padded by (window - 1) / 2
    steps: Steps = ("norm", "act")

    def __call__(
        self, layers: Layers, x: Float[Array, "b *hw c"], features: int
    ) -> Float[Array, "b *hw2 features"]:
        layers, side = layers.plain(), (self.kernel - 1) // 2
        padding = [(side, side)] * layers.spec.rank
        x = layers.conv(
            x, features, kernel=self.kernel, strides=self.strides, padding=padding,
            then=self.steps, name="stem_conv",
        )  # fmt: skip
        if self.pool is None:
            return x
        window, strides = self.pool
        padding = self.pool_padding(window, strides)
        return layers.max_pool(x, window=window, strides=strides, padding=padding)

    def pool_padding(self, window: int, strides: int) -> tuple[int, int]:
        """Padding of the pool before and behind each axis."""
        return (window - 1) // 2, (window - 1) // 2


@dataclasses.dataclass(frozen=True)
class CaffeStem(Stem):
    """Stem whose pool has windows from the edge on, their number rounded up.

    As in Caffe, so in the released SENets (Hu et al. 2018).
    """

    def pool_padding(self, window: int, strides: int) -> tuple[int, int]:
        return 0, strides - 1


CIFAR = Stem()
IMAGENET = Stem(kernel=7, strides=2, pool=(3, 2))


@runtime_checkable
class Pool(Protocol):
    """Pooling of a map of any size to a vector of fixed length."""

    def __call__(self, layers: Layers, x: Array) -> Array: ...


@dataclasses.dataclass(frozen=True)
class GlobalMean:
    """Global average pooling."""

    def __call__(
        self, layers: Layers, x: Float[Array, "b *hw c"]
    ) -> Float[Array, "b c"]:
        return layers.global_mean(x)


@dataclasses.dataclass(frozen=True)
class Head:
    """Pooling, hidden layers with activation and dropout, the classifier.

    Without hidden layers, `dropout` acts before the classifier.
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
            x = layers.act(x, name=f"act_fc{i + 1}")
            x = self._dropout(layers, x, name=f"dropout{i + 1}")
        if not self.hidden:
            x = self._dropout(layers, x, name="dropout1")
        logits = layers.dense(x, num_classes, name="head")
        return logits.astype(jnp.promote_types(logits.dtype, jnp.float32))

    def _dropout(self, layers, x, *, name):
        return layers.dropout(x, self.dropout, name=name) if self.dropout else x


@dataclasses.dataclass(frozen=True)
class CutHead(Head):
    """Head of a cut net, which reads some channels of the last map."""

    channels: tuple[int, ...] | None = None  # None: all

    def __call__(
        self, layers: Layers, x: Float[Array, "b *hw c"], num_classes: int
    ) -> Float[Array, "b n"]:
        return super().__call__(layers, chosen(x, self.channels), num_classes)
