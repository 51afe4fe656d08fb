"""Concatenating networks of the papers as functions to specs; each cites its table.

Fields of a layer beyond the branch (order, gate) are keywords.
"""

import dataclasses
import math
from typing import Unpack

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.activations import Relu6
from resnet_jax.models.layers.layers import LayersSpec, Steps
from resnet_jax.models.nets.densenet import (
    Block,
    Dense,
    DenseNetSpec,
    Halving,
    Harmonic,
    HarmonicStem,
    Link,
    Separable,
    Transition,
)
from resnet_jax.models.nets.stem_head import IMAGENET, Head, Stem
from resnet_jax.models.units.branch import SINGLE, B, Branch
from resnet_jax.models.units.unit import (
    FULL_PRE,
    RELU_BEFORE_ADDITION,
    Order,
    UnitFields,
    UnitSpec,
)
from resnet_jax.models.zoo.resnets import lookup, units_per_stage

# B of DenseNet-B and -BC: a 1x1 convolution of 4k channels before the 3x3 of k.
BOTTLENECK = B((1, 3), inner=4.0)

# Layers per block, and growth rate: Huang et al. 2017, Table 1; 161 from the released
# code. Their "264" has 265 weighted layers.
IMAGENET_BLOCKS = {
    121: ((6, 12, 24, 16), 32),
    169: ((6, 12, 32, 32), 32),
    201: ((6, 12, 48, 32), 32),
    264: ((6, 12, 64, 48), 32),
    161: ((6, 12, 36, 24), 48),
}
# Blocks of the released codes: growth, layers, channels of the transition, 1 if it
# halves. HarDNet (Chao et al. 2019): channels of the stem, multiplier, blocks.
HARDNETS = {
    39: (48, 1.6, (
        (16, 4, 96, 1), (20, 16, 320, 1), (64, 8, 640, 1), (160, 4, 1024, 0),
    )),
    68: (64, 1.7, (
        (14, 8, 128, 1), (16, 16, 256, 0), (20, 16, 320, 1), (40, 16, 640, 1),
        (160, 4, 1024, 0),
    )),
    85: (96, 1.7, (
        (24, 8, 192, 1), (24, 16, 256, 0), (28, 16, 320, 1), (36, 16, 480, 0),
        (48, 16, 720, 1), (256, 4, 1280, 0),
    )),
}  # fmt: skip
THRESHNETS = {  # Ju et al. 2022
    79: ((32, 6, 128, 1), (32, 8, 192, 1), (32, 12, 288, 0), (40, 16, 480, 1),
         (160, 4, 960, 0)),
    95: ((32, 6, 128, 1), (32, 12, 256, 1), (32, 16, 384, 0), (40, 16, 480, 1),
         (160, 4, 960, 0)),
}  # fmt: skip
# Convolution, norm, activation, in a unit without shortcut
POST = RELU_BEFORE_ADDITION


def densenet(
    depth: int,
    *,
    growth: int = 12,
    branch: Branch = SINGLE,
    compression: float = 1.0,
    stem_width: int | None = None,
    dropout: float = 0.0,
    links: tuple[Link, ...] = (Dense(),) * 3,
    **unit: Unpack[UnitFields],
) -> DenseNetSpec:
    """3n+4 (plain, C) or 6n+4 (B, BC) layers for 32x32 images.

    Huang et al. 2017, Sec. 3 and Table 2. The stem has 16 channels, or 2k for BC; the
    released code has 2k always. The paper has no other `links`. ConfigError for other
    depths, for shortcuts, and for a compression that is not in (0, 1].
    """
    n = units_per_stage(depth, layers=len(branch.kernels), extra=4)
    is_bc = len(branch.kernels) > 1 and compression < 1
    stem_width = stem_width or (2 * growth if is_bc else 16)
    layer = _layer("densenet", branch, **unit)
    # A pre-activation has a norm itself.
    steps: Steps = () if layer.order.before else ("norm", "act")
    return DenseNetSpec(
        blocks=_blocks(
            (n,) * 3, growth, layer, links, entering=stem_width, compression=compression
        ),
        stem=Stem(steps=steps),
        stem_width=stem_width,
        head_steps=layer.order.before,
        dropout=dropout,
    )


def densenet_imagenet(
    depth: int,
    *,
    growth: int | None = None,
    branch: Branch = BOTTLENECK,
    compression: float = 0.5,
    dropout: float = 0.0,
    **unit: Unpack[UnitFields],
) -> DenseNetSpec:
    """DenseNet-BC 121 ... 264 for 224x224 images (Huang et al. 2017, Table 1).

    `growth` is that of the table by default: 32, of 161 layers 48. ConfigError for
    other depths, for shortcuts, and for a compression that is not in (0, 1].
    """
    depths, published = lookup("depth", depth, IMAGENET_BLOCKS)
    growth = growth or published
    layer = _layer("densenet_imagenet", branch, **unit)
    return DenseNetSpec(
        blocks=_blocks(
            depths, growth, layer, (Dense(),) * 4,
            entering=2 * growth, compression=compression,
        ),
        stem=IMAGENET,
        stem_width=2 * growth,
        head_steps=layer.order.before,
        num_classes=1000,
        dropout=dropout,
    )  # fmt: skip


