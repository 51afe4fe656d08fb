"""From the words of `model.unit` to what fills the slots of a residual unit."""

import dataclasses
from collections.abc import Callable
from typing import Any

from resnet_jax.config.schema import ModelConfig, UnitConfig
from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.dropout import DropBlock, Dropout, Noise, SpatialDropout
from resnet_jax.models.units import branch as branches
from resnet_jax.models.units import shortcut as shortcuts
from resnet_jax.models.units import unit as units
from resnet_jax.models.units.ghost import GGhost
from resnet_jax.models.units.min import Min
from resnet_jax.models.units.multigrid import Multigrid
from resnet_jax.models.units.shake import ShakeShake

ORDERS = {
    "original": units.ORIGINAL,
    "norm_after_addition": units.NORM_AFTER_ADDITION,
    "relu_before_addition": units.RELU_BEFORE_ADDITION,
    "relu_only_pre": units.RELU_ONLY_PRE,
    "full_pre": units.FULL_PRE,
    "pyramid": units.PYRAMID,
}
BRANCHES = {
    "basic": branches.BASIC,
    "bottleneck": branches.BOTTLENECK,
    "single": branches.SINGLE,
}


def residual(model: ModelConfig, zoo_function: Callable[..., Any], **fields: Any):
    """A residual net of the zoo, its units' slots filled from the config."""
    unit = model.unit
    spec = zoo_function(
        model.depth,
        width=model.width,
        order=ORDERS[unit.order],
        shortcut=unit.shortcut,
        gate=units.SE(unit.se_reduction, unit.se_place) if unit.gate == "se" else None,
        join=join(unit),
        dropped=unit.dropped,
        **fields,
    )
    ghosts = GGhost(model.ghost_share) if model.ghost_share else spec.ghosts
    return dataclasses.replace(spec, survival=unit.survival, ghosts=ghosts)


def join(unit: UnitConfig) -> shortcuts.Join:
    """How the paths of a unit meet."""
    if unit.join != "add" and unit.shortcut == "none":
        raise ConfigError(
            f"model.unit.join={unit.join!r}: shortcut 'none' joins nothing"
        )
    match unit.join:
        case "add":
            return shortcuts.Add()
        case "scaled":
            return shortcuts.Scaled(*unit.scales)
        case "exclusive_gating":
            return shortcuts.Gated("both", unit.gating_bias)
        case "shortcut_only_gating":
            return shortcuts.Gated("shortcut", unit.gating_bias)
        case "dropout":
            return shortcuts.Dropped(unit.dropout_rate)


def noise(unit: UnitConfig) -> Noise | None:
    """What acts ahead of a branch's last convolution."""
    match unit.noise:
        case "none":
            return None
        case "dropout":
            return Dropout(unit.noise_rate)
        case "spatial_dropout":
            return SpatialDropout(unit.noise_rate)
        case "drop_block":
            return DropBlock(unit.noise_rate, unit.noise_block)


def branch(model: ModelConfig, default: str) -> branches.Branch:
    """The branch of a config, or two of them, shaken."""
    unit = model.unit
    name = default if unit.branch == "auto" else unit.branch
    arm: branches.Branch
    if name == "min":
        arm = Min()
    elif name == "multigrid":
        arm = Multigrid(unit.mg_group, unit.mg_coarsest)
    else:
        arm = convolutions(unit, name)
    return arm if unit.arms == 1 else ShakeShake(arm)


def convolutions(unit: UnitConfig, name: str) -> branches.B:
    """A branch of convolutions; groups and their width where it is a bottleneck.

    C groups of d channels, at 64 channels of the template, are C d / 256 of the output
    (ResNeXt, released code; 1 group of 64 is He's bottleneck, of 128 that of WRN-50-2).
    """
    grouped = (unit.cardinality, unit.group_width) != (1, 64)
    if name != "bottleneck":
        if grouped:
            raise ConfigError(
                f"model.unit.cardinality={unit.cardinality}, group_width="
                f"{unit.group_width:g}: are of bottlenecks, not of branch {name!r}"
            )
        return dataclasses.replace(BRANCHES[name], noise=noise(unit))
    return dataclasses.replace(
        branches.BOTTLENECK,
        inner=unit.cardinality * unit.group_width / 256,
        cardinality=unit.cardinality,
        stride_at=1 if unit.stride_at == "3x3" else 0,
        noise=noise(unit),
    )
