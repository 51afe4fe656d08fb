"""Networks of the Ghost papers as functions to specs; each cites its table."""

import dataclasses
from typing import Literal, Unpack

from jaxtyping import Array, Float

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.layers import Layers
from resnet_jax.models.layers.operators import Ghost
from resnet_jax.models.nets.resnet import ResNetSpec
from resnet_jax.models.nets.stem_head import Head, Stem
from resnet_jax.models.units.gate import SE
from resnet_jax.models.units.ghost import LINEAR, GGhost, GhostBottleneck, XUnit
from resnet_jax.models.units.shortcut import Separable
from resnet_jax.models.units.unit import UnitFields, UnitSpec
from resnet_jax.models.zoo.resnets import lookup

# kernel, hidden and output channels, gate, stride: Han et al. 2020, Table 1, and
# ghostnet.py of the released code
# fmt: off
GHOSTNET = (
    (3,  16,  16, "",   1), (3,  48,  24, "",   2), (3,  72,  24, "",   1),
    (5,  72,  40, "se", 2), (5, 120,  40, "se", 1),
    (3, 240,  80, "",   2), (3, 200,  80, "",   1), (3, 184,  80, "",   1),
    (3, 184,  80, "",   1), (3, 480, 112, "se", 1), (3, 672, 112, "se", 1),
    (5, 672, 160, "se", 2), (5, 960, 160, "",   1), (5, 960, 160, "se", 1),
    (5, 960, 160, "",   1), (5, 960, 160, "se", 1),
)
# fmt: on

# units per stage, widths, channels per group: Radosavovic et al. 2020, as in
# g_ghost_regnet.py of the released code of Han et al. 2022
REGNETX = {
    "3.2GF": ((2, 6, 15, 2), (96, 192, 432, 1008), 48),
    "4.0GF": ((2, 5, 14, 2), (80, 240, 560, 1360), 40),
    "8.0GF": ((2, 5, 15, 1), (80, 240, 720, 1920), 120),
    "16GF": ((2, 6, 13, 1), (256, 512, 896, 2048), 128),
}


@dataclasses.dataclass(frozen=True)
class Widened:
    """Global average pooling after a 1x1 convolution to more channels."""

    features: int

    def __call__(
        self, layers: Layers, x: Float[Array, "b *hw c"]
    ) -> Float[Array, "b c2"]:
        x = layers.plain().conv(
            x, self.features, kernel=1, then=("norm", "act"), name="pool_conv"
        )
        return layers.global_mean(x)


HALF = Ghost()  # half of the maps are ghosts
# Leading subsamplings that are omitted: the last maps have 7, 4 and 2 pixels
OMITTED = {"imagenet": 0, "cifar": 2, "digits": 3}


def ghostnet(
    width: int | float = 1.0,
    *,
    ghost: Ghost = HALF,
    images: Literal["imagenet", "cifar", "digits"] = "imagenet",
    **unit: Unpack[UnitFields],
) -> ResNetSpec:
    """GhostNet for 224x224 images; for 32x32 and 8x8, ours, with less subsampling.

    Han et al. 2020, Table 1. `unit` are fields of all units. ConfigError for a width
    that is not positive.
    """
    if width <= 0:
        raise ConfigError(f"model.width={width}: must be positive")
    firsts, widths = [], []
    for kernel, hidden, features, gate, _ in GHOSTNET:
        hidden = divisible(hidden * width)
        se = SE(hidden=divisible(hidden / 4), squash="hard_sigmoid")
        branch = GhostBottleneck(hidden, kernel, se if gate else None, ghost)
        slots: UnitFields = {"order": LINEAR, "shortcut": Separable(kernel)}
        firsts.append(UnitSpec(branch, **slots | unit))
        widths.append(divisible(features * width))
    strides = [2, *(row[-1] for row in GHOSTNET)]
    for _ in range(OMITTED[images]):
        strides[strides.index(2)] = 1
    return ResNetSpec(
        depths=(1,) * len(firsts),
        widths=tuple(widths),
        unit=firsts[0],
        firsts=tuple(firsts),
        strides=tuple(strides[1:]),
        stem=Stem(strides=strides[0]),
        stem_width=divisible(16 * width),
        head=Head(Widened(divisible(960 * width)), hidden=(1280,), dropout=0.2),
        num_classes=1000,
    )


def divisible(channels: int | float, by: int = 4) -> int:
    """Nearest multiple of `by`, never less than 0.9 of the channels."""
    near = max(by, int(channels + by / 2) // by * by)
    return near + by if near < 0.9 * channels else near


def regnetx(variant: str = "3.2GF", **unit: Unpack[UnitFields]) -> ResNetSpec:
    """RegNetX for 224x224 images  (Radosavovic et al. 2020).

    3.2GF, 4.0GF, 8.0GF and 16GF, as in the released code of Han et al. 2022;
    ConfigError for other variants.
    """
    depths, widths, group_width = lookup("variant", variant, REGNETX)
    return ResNetSpec(
        depths=depths,
        widths=widths,
        unit=UnitSpec(XUnit(group_width), **unit),
        strides=(2, 2, 2, 2),
        stem=Stem(strides=2),
        stem_width=32,
        num_classes=1000,
    )


def gghost(variant: str = "3.2GF", **unit: Unpack[UnitFields]) -> ResNetSpec:
    """G-Ghost-RegNetX for 224x224 images  (Han et al. 2022, released code).

    Variants are those of `regnetx`, ConfigError for others. Groups of the intrinsic
    path have 3/4 of the width; dropout of 0.2 before the classifier.
    """
    spec = regnetx(variant, **unit)
    _, _, group_width = REGNETX[variant]
    narrow = int(0.75 * group_width)
    intrinsic = dataclasses.replace(spec.unit, branch=XUnit(narrow))
    return dataclasses.replace(
        spec,
        ghosts=GGhost(multiple=narrow, unit=intrinsic),
        head=Head(dropout=0.2),
    )
