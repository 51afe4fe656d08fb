"""Changed copies of frozen specs and configs, by dotted path."""

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any

from resnet_jax.errors import ConfigError


def replaced(spec: Any, changes: Mapping[str, Any]) -> Any:
    """A copy of a (nested) frozen dataclass with the fields at dotted paths changed.

    >>> replaced(resnet, {"unit.order": FULL_PRE, "layers.act": PRelu()})
    """
    for path, value in changes.items():
        spec = _replaced(spec, path.split("."), value, path=path)
    return spec


def _replaced(spec: Any, names: list[str], value: Any, *, path: str) -> Any:
    fields = [f.name for f in dataclasses.fields(spec)]
    name, *rest = names
    if name not in fields:
        raise ConfigError(
            f"{path!r}: {type(spec).__name__} has no field {name!r}; "
            f"it has {', '.join(fields)}{did_you_mean(name, fields)}"
        )
    if rest:
        value = _replaced(getattr(spec, name), rest, value, path=path)
    return dataclasses.replace(spec, **{name: value})


def replaced_where_known(spec: Any, changes: Mapping[str, Any]) -> Any:
    """The same for those of some fields that the spec has."""
    known = {field.name for field in dataclasses.fields(spec)} & {*changes}
    return dataclasses.replace(spec, **{name: changes[name] for name in known})


def did_you_mean(name: str, choices: list[str], *, prefix: str = "") -> str:
    """'; did you mean ...?' where a choice is close to the name, else nothing.

    Initials are close: lr to learning_rate.
    """
    initials = {"".join(word[:1] for word in c.split("_")): c for c in choices}
    close = difflib.get_close_matches(name, choices, n=1)
    if not close and len(name) > 1 and name in initials:
        close = [initials[name]]
    return f"; did you mean {prefix + close[0]!r}?" if close else ""


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one dict from dotted path to leaf."""
    leaves = {}
    for name, value in tree.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping):
            leaves |= flat(value, f"{path}.")
        else:
            leaves[path] = value
    return leaves


def flat_as_json(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The same with lists for tuples, as JSON gives them back."""
    return {path: listed(leaf) for path, leaf in flat(tree).items()}


def listed(leaf: Any) -> Any:
    """A value with lists for tuples."""
    if isinstance(leaf, tuple | list):
        return [listed(part) for part in leaf]
    return leaf
