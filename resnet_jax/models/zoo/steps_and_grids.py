"""Min-Nets, MGIC and Runge-Kutta nets as functions to specs; each cites its source.

`unit` fields beyond the branch (order, shortcut, gate, join) may be given by keyword.
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
    units_a_stage,
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
    """6n+2 layers for 32x32: each stage begins with a Min unit, pyramid units follow.

    Gruening & Barth 2021, released code; n = 3, 5, 7, 9 there, and a Min unit stands
    for two layers. Another branch is in pyramid units throughout: BASIC, the baseline.
    """
    n = units_a_stage(depth, layers=2)
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

    6n+4 layers for 32x32 images; 22, 58 and 100 there. The unit's shortcut is a 1x1
    convolution with bias, to the few channels that a layer adds.
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

    Stages of 64, 128, 256 and 512 channels behind a 3x3 stem. With another branch it
    is the ResNet to compare with.
    """
    if depth not in (18, 34):
        raise ConfigError(f"model.depth={depth}: must be 18 or 34")
    widths = scaled((64, 128, 256, 512), width)
    same = UnitSpec(branch, **unit)
    resized = dataclasses.replace(same, shortcut="none")
    return ResNetSpec(
        depths=IMAGENET_DEPTHS[depth],
        widths=widths,
        unit=same,
        firsts=(same, *(resized,) * 3) if isinstance(branch, Multigrid) else (),
        stem_width=widths[0],
    )


def rk_resnet(
    depth: int,
    *,
    branch: RungeKutta = RK4_STEP,
    width: int | float = 1,
    **unit: Unpack[UnitFields],
) -> ResNetSpec:
    """The 6n+2 net of `cifar_resnet` where each unit behind a stage's first is a step.

    f is all of a residual unit but its shortcut and the steps behind the addition. The
    depth counts a step as one unit, whatever its stages; Euler's is the residual net.
    """
    spec = cifar_resnet(depth, branch=branch.branch, width=width, **unit)
    plain, order = spec.unit, spec.unit.order
    if order.before:
        branch = dataclasses.replace(branch, branch=Ahead(branch.branch, order.before))
    bare = dataclasses.replace(order, before=())
    return dataclasses.replace(
        spec,
        unit=dataclasses.replace(plain, branch=branch, order=bare),
        # the stem ends with norm and activation
        firsts=(dataclasses.replace(plain, order=bare), plain, plain),
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
    depth 62, all of n = 1 step a period. The gate stands in the transitions.
    """
    n = units_a_stage(depth, layers=len(branch.kernels))
    return RKCNNSpec(
        depths=(n,) * 3,
        width=scaled((80,), width)[0],
        unit=UnitSpec(branch, Order(), "A"),
        gate=gate,
    )
