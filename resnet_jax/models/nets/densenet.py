"""Concatenating nets: DenseNet, HarDNet and ThreshNet as values of one spec.

A layer is a residual unit without shortcut, with any branch, order and gate. The link
of a block names the earlier layers whose outputs a layer concatenates.
"""

import dataclasses
import math
from typing import Literal, Protocol, runtime_checkable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.layers import Layers, LayersSpec, Steps
from resnet_jax.models.layers.operators import with_dropout
from resnet_jax.models.nets.stem_head import Head, Stem
from resnet_jax.models.units.branch import B, Branch
from resnet_jax.models.units.cut import Cut
from resnet_jax.models.units.stage import DepthMode
from resnet_jax.models.units.unit import FULL_PRE, Order, ResidualUnit, UnitSpec


@runtime_checkable
class Link(Protocol):
    """Connections in a block: layers count from 1, and 0 is the block's input."""

    def sources(self, layer: int) -> tuple[int, ...]:
        """Inputs of a layer, in the order of concatenation."""
        ...

    def width(self, layer: int, growth: int) -> int:
        """Output channels of a layer."""
        ...

    def outputs(self, layers: int) -> tuple[int, ...]:
        """Outputs of a block of that many layers."""
        ...


@dataclasses.dataclass(frozen=True)
class Dense:
    """x_l = H([x_0, ..., x_{l-1}])  (Huang et al. 2017, Eq. 2)."""

    def sources(self, layer: int) -> tuple[int, ...]:
        return tuple(range(layer))

    def width(self, layer: int, growth: int) -> int:
        return growth

    def outputs(self, layers: int) -> tuple[int, ...]:
        return tuple(range(layers + 1))


@dataclasses.dataclass(frozen=True)
class Harmonic:
    """x_l = H([x_{l - 2^i} for every 2^i that divides l])  (Chao et al. 2019, Sec. 3).

    A layer whose number has z factors of 2 has growth * multiplier^z channels, made
    even as in the released code; a block outputs its odd layers and the last.
    """

    multiplier: float = 1.7

    def __post_init__(self):
        if self.multiplier < 1:
            raise ConfigError(f"multiplier={self.multiplier}: must be at least 1")

    def sources(self, layer: int) -> tuple[int, ...]:
        return tuple(layer - 2**i for i in range(_twos(layer) + 1))

    def width(self, layer: int, growth: int) -> int:
        exact = math.prod([growth] + [self.multiplier] * _twos(layer))
        return int(exact + 1) // 2 * 2

    def outputs(self, layers: int) -> tuple[int, ...]:
        return tuple(i for i in range(1, layers + 1) if i % 2 or i == layers)


def _twos(layer: int) -> int:
    """Number of factors of 2."""
    return (layer & -layer).bit_length() - 1


Halving = Literal["none", "mean", "max", "overlapping_max", "depthwise"]


def halved(layers: Layers, x: Array, how: Halving) -> Array:
    """Halve the resolution by a pool of 2 or 3, or a depthwise convolution and norm."""
    if how == "none":
        return x
    if min(x.shape[1:-1]) < 2:
        raise ConfigError(
            f"maps of {'x'.join(map(str, x.shape[1:-1]))} are too small to halve: the "
            "net needs larger images, or fewer blocks that halve"
        )
    if how == "mean":
        return layers.avg_pool(x, window=2)
    if how == "depthwise":
        return layers.conv(
            x, x.shape[-1], kernel=3, strides=2, groups=x.shape[-1], then=("norm",),
            name="pool_conv",
        )  # fmt: skip
    side = int(how == "overlapping_max")
    return layers.max_pool(x, window=2 + side, strides=2, padding=(side, side))


@dataclasses.dataclass(frozen=True)
class Transition:
    """Dropout, a 1x1 convolution and a pool after a block."""

    features: int
    order: Order = FULL_PRE
    pool: Halving = "mean"
    dropout: float = 0.0

    @property
    def branch(self) -> Branch:
        return B((1,))


@dataclasses.dataclass(frozen=True)
class CutTransition(Transition):
    """Transition of a cut net, which reads some channels of its block."""

    channels: tuple[int, ...] | None = None  # None: all

    @property
    def branch(self) -> Branch:
        return Cut((1,), channels=self.channels)


@dataclasses.dataclass(frozen=True)
class Block:
    """Layers of one resolution, and their connections."""

    layers: int
    growth: int  # output channels of a layer
    unit: UnitSpec
    link: Link = Dense()
    transition: Transition | None = None
    first: UnitSpec | None = None  # the first layer, where it differs

    def __post_init__(self):
        if self.layers < 1 or self.growth < 1:
            raise ConfigError(
                f"layers={self.layers}, growth={self.growth}: a block has at least one "
                "layer that adds at least one channel"
            )

    def width(self, entering: int) -> int:
        """Channels before the transition, of that many input channels."""
        widths = [self.link.width(i, self.growth) for i in range(1, self.layers + 1)]
        return sum([entering, *widths][i] for i in self.link.outputs(self.layers))

    def unit_of(self, layer: int) -> UnitSpec:
        """Unit of a layer, counted from 1."""
        return self.first or self.unit if layer == 1 else self.unit


