"""Specs as JSON, for networks that no family of the config describes.

{"spec": "resnet.ResNetSpec", "depths": [3, 3], "unit": {"spec": "unit.UnitSpec", ...}}

Tuples are lists in JSON. Only dataclasses of these modules are read: a file names data,
never code.
"""

import dataclasses
import json
import os
import pathlib
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
    cut,
    gate,
    ghost,
    min,
    multigrid,
    preactivation,
    runge_kutta,
    separable,
    shake,
    shortcut,
    unit,
)
from resnet_jax.models.zoo import ghostnets, resnets_3d, xceptions

Value: TypeAlias = Any  # a spec or a field of one, or the JSON of it

MODULES = (
    activations, batchnorm, dropout, initializers, layers, operators, pyramid,
    auxiliary_loss, densenet, plain, resnet, rkcnn, stem_head, branch, cut, gate, ghost,
    min, multigrid, preactivation, runge_kutta, separable, shake, shortcut, unit,
    ghostnets, resnets_3d, xceptions,
)  # fmt: skip


# Dataclasses that the modules define, by their names in JSON
SPECS: dict[str, type] = {
    f"{module.__name__.rpartition('.')[2]}.{name}": found
    for module in MODULES
    for name, found in vars(module).items()
    if isinstance(found, type) and dataclasses.is_dataclass(found)
    if found.__module__ == module.__name__
}
NAMES = {cls: name for name, cls in SPECS.items()}


def to_json(spec: Value) -> Value:
    """JSON values of a spec."""
    if dataclasses.is_dataclass(spec):
        fields = [field.name for field in dataclasses.fields(spec)]
        own = {name: to_json(getattr(spec, name)) for name in fields}
        return {"spec": NAMES[type(spec)]} | own
    return [to_json(part) for part in spec] if isinstance(spec, tuple) else spec


def from_json(tree: Value, *, where: str = "spec") -> Value:
    """Spec of JSON values; ConfigError names the place of a mistake."""
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
    """Read a spec from a file; ConfigError if that fails."""
    try:
        tree = json.loads(pathlib.Path(path).read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"model.file={path}: cannot be read ({error})") from error
    found = from_json(tree, where=str(path))
    if not isinstance(found, NetSpec):
        raise ConfigError(f"model.file={path}: holds no network, but a part or a value")
    return found


def write(path: str | os.PathLike[str], spec: NetSpec) -> None:
    """Write a spec to a file."""
    pathlib.Path(path).write_text(json.dumps(to_json(spec), indent=1) + "\n")
