"""Specs of networks as JSON: for networks that no family of the config describes.

{"spec": "resnet.ResNetSpec", "depths": [3, 3], "unit": {"spec": "unit.UnitSpec", ...}}

Tuples are lists in JSON. Only the frozen dataclasses of these modules are read: a file
names data, never code.
"""

import dataclasses
import json
import os
import pathlib
from types import ModuleType
from typing import Any, TypeAlias

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers import (
    activations,
    batchnorm,
    dropout,
    initializers,
    layers,
    operators,
    pyramid,
)
from resnet_jax.models.nets import (
    auxiliary_loss,
    densenet,
    plain,
    resnet,
    rkcnn,
    stem_head,
)
from resnet_jax.models.nets.spec import NetSpec
from resnet_jax.models.units import (
    branch,
    gate,
    ghost,
    min,
    multigrid,
    preactivation,
    runge_kutta,
    shake,
    shortcut,
    unit,
)
from resnet_jax.models.zoo import ghostnets, resnets_3d

Value: TypeAlias = Any  # a spec or a field of one, or the JSON of it

MODULES = (
    activations, batchnorm, dropout, initializers, layers, operators, pyramid,
    auxiliary_loss, densenet, plain, resnet, rkcnn, stem_head, branch, gate, ghost, min,
    multigrid, preactivation, runge_kutta, shake, shortcut, unit, ghostnets, resnets_3d,
)  # fmt: skip


def _specs(module: ModuleType) -> dict[str, type]:
    """The dataclasses that a module defines, by their names in JSON."""
    short = module.__name__.rpartition(".")[2]
    return {
        f"{short}.{name}": found
        for name, found in vars(module).items()
        if dataclasses.is_dataclass(found)
        and isinstance(found, type)
        and found.__module__ == module.__name__
    }


SPECS = {name: cls for module in MODULES for name, cls in _specs(module).items()}
NAMES = {cls: name for name, cls in SPECS.items()}


def to_json(spec: Value) -> Value:
    """A spec as plain values."""
    if dataclasses.is_dataclass(spec):
        fields = [field.name for field in dataclasses.fields(spec)]
        own = {name: to_json(getattr(spec, name)) for name in fields}
        return {"spec": NAMES[type(spec)]} | own
    return [to_json(part) for part in spec] if isinstance(spec, tuple) else spec


def from_json(tree: Value, *, where: str = "spec") -> Value:
    """The spec of plain values; ConfigError names what is wrong, and where."""
    if isinstance(tree, list):
        parts = (from_json(x, where=f"{where}[{i}]") for i, x in enumerate(tree))
        return tuple(parts)
    if not isinstance(tree, dict):
        return tree
    name = tree.get("spec")
    if name not in SPECS:
        raise ConfigError(f"{where}: {name!r} is no spec of a network or its parts")
    fields = {
        key: from_json(value, where=f"{where}.{key}")
        for key, value in tree.items()
        if key != "spec"
    }
    known = [field.name for field in dataclasses.fields(SPECS[name])]
    if unknown := sorted(fields.keys() - known):
        raise ConfigError(
            f"{where}: {name} has no field {unknown[0]!r}; it has {', '.join(known)}"
        )
    try:
        return SPECS[name](**fields)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from error


def read(path: str | os.PathLike[str]) -> NetSpec:
    """The spec in a file; ConfigError where it cannot be read."""
    try:
        tree = json.loads(pathlib.Path(path).read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"model.file={path}: cannot be read ({error})") from error
    return from_json(tree, where=str(path))


def write(path: str | os.PathLike[str], spec: NetSpec) -> None:
    """Write a spec to a file."""
    pathlib.Path(path).write_text(json.dumps(to_json(spec), indent=1) + "\n")