@dataclasses.dataclass(frozen=True)
class CutBlock(Block):
    """Block of a cut net: every layer has a unit of its own."""

    units: tuple[UnitSpec, ...] = ()

    def __post_init__(self):
        super().__post_init__()
        if len(self.units) != self.layers:
            raise ConfigError(f"units: {len(self.units)} given for {self.layers}")

    def unit_of(self, layer: int) -> UnitSpec:
        return self.units[layer - 1]


@dataclasses.dataclass(frozen=True)
class HarmonicStem:
    """3x3 of stride 2, a second convolution, a pool (Chao et al. 2019, code)."""

    kernel: int = 3  # of the second convolution
    pool: Halving = "overlapping_max"

    def __call__(
        self, layers: Layers, x: Float[Array, "b *hw c"], features: int
    ) -> Float[Array, "b *hw2 features"]:
        layers = layers.plain()
        steps: Steps = ("norm", "act")
        x = layers.conv(
            x, features // 2, kernel=3, strides=2, then=steps, name="stem_conv1"
        )
        x = layers.conv(x, features, kernel=self.kernel, then=steps, name="stem_conv2")
        return halved(layers, x, self.pool)


@dataclasses.dataclass(frozen=True)
class Separable:
    """Branch of a 1x1 and a depthwise 3x3 convolution."""

    kernels = (1, 3)

    def __call__(
        self, layers: Layers, x: Array, features: int, strides: int, end: Steps
    ) -> Array:
        x = layers.conv(x, features, kernel=1, then=("norm", "act"), name="conv1")
        return layers.conv(
            x, features, kernel=3, strides=strides, groups=features, then=end,
            name="conv2",
        )  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class DenseNetSpec:
    """Concatenating network, as data."""

    blocks: tuple[Block, ...]
    stem: Stem | HarmonicStem
    stem_width: int
    layers: LayersSpec = LayersSpec()
    head_steps: Steps = ("norm", "act")
    head: Head = Head()
    num_classes: int = 10
    # After every convolution but the stem's; the released code omits it in layers that
    # it rematerialises.
    dropout: float = 0.0
    depth_mode: DepthMode = "unroll"

    def __post_init__(self):
        if not self.blocks:
            raise ConfigError("blocks=(): a net has at least one")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout={self.dropout}: must be at least 0 and below 1")
        with_dropout(self.layers, self.dropout)  # raises ConfigError

    def build(self) -> nn.Module:
        return DenseNet(self)


class DenseNet(nn.Module):
    """Stem, blocks with transitions, head  (Huang et al. 2017, Fig. 2 and Table 1)."""

    spec: DenseNetSpec

    @nn.compact
    def __call__(
        self, x: Float[Array, "b *hw c"], *, train: bool
    ) -> Float[Array, "b n"]:
        s, shared = self.spec, with_dropout(self.spec.layers, self.spec.dropout)
        layers = Layers(shared, train)
        x = s.stem(layers, x, s.stem_width)
        for i, block in enumerate(s.blocks):
            module = DenseBlock(block, shared, s.depth_mode, name=f"block{i + 1}")
            x = module(x, train=train)
        x = layers.steps(x, s.head_steps, name="head")
        return s.head(layers, x, s.num_classes)


class DenseBlock(nn.Module):
    """Layers of a block as straight-line code in any mode, since their widths differ.

    With "remat" or "sqrt" the backward pass recomputes the inside of a layer, and
    memory grows linearly with the layers, not quadratically (Pleiss et al. 2017). The
    last convolution is not repeated, as its gradients do not need its output.
    """

    block: Block
    layers: LayersSpec
    mode: DepthMode

    @nn.compact
    def __call__(
        self, x: Float[Array, "b *hw c"], *, train: bool
    ) -> Float[Array, "b *hw2 d"]:
        block, link, maps = self.block, self.block.link, [x]

        def run(unit: ResidualUnit, *sources: Array):
            return unit(jnp.concatenate(sources, axis=-1), None, train=train)

        if self.mode in ("remat", "sqrt"):
            run = nn.remat(run)
        for i in range(1, block.layers + 1):
            unit = ResidualUnit(
                block.unit_of(i),
                self.layers,
                link.width(i, block.growth),
                name=f"layer{i}",
            )
            maps.append(run(unit, *(maps[source] for source in link.sources(i))))
        outputs = [maps[i] for i in link.outputs(block.layers)]
        return self._transition(jnp.concatenate(outputs, axis=-1), train)

    def _transition(self, x, train):
        spec, layers = self.block.transition, Layers(self.layers, train)
        if spec is None:
            return x
        if spec.dropout:
            x = layers.dropout(x, spec.dropout, name="dropout_transition")
        unit = UnitSpec(spec.branch, spec.order, "none")
        unit = ResidualUnit(unit, self.layers, spec.features, name="transition")
        return halved(layers, unit(x, None, train=train), spec.pool)
