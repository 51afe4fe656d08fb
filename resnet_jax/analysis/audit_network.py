"""Quantities of a config's network, named as in `papers.facts`."""

import dataclasses
from typing import TypeAlias

from resnet_jax.config.family import Relayed
from resnet_jax.config.layers import Binary, Ghost
from resnet_jax.config.models import Model
from resnet_jax.config.other_nets import ImageNetDenseNet
from resnet_jax.config.residual_nets import GhostNet
from resnet_jax.config.units import Scaled, Shortcut, Unit
from resnet_jax.models.nets.resnet import ResNetSpec
from resnet_jax.models.nets.spec import NetSpec
from resnet_jax.models.units.branch import B, Branch
from resnet_jax.models.units.unit import ORIGINAL
from resnet_jax.paths import Value, flat

Quantities: TypeAlias = dict[str, tuple[str, Value]]  # (field, value) by quantity
BRANCHES = {(3, 3): "basic", (1, 3, 1): "bottleneck", (3,): "single"}  # by kernels

# Fields of a family, or of its units, that are quantities as they stand.
FAMILY = {
    "depth": "depth",
    "width": "width",
    "variant": "variant",
    "size": "size",
    "growth rate": "growth",
    "compression": "compression",
    "connectivity": "connectivity",
    "levels of the pyramid": "levels",
}
UNIT = {
    "kernels": "kernels",
    "order": "order",
    "shortcut": "shortcut",
    "join": "join.name",
    "gate bias": "join.bias",
    "dropout of the shortcut": "join.rate",
    "reduction of the gate": "gate.reduction",
}


def network_quantities(model: Model, spec: NetSpec) -> Quantities:
    """Quantities of the model, and of its residual units if it has any."""
    operator = model.operator
    found = {
        "form": ("model.name", model.name),
        "operator": ("model.operator", operator.name if operator else "none"),
        "classes": ("model.num_classes", spec.num_classes),
        "rectifier": ("model.act", model.act.name),
        "slope": ("model.act.slope", spec.layers.act.slope),
        "BatchNorm": ("model.norm", "yes" if spec.layers.norm else "no"),
    }
    for quantity, field in FAMILY.items():
        if hasattr(model, field):
            found[quantity] = (f"model.{field}", getattr(model, field))
    if isinstance(model, ImageNetDenseNet):
        found["connectivity"] = ("model.name", "dense")
    if isinstance(operator, Binary):
        found["rule of binary kernels"] = ("model.operator.rule", operator.rule)
    ghost, place = operator, "model.operator"
    if isinstance(model, GhostNet):
        ghost, place = model.ghost, "model.ghost"
    if isinstance(ghost, Ghost):
        found["ratio of the ghosts"] = (f"{place}.ratio", ghost.ratio)
        found["kernel of the ghosts"] = (f"{place}.kernel", ghost.kernel)
    if isinstance(model, Relayed):
        losses = model.auxiliary_loss.stages if model.auxiliary_loss else ()
        found["losses inside"] = ("model.auxiliary_loss.stages", losses)
    unit = getattr(model, "unit", None)
    return found | _residual(unit, spec) | _units(unit)


def _residual(unit: object, spec: NetSpec) -> Quantities:
    """Quantities of a residual net; none for other nets."""
    if not isinstance(spec, ResNetSpec):
        return {}
    shortcut = unit.shortcut if isinstance(unit, Shortcut) else "none"
    normed = shortcut in ("B", "C") and "norm" in spec.unit.order.end
    branch = first_branch(spec)
    pool = "3x3, stride 2, padding 1" if spec.stem.pool else "none"
    chosen = getattr(getattr(unit, "branch", None), "name", "auto")
    found = {
        "branch": ("model.unit.branch", _branch_name(branch, chosen)),
        "norm on projections": ("model.unit.shortcut", "yes" if normed else "no"),
        "units a stage": ("model.depth", spec.depths),
        "pool of the stem": ("model.name", pool),
    }
    if isinstance(branch, B) and branch.kernels == (1, 3, 1):
        strides = "3x3" if branch.stride_at == 1 else "1x1"
        found["stride of a bottleneck"] = ("model.unit.branch.stride_at", strides)
        if hasattr(unit, "branch"):
            found |= _groups(branch)
    if unit is None and spec.unit.order == ORIGINAL:
        found["order"] = ("model.name", "original")
    return found


def _units(unit: object) -> Quantities:
    """Quantities of the unit and of the members of its slots."""
    if not dataclasses.is_dataclass(unit) or isinstance(unit, type):
        return {}
    fields = flat(dataclasses.asdict(unit))
    found = {
        name: (f"model.unit.{path.removesuffix('.name')}", fields[path])
        for name, path in UNIT.items()
        if fields.get(path) is not None
    }
    found |= _noise(unit)
    if not isinstance(unit, Shortcut):
        found["shortcut"] = ("model.name", "none")
    elif isinstance(unit.join, Scaled):
        scales = (unit.join.shortcut, unit.join.branch)
        found["scales"] = ("model.unit.join", scales)
    if isinstance(unit, Shortcut):
        found["what gates see"] = ("model.unit.join", "the resized shortcut")
    if isinstance(unit, Unit):
        gate, drop = unit.gate, unit.stochastic_depth
        survival = drop.survival_prob if drop else 1.0
        found["gate"] = ("model.unit.gate", gate.name if gate else "none")
        place = "model.unit.stochastic_depth"
        found["survival of the last unit"] = (place, survival)
    return found


def first_branch(spec: ResNetSpec) -> Branch:
    """The branch of the first unit, without an inner pre-activation."""
    (first, *_) = *spec.firsts, spec.unit
    return getattr(first.branch, "branch", first.branch)


def _branch_name(branch: Branch, chosen: str) -> str:
    """Name of a branch, by its kernels if the depth may have chosen them."""
    known = {"auto", "basic", "bottleneck", "single", "min"}
    kernels = getattr(branch, "kernels", ())
    return BRANCHES.get(kernels, chosen) if chosen in known else chosen


def _groups(branch: B) -> Quantities:
    """C and D of a bottleneck CxDd, which may follow the depth."""
    place, groups = "model.unit.branch", branch.cardinality
    width = branch.inner * 256 / groups
    return {
        "groups": (f"{place}.cardinality", groups),
        "width of a group": (f"{place}.group_width", width),
    }


def _noise(unit) -> Quantities:
    """Kind and rate of a unit's noise; nothing for units without a slot for it."""
    if hasattr(unit, "dropout"):
        place, word = "model.unit.dropout", "dropout" if unit.dropout else "none"
        return {"noise": (place, word), "dropout": (place, unit.dropout)}
    if not hasattr(unit, "noise"):
        return {}
    place, noise = "model.unit.noise", unit.noise
    if noise is None:
        return {"noise": (place, "none"), "dropout": (place, 0.0)}
    return {"noise": (place, noise.name), "dropout": (f"{place}.rate", noise.rate)}
