"""Dotted paths of frozen dataclasses and nested mappings; addresses of folders."""

import dataclasses
import difflib
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

from resnet_jax.errors import ConfigError

Spec = TypeVar("Spec", bound=Any)  # a frozen dataclass
Value: TypeAlias = Any  # JSON value, or a tuple of them
Tree: TypeAlias = dict[str, Value]

# pathlib makes one slash of two; no scheme has a single letter, as drives have.
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def remote(path: str | os.PathLike) -> bool:
    """Tell whether a path is an address, such as gs://bucket/folder, and no folder."""
    return SCHEME.match(os.fspath(path)) is not None


def replaced(spec: Spec, changes: Mapping[str, object]) -> Spec:
    """Copy a (nested) frozen dataclass with the fields at dotted paths changed.

    `spec` is any spec, `changes` maps paths of fields to values. ConfigError for a
    field that does not exist, with those that do.

    >>> replaced(resnet, {"unit.order": FULL_PRE, "layers.act": PRelu()})
    """
    for path, value in changes.items():
        spec = _replaced(spec, path.split("."), value, path=path)
    return spec


def _replaced(spec, names: list[str], value: object, *, path: str):
    fields = [field.name for field in dataclasses.fields(spec)]
    name, *rest = names
    if name not in fields:
        raise ConfigError(
            f"{path!r}: {type(spec).__name__} has no field {name!r}; "
            f"it has {', '.join(fields)}{did_you_mean(name, fields)}"
        )
    if rest:
        value = _replaced(getattr(spec, name), rest, value, path=path)
    return dataclasses.replace(spec, **{name: value})


def replaced_where_known(spec: Spec, changes: Mapping[str, object]) -> Spec:
    """Copy a dataclass with fields changed; names that it lacks are ignored."""
    names = {field.name for field in dataclasses.fields(spec)} & {*changes}
    return dataclasses.replace(spec, **{name: changes[name] for name in names})


def did_you_mean(name: str, choices: list[str], *, prefix: str = "") -> str:
    """'; did you mean ...?' for a close choice, else an empty text.

    Initials count as close: lr for learning_rate.
    """
    initials = {"".join(word[:1] for word in c.split("_")): c for c in choices}
    close = difflib.get_close_matches(name, choices, n=1)
    if not close and len(name) > 1 and name in initials:
        close = [initials[name]]
    return f"; did you mean {prefix + close[0]!r}?" if close else ""


def shortened(texts: Sequence[str], *, most: int) -> list[str]:
    """The first texts, and "and N more" for the others."""
    more = len(texts) - most
    return [*texts[:most], *([f"and {more} more"] if more > 0 else [])]


def flat(tree: Mapping[str, object], prefix: str = "") -> Tree:
    """Flatten nested mappings to one dict from dotted path to leaf."""
    leaves = {}
    for name, value in tree.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping):
            leaves |= flat(value, f"{path}.")
        else:
            leaves[path] = value
    return leaves


def flat_as_json(tree: Mapping[str, object]) -> Tree:
    """Flatten nested mappings, with lists for tuples as in JSON."""
    return {path: listed(leaf) for path, leaf in flat(tree).items()}


def listed(leaf: object) -> object:
    """Turn tuples into lists, at any depth."""
    if isinstance(leaf, tuple | list):
        return [listed(part) for part in leaf]
    return leaf