def densenet_clips(depth: int, **unit: Unpack[UnitFields]) -> DenseNetSpec:
    """3D DenseNet-BC for clips of 16 frames of 112x112 (Hara et al. 2018, code).

    Depths are those of `densenet_imagenet`, ConfigError for others.
    """
    return dataclasses.replace(
        densenet_imagenet(depth, **unit),
        stem=Stem(kernel=7, strides=(1, 2, 2), pool=(3, 2)),
        layers=LayersSpec(rank=3),
        num_classes=400,
    )


def _layer(name: str, branch: Branch, **unit: Unpack[UnitFields]) -> UnitSpec:
    published: UnitFields = {"order": FULL_PRE, "shortcut": "none"}
    layer = UnitSpec(branch, **published | unit)
    if layer.shortcut != "none":
        raise ConfigError(
            f"model.name={name!r}: its layers have no shortcuts; needs "
            "model.unit.shortcut='none' (and, as published, "
            "model.unit.order='full_pre')"
        )
    return layer


def _blocks(
    depths: tuple[int, ...],
    growth: int,
    layer: UnitSpec,
    links: tuple[Link, ...],
    *,
    entering: int,
    compression: float,
) -> tuple[Block, ...]:
    """Blocks, and transitions that compress the channels between them."""
    if not 0 < compression <= 1:
        raise ConfigError(
            f"model.compression={compression}: must be above 0 and at most 1"
        )
    if len(links) != len(depths):
        raise ConfigError(f"links: {len(links)} given for {len(depths)} blocks")
    blocks = []
    for n, link in zip(depths, links, strict=True):
        block = Block(n, growth, layer, link)
        entering = math.floor(compression * block.width(entering))
        transition = Transition(entering, layer.order)
        blocks.append(dataclasses.replace(block, transition=transition))
    blocks[-1] = dataclasses.replace(blocks[-1], transition=None)
    return tuple(blocks)


def hardnet(depth: int, *, branch: Branch = SINGLE) -> DenseNetSpec:
    """HarDNet-68 and 85, and with `Separable()` 39DS and 68DS, for 224x224 images.

    Chao et al. 2019, released code. ConfigError for other depths.
    """
    stem_width, multiplier, rows = lookup("depth", depth, HARDNETS)
    light = isinstance(branch, Separable)
    layer = UnitSpec(branch, Order(end=("norm",)) if light else POST, "none")
    stem = HarmonicStem(1, "depthwise") if light else HarmonicStem()
    kinds = ((layer, Harmonic(multiplier)),) * len(rows)
    pool, dropout = "depthwise" if light else "max", 0.1 if depth == 85 else 0.0
    return DenseNetSpec(
        blocks=_released(rows, kinds, pool, last_dropout=dropout),
        stem=stem,
        stem_width=stem_width,
        layers=LayersSpec(act=Relu6()),
        head_steps=(),
        head=Head(dropout=0.05 if light else 0.2 if depth == 85 else 0.1),
        num_classes=1000,
    )


def threshnet(depth: int) -> DenseNetSpec:
    """ThreshNet-79 and 95: dense blocks, then harmonic blocks.

    Ju et al. 2022, released code; their multiply-adds are at 224x224, their errors on
    CIFAR-10 at 32x32 with this stem, too. ThreshNet-28 is not released. ConfigError for
    other depths.
    """
    rows = lookup("depth", depth, THRESHNETS)
    dense = (UnitSpec(BOTTLENECK, FULL_PRE, "none"), Dense())
    harmonic = (UnitSpec(SINGLE, POST, "none"), Harmonic(1.7))
    return DenseNetSpec(
        blocks=_released(rows, (dense,) * 3 + (harmonic,) * 2, "max"),
        stem=HarmonicStem(),
        stem_width=64,
        head_steps=(),
    )


def _released(
    rows: tuple[tuple[int, int, int, int], ...],
    kinds: tuple[tuple[UnitSpec, Link], ...],
    pool: Halving,
    *,
    last_dropout: float = 0.0,
) -> tuple[Block, ...]:
    """Blocks of a released code; `last_dropout` is that of the last transition."""
    rates = (0.0,) * (len(rows) - 1) + (last_dropout,)
    return tuple(
        Block(n, growth, *kind, Transition(c, POST, pool if halves else "none", rate))
        for (growth, n, c, halves), kind, rate in zip(rows, kinds, rates, strict=True)
    )
