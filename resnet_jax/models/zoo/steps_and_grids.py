"""Min-Nets, MGIC and Runge-Kutta nets as functions to specs; each cites its source.

Fields of the unit beyond the branch (order, shortcut, gate, join) are keywords.
"""

import dataclasses
from typing import Unpack

from resnet_jax.errors import ConfigError
from resnet_jax.models.nets.densenet import DenseNetSpec
from resnet_jax.models.nets.resnet import ResNetSpec
from resnet_jax.models.nets.rkcnn import RKCNNSpec
from resnet_jax.models.units.branch import BASIC, Branch
from resnet_jax.models.units.gate import SE
from resnet_jax.models.units.min import Beside, Min
from resnet_jax.models.units.multigrid import Multigrid
from resnet_jax.models.units.preactivation import Ahead, own_preact
from resnet_jax.models.units.runge_kutta import Clique, RungeKutta
from resnet_jax.models.units.unit import (
    PYRAMID,
    RELU_BEFORE_ADDITION,
    Order,
    UnitFields,
    UnitSpec,
)
from resnet_jax.models.zoo.densenets import BOTTLENECK, densenet
from resnet_jax.models.zoo.resnets import (
    IMAGENET_DEPTHS,
    cifar_resnet,
    scaled,
    units_per_stage,
)

MIN, MULTIGRID, RK4_STEP, RKCNN_E = Min(), Multigrid(), RungeKutta(), Clique()
ATTENTION = SE(reduction=2)


def min_net(
    depth: int,
    *,
    branch: Branch = MIN,
    width: int | float = 1,
    **unit: Unpack[UnitFields],
) -> ResNetSpec:
    """6n+2 layers for 32x32 images: a Min unit, then pyramid units, in each stage.

    Gruening & Barth 2021, released code; n = 3, 5, 7, 9 there, and a Min unit counts as
    two layers. Another branch is in pyramid units everywhere: BASIC is the baseline.
    ConfigError for other depths, and where a width is not whole.
    """
    n = units_per_stage(depth, layers=2)
    published: UnitFields = {"order": PYRAMID, "shortcut": "avgpool-A"}
    fields = published | unit
    is_min = isinstance(branch, Min)
    first = rest = own_preact(UnitSpec(BASIC if is_min else branch, **fields))
    if is_min:
        first = UnitSpec(branch, **fields | UnitFields(order=RELU_BEFORE_ADDITION))
    return ResNetSpec(
        depths=(n,) * 3,
        widths=scaled((16, 32, 64), width),
        unit=rest,
        firsts=(first,) * 3,
        stem_width=scaled((16,), width)[0],
    )


def min_densenet(
    depth: int, *, growth: int = 12, **unit: Unpack[UnitFields]
) -> DenseNetSpec:
    """DenseNet-BC whose blocks begin with a Min unit  (Gruening & Barth 2021, code).

    6n+4 layers for 32x32 images; 22, 58 and 100 there. The Min unit's shortcut is a 1x1
    convolution with bias to the channels of a layer. ConfigError for other depths.
    """
    spec = densenet(depth, growth=growth, branch=BOTTLENECK, compression=0.5, **unit)
    first = UnitSpec(Beside(MIN), RELU_BEFORE_ADDITION, "none")
    blocks = (dataclasses.replace(block, first=first) for block in spec.blocks)
    return dataclasses.replace(spec, blocks=tuple(blocks))


def mgic_net(
    depth: int = 34,
    *,
    branch: Branch = MULTIGRID,
    width: int | float = 1,
    **unit: Unpack[UnitFields],
) -> ResNetSpec:
    """ResNet-18 and 34 for 32x32 images, with V-cycles  (Eliasof et al. 2023, code).

    Stages of 64, 128, 256 and 512 channels after a 3x3 stem. With another branch it is
    the baseline ResNet. ConfigError for other depths, and where a width is not whole.
    """
    if depth not in (18, 34):
        raise ConfigError(f"model.depth={depth}: must be 18 or 34")
    widths = scaled((64, 128, 256, 512), width)
    unit_spec = UnitSpec(branch, **unit)
    resized = dataclasses.replace(unit_spec, shortcut="none")
    return ResNetSpec(
        depths=IMAGENET_DEPTHS[depth],
        widths=widths,
        unit=unit_spec,
        firsts=(unit_spec, *(resized,) * 3) if isinstance(branch, Multigrid) else (),
        stem_width=widths[0],
    )


def rk_resnet(
    depth: int,
    *,
    branch: RungeKutta = RK4_STEP,
    width: int | float = 1,
    **unit: Unpack[UnitFields],
) -> ResNetSpec:
    """Runge-Kutta steps in a net of 6n+2 layers for 32x32 images; ours.

    As `cifar_resnet`, with a step for every unit but the first of each stage. f is a
    residual unit without its shortcut and the steps after the addition. The depth
    counts a step as one unit, whatever its stages; Euler's is the residual net.
    ConfigError for other depths, and where a width is not whole.
    """
    spec = cifar_resnet(depth, branch=branch.branch, width=width, **unit)
    plain, order = spec.unit, spec.unit.order
    if order.before:
        branch = dataclasses.replace(branch, branch=Ahead(branch.branch, order.before))
    no_preact = dataclasses.replace(order, before=())
    return dataclasses.replace(
        spec,
        unit=dataclasses.replace(plain, branch=branch, order=no_preact),
        # the stem ends with norm and activation
        firsts=(dataclasses.replace(plain, order=no_preact), plain, plain),
        head_steps=order.before,
    )


def rkcnn(
    depth: int = 32,
    *,
    branch: Clique = RKCNN_E,
    width: int | float = 1,
    gate: SE | None = ATTENTION,
) -> RKCNNSpec:
    """RKCNN of 80 channels: 6sn+2 layers of s stages (E), 12sn+2 with updates (I, R).

    Zhu et al. 2022, released code: RKCNN-E-5_5_5 is depth 32, RKCNN-I- and R-5_5_5 are
    depth 62, all of n = 1 step per period. The gate is in the transitions. For 32x32
    images. ConfigError for other depths, and where a width is not whole.
    """
    n = units_per_stage(depth, layers=len(branch.kernels))
    return RKCNNSpec(
        depths=(n,) * 3,
        width=scaled((80,), width)[0],
        unit=UnitSpec(branch, Order(), "A"),
        gate=gate,
    )
