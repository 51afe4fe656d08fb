"""3D ResNets, for clips, as functions to specs; each cites its source."""

import dataclasses
from typing import Unpack

from jaxtyping import Array, Float

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.layers import Layers, LayersSpec
from resnet_jax.models.nets.resnet import ResNetSpec
from resnet_jax.models.nets.stem_head import Stem
from resnet_jax.models.units.branch import BASIC, BOTTLENECK_3X3, B, Branch
from resnet_jax.models.units.preactivation import own_preact
from resnet_jax.models.units.shortcut import Add, Join
from resnet_jax.models.units.unit import UnitFields
from resnet_jax.models.zoo.resnets import cifar_resnet, imagenet_resnet

WIDE = B((1, 3, 1), inner=1 / 2, stride_at=1)  # WRN-50, k = 2
RESNEXT = B((1, 3, 1), inner=1 / 2, cardinality=32, stride_at=1)  # ResNeXt-101


@dataclasses.dataclass(frozen=True)
class ClipStem(Stem):
    """Stem with a minimum size of clips, below which a later stride meets one point."""

    least: tuple[int, int, int] = (1, 1, 1)  # frames, height, width

    def __call__(
        self, layers: Layers, x: Float[Array, "b *thw c"], features: int
    ) -> Float[Array, "b *thw2 features"]:
        size, least = x.shape[1:-1], "x".join(map(str, self.least))
        if len(size) != 3:
            raise ConfigError(f"the net takes clips [b t h w c], not images {x.shape}")
        if any(has < needs for has, needs in zip(size, self.least, strict=True)):
            raise ConfigError(
                f"clips of {'x'.join(map(str, size))} (frames, height, width) are too "
                f"small for the net's strides: it needs {least}"
            )
        return super().__call__(layers, x, features)


@dataclasses.dataclass(frozen=True)
class Normed:
    """Join after a norm of the shortcut."""

    join: Join = Add()

    def __call__(self, layers: Layers, h: Array, f: Array) -> Array:
        return self.join(layers, layers.norm(h, name="norm_shortcut"), f)


def resnet_3d(
    depth: int,
    *,
    branch: Branch | None = None,
    width: int | float = 1,
    **unit: Unpack[UnitFields],
) -> ResNetSpec:
    """3D ResNet-18 ... 200 for clips of 16 frames of 112x112  (Hara et al. 2018, code).

    Released with shortcuts of type A at 18 and 34 layers, B from 50 on; `WIDE` at 50 is
    their WRN-50, `RESNEXT` at 101 their ResNeXt-101. Their type A passes no gradient
    (`out.data`) where a unit resizes; here it does, as is usual. Their pre-activation
    net normalises projections of x itself, and has no norm before the head. ConfigError
    for other depths, where a width is not whole, and for smaller clips than 9x17x17.
    """
    branch = branch or (BASIC if depth < 50 else BOTTLENECK_3X3)
    kind: UnitFields = {"shortcut": "A" if depth < 50 else "B"}
    spec = imagenet_resnet(depth, branch=branch, width=width, **kind | unit)
    unit_spec = projecting = own_preact(spec.unit)
    unnormed = "norm" not in unit_spec.order.end  # else projections end with a norm
    if unit_spec != spec.unit and unit_spec.shortcut == "B" and unnormed:
        projecting = dataclasses.replace(unit_spec, join=Normed(unit_spec.join))
    inputs = (spec.stem_width, *spec.widths)
    return dataclasses.replace(
        spec,
        unit=unit_spec,
        firsts=tuple(
            unit_spec if before == after else projecting
            for before, after in zip(inputs, spec.widths, strict=False)
        ),
        # four halvings of time and five of space, the last of at least two points
        stem=ClipStem(kernel=7, strides=(1, 2, 2), pool=(3, 2), least=(9, 17, 17)),
        layers=LayersSpec(rank=3),
        num_classes=400,
    )


def small_resnet_3d(
    depth: int,
    *,
    branch: Branch = BASIC,
    width: int | float = 1,
    **unit: Unpack[UnitFields],
) -> ResNetSpec:
    """6n+2 or 9n+2 layers for clips of 8x16x16, whose stem halves the images; ours.

    ConfigError for other depths, where a width is not whole, and for smaller clips than
    3x5x5.
    """
    spec = cifar_resnet(depth, branch=branch, width=width, **unit)
    stem = ClipStem(strides=(1, 2, 2), least=(3, 5, 5), steps=spec.stem.steps)
    return dataclasses.replace(spec, stem=stem, layers=LayersSpec(rank=3))
