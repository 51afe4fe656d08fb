"""Quantities of a config's network, in the words that facts of papers use."""

import dataclasses
from typing import TypeAlias

from resnet_jax.config.family import Relayed
from resnet_jax.config.layers import Ghost
from resnet_jax.config.models import Model
from resnet_jax.config.other_nets import ImageNetDenseNet
from resnet_jax.config.residual_nets import GhostNet
from resnet_jax.config.units import Scaled, Shortcut, Unit
from resnet_jax.models.nets.resnet import ResNetSpec
from resnet_jax.models.nets.spec import NetSpec
from resnet_jax.models.units.branch import B, Branch
from resnet_jax.models.units.unit import ORIGINAL
from resnet_jax.paths import Value

Told: TypeAlias = dict[str, tuple[str, Value]]  # quantity: (field, value)
BRANCHES = {(3, 3): "basic", (1, 3, 1): "bottleneck", (3,): "single"}  # by kernels

# Quantities that are fields of a family, or of its units, as they are.
FAMILY = {
    "depth": "depth",
    "width": "width",
    "variant": "variant",
    "size": "size",
    "growth rate": "growth",
    "compression": "compression",
    "links": "connectivity",
    "levels of the pyramid": "levels",
}
UNIT = {
    "kernels": "kernels",
    "order": "order",
    "shortcut": "shortcut",
    "join": "join",
    "gate bias": "join.bias",
    "dropout of the shortcut": "join.rate",
    "reduction of the gate": "gate.reduction",
}


def network_quantities(model: Model, spec: NetSpec) -> Told:
    """The fields of the model; of its units where it has residual ones."""
    operator = model.operator
    told = {
        "form": ("model.name", model.name),
        "operator": ("model.operator", operator.name if operator else "none"),
        "classes": ("model.num_classes", spec.num_classes),
        "rectifier": ("model.act", model.act.name),
        "slope": ("model.act.slope", spec.layers.act.slope),
        "BatchNorm": ("model.norm", "yes" if spec.layers.norm else "no"),
    }
    for quantity, field in FAMILY.items():
        if hasattr(model, field):
            told[quantity] = (f"model.{field}", getattr(model, field))
    if isinstance(model, ImageNetDenseNet):
        told["links"] = ("model.name", "dense")
    ghost, place = operator, "model.operator"
    if isinstance(model, GhostNet):
        ghost, place = model.ghost, "model.ghost"
    if isinstance(ghost, Ghost):
        told["ratio of the ghosts"] = (f"{place}.ratio", ghost.ratio)
        told["kernel of the ghosts"] = (f"{place}.kernel", ghost.kernel)
    if isinstance(model, Relayed):
        losses = model.auxiliary_loss.stages if model.auxiliary_loss else ()
        told["losses inside"] = ("model.auxiliary_loss.stages", losses)
    unit = getattr(model, "unit", None)
    return told | _residual(unit, spec) | _units(unit)


def _residual(unit: object, spec: NetSpec) -> Told:
    """Quantities of a residual net's slots."""
    if not isinstance(spec, ResNetSpec):
        return {}
    shortcut = unit.shortcut if isinstance(unit, Shortcut) else "none"
    normed = shortcut in ("B", "C") and "norm" in spec.unit.order.end
    branch = first_branch(spec)
    word = getattr(getattr(unit, "branch", None), "name", "auto")
    told = {
        "branch": ("model.unit.branch", _word(branch, word)),
        "norm on projections": ("model.unit.shortcut", "yes" if normed else "no"),
        "units a stage": ("model.depth", spec.depths),
        "pool of the stem": ("model.name", _pool(spec)),
    }
    if _kernels(branch) == (1, 3, 1) and isinstance(branch, B):
        strides = "3x3" if branch.stride_at == 1 else "1x1"
        told["stride of a bottleneck"] = ("model.unit.branch.stride_at", strides)
        if hasattr(unit, "branch"):
            told |= _groups(branch)
    if unit is None and spec.unit.order == ORIGINAL:
        told["order"] = ("model.name", "original")
    return told


def _units(unit: object) -> Told:
    """Fields of the unit and of the members of its slots."""
    if not dataclasses.is_dataclass(unit) or isinstance(unit, type):
        return {}
    tree = dataclasses.asdict(unit)
    told = {
        name: (f"model.unit.{path}", value)
        for name, path in UNIT.items()
        if (value := _at(tree, path)) is not None
    }
    told |= _noise(unit)
    if not isinstance(unit, Shortcut):
        told["shortcut"] = ("model.name", "none")
    elif isinstance(unit.join, Scaled):
        scales = (unit.join.shortcut, unit.join.branch)
        told["scales"] = ("model.unit.join", scales)
    if isinstance(unit, Shortcut):
        told["what gates see"] = ("model.unit.join", "the resized shortcut")
    if isinstance(unit, Unit):
        gate, drop = unit.gate, unit.stochastic_depth
        survival = drop.survival_prob if drop else 1.0
        told["gate"] = ("model.unit.gate", gate.name if gate else "none")
        place = "model.unit.stochastic_depth"
        told["survival of the last unit"] = (place, survival)
    return told


def _at(tree: Value, path: str) -> Value:
    """The value at a dotted path, the word of a member; None where there is none."""
    for name in path.split("."):
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree["name"] if isinstance(tree, dict) else tree


def first_branch(spec: ResNetSpec) -> Branch:
    """The branch of the first unit, without a pre-activation inside it."""
    (first, *_) = *spec.firsts, spec.unit
    return getattr(first.branch, "branch", first.branch)


def _word(branch: Branch, chosen: str) -> str:
    """The word of a branch of convolutions, which may have come with the depth."""
    known = {"auto", "basic", "bottleneck", "single", "min"}
    return BRANCHES.get(_kernels(branch) or (), chosen) if chosen in known else chosen


def _kernels(branch: Branch) -> tuple[int, ...] | None:
    return getattr(branch, "kernels", None)


def _groups(branch: B) -> Told:
    """C and D of a bottleneck CxDd, which may have come with the depth."""
    place, groups = "model.unit.branch", branch.cardinality
    width = branch.inner * 256 / groups
    return {
        "groups": (f"{place}.cardinality", groups),
        "width of a group": (f"{place}.group_width", width),
    }


def _noise(unit) -> Told:
    """Noise of a unit that has a place for it, and its rate: 0 where there is none."""
    if hasattr(unit, "dropout"):
        place, word = "model.unit.dropout", "dropout" if unit.dropout else "none"
        return {"noise": (place, word), "dropout": (place, unit.dropout)}
    if not hasattr(unit, "noise"):
        return {}
    place, noise = "model.unit.noise", unit.noise
    if noise is None:
        return {"noise": (place, "none"), "dropout": (place, 0.0)}
    return {"noise": (place, noise.name), "dropout": (f"{place}.rate", noise.rate)}


def _pool(spec: ResNetSpec) -> str:
    return "3x3, stride 2, padding 1" if spec.stem.pool else "none"
