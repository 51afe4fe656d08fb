"""Residual networks with a stage for every unit, whose widths may then differ."""

import dataclasses
from collections.abc import Iterator

import jax
from jaxtyping import PyTree

from resnet_jax.errors import ConfigError
from resnet_jax.models.nets.resnet import ResNetSpec
from resnet_jax.models.units.unit import UnitSpec

Variables = dict[str, PyTree]
NO_RULE = "no rule says how such a network is cut"


def separated(spec: ResNetSpec, variables: Variables) -> tuple[ResNetSpec, Variables]:
    """The same network with one unit a stage: nothing is stacked, nothing in a loop.

    Units are counted through: stage2/rest of [3, 3] units is in stage5 and stage6.
    ConfigError for auxiliary losses and ghosts of stages, which know the old stages.
    """
    for field in ("relays", "ghosts"):
        if getattr(spec, field):
            raise ConfigError(f"{field}: {NO_RULE}")
    units = [*_units(spec)]
    new = dataclasses.replace(
        spec,
        depths=(1,) * len(units),
        widths=tuple(width for _, width, _ in units),
        firsts=tuple(unit for unit, _, _ in units),
        strides=tuple(strides for _, _, strides in units),
        depth_mode="scan",
    )
    trees = {name: _unstacked(tree, spec.depths) for name, tree in variables.items()}
    return new, trees


def _units(spec: ResNetSpec) -> Iterator[tuple[UnitSpec, int, int]]:
    """(unit, output channels, strides) of every unit."""
    for stage, units in enumerate(spec.depths):
        yield spec.first(stage), spec.widths[stage], spec.stage_strides[stage]
        yield from [(spec.unit, spec.widths[stage], 1)] * (units - 1)


def _unstacked(tree: PyTree, depths: tuple[int, ...]) -> PyTree:
    """The variables of all units under the names of their new stages."""
    stages = {f"stage{i + 1}" for i in range(len(depths))}
    new, number = {name: tree[name] for name in tree if name not in stages}, 0
    for stage, units in enumerate(depths, 1):
        own = tree.get(f"stage{stage}", {})
        for unit in range(units):
            number += 1
            held = own.get("first", {})
            if unit:
                held = jax.tree.map(
                    lambda leaf, k=unit - 1: leaf[k], own.get("rest", {})
                )
            if held:
                new[f"stage{number}"] = {"first": held}
    return new
