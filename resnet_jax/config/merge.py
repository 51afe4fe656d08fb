"""Merge of changes into a config, by dotted path.

A config is first a tree of plain values. A slot holds a mapping with the `name` of a
member and its fields, or None. Changes come in layers (an experiment, its row, the
command line); inside a layer their order does not matter. A layer that names another
member replaces the slot: only fields of a base class with `STAYS` are kept.
"""

import dataclasses
import functools
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from resnet_jax.config.overrides import Text, parsed
from resnet_jax.config.renamed import RENAMED
from resnet_jax.config.types import Hint
from resnet_jax.paths import Tree, Value, did_you_mean


class Slot(typing.NamedTuple):
    """Members of a union by their words, and the names of fields that all keep."""

    members: dict[str, type]
    optional: bool
    shared: frozenset[str]

    @property
    def words(self) -> list[str]:
        return [*self.members, *(["none"] if self.optional else [])]


@functools.cache
def hints(cls: type) -> dict[str, Hint]:
    """Types of the fields of a part of the config."""
    found = typing.get_type_hints(cls, include_extras=True)
    return {field.name: found[field.name] for field in dataclasses.fields(cls)}


@functools.cache
def slot(hint: Hint) -> Slot | None:
    """Slot of a union of parts; None for a plain value or a section."""
    options = [option for option in _options(hint) if option is not type(None)]
    if not all(map(dataclasses.is_dataclass, options)):
        return None
    members = {word: option for option in options for word in words(option)}
    if not members:
        return None
    optional = len(options) < len(_options(hint))
    return Slot(members, optional, _shared(options))


def section(hint: Hint) -> type | None:
    """Class of a part that is no slot, else None."""
    is_part = isinstance(hint, type) and dataclasses.is_dataclass(hint)
    return hint if is_part and not words(hint) else None


@functools.cache
def words(cls: type) -> tuple[str, ...]:
    """Words that choose a class in a slot; () for a section."""
    return literals(hints(cls).get("name"))


def _options(hint: Hint) -> list[Hint]:
    """Alternatives of a type, without annotations."""
    if typing.get_origin(hint) is Annotated:
        return _options(typing.get_args(hint)[0])
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [o for arg in typing.get_args(hint) for o in _options(arg)]
    return [hint]


def _shared(members: list[type]) -> frozenset[str]:
    """Names of the fields of base classes with `STAYS`."""
    bases = {base for cls in members for base in cls.__mro__ if "STAYS" in vars(base)}
    return frozenset(name for base in bases for name in hints(base))


def nested(changes: Mapping[str, object]) -> Tree:
    """Nest dotted paths; the word and the fields of a slot become one mapping.

    >>> nested({"model.unit.join": "scaled", "model.unit.join.branch": 1.0})
    {'model': {'unit': {'join': {'name': 'scaled', 'branch': 1.0}}}}
    """
    tree: Tree = {}
    for path, value in changes.items():
        *owners, name = path.split(".")
        at = tree
        for owner in owners:
            if not isinstance(at.get(owner, {}), dict):
                at[owner] = {"name": at[owner]}
            at = at.setdefault(owner, {})
        if isinstance(value, Mapping):
            value = nested(value)
        at[name] = _joined(at[name], value) if name in at else value
    return tree


def _joined(old: Value, new: Value) -> Value:
    """Merge two values of a path; a word is the name of a member."""
    if not isinstance(old, dict) and not isinstance(new, dict):
        return new
    first, second = (v if isinstance(v, dict) else {"name": v} for v in (old, new))
    joined = first | second
    for name in first.keys() & second.keys():
        joined[name] = _joined(first[name], second[name])
    return joined


class Merge:
    """Layers of changes on a tree; `problems` collects error messages."""

    def __init__(self):
        self.problems: list[str] = []

    def section(
        self,
        cls: type,
        tree: Tree,
        changes: Tree,
        path: str = "",
        *,
        of: Slot | None = None,
    ) -> Tree:
        """Fields of a part, the member of slot `of` or of none, after changes."""
        known, merged = hints(cls), dict(tree)
        for name, value in changes.items():
            where = f"{path}.{name}".lstrip(".")
            if name in known:
                merged[name] = self._value(known[name], tree.get(name), value, where)
            elif name == "name":  # of a slot, which this is not
                self.problems.append(_without_word(cls, path, value))
            else:
                typed = _typed_path(where, value)
                self.problems.append(
                    _unknown(cls, path, name, tree, typed=typed) + _others(of, name)
                )
        return merged

    def _value(self, hint: Hint, old: Value, value: Value, path: str) -> Value:
        if found := slot(hint):
            return self._slot(found, old, value, path)
        if part := section(hint):
            if not isinstance(value, dict):
                self.problems.append(_without_word(part, path, value))
                return old
            return self.section(part, old, value, path)
        if isinstance(value, dict):
            self.problems.append(_without_fields(path, value))
            return old
        return parsed(value, _kinds(hint)) if isinstance(value, Text) else value

    def _slot(self, found: Slot, old: Tree | None, value: Value, path: str) -> Value:
        changes = value if isinstance(value, dict) else {"name": value}
        word = changes.get("name", old and old["name"])
        if isinstance(word, dict):
            self.problems.append(_without_fields(f"{path}.name", word))
            return old
        if word is None and "name" not in changes:
            first = next(iter(changes), "name")
            self.problems.append(
                f"{path}.{first}: {path} is none; choose one of "
                f"{', '.join(found.members)} ({path}={next(iter(found.members))})"
            )
            return old
        word = None if word == "None" else word
        if word in (None, "none") and found.optional and "none" not in found.members:
            rest = [name for name in changes if name != "name"]
            self.problems += [f"{path}.{name}: {path} is none" for name in rest]
            return None
        if not isinstance(word, str) or word not in found.members:
            field = f"{path}.name" if found.shared else path
            self.problems.append(
                f"{field}={word!r}: must be one of {', '.join(found.words)}"
                f"{did_you_mean(str(word), found.words)}"
            )
            return old
        member = found.members[word]
        if old is None or word != old["name"]:
            kept = {k: v for k, v in (old or {}).items() if k in found.shared}
            kept = {k: v for k, v in kept.items() if k in hints(member)}
            old = dataclasses.asdict(member()) | kept | {"name": str(word)}
        rest = {name: v for name, v in changes.items() if name != "name"}
        return self.section(member, old, rest, path, of=found)


def _without_word(cls: type, path: str, value: Value) -> str:
    """Error message for a value in the place of a section."""
    return f"{path}={value!r}: has fields of its own, {', '.join(hints(cls))}"


def _without_fields(path: str, value: Tree) -> str:
    """Error message for a mapping in the place of a value."""
    inner = next((name for name in value if name != "name"), "name")
    return f"{path}.{inner}: {path} is a value, without fields"


def _others(found: Slot | None, name: str) -> str:
    """Words of a slot whose members have a field, where they are few."""
    members = found.members.items() if found else ()
    having = [word for word, member in members if name in hints(member)]
    if not 0 < len(having) <= 4:
        return ""
    return f"; a field of {', '.join(having)}"


def _typed_path(path: str, value: object) -> str:
    """Dotted path of the only leaf of a value, as it was typed."""
    while isinstance(value, dict) and len(value) == 1:
        ((name, value),) = value.items()
        path = f"{path}.{name}"
    return path


def _unknown(cls: type, owner: str, name: str, tree: Tree, *, typed: str) -> str:
    """Error message for a field that the part at `owner` does not have."""
    prefix, known = f"{owner}.".lstrip("."), list(hints(cls))
    new = RENAMED.get(prefix + name, "")
    lacking = new.startswith(prefix) and new[len(prefix) :].split(".")[0] not in known
    if new and not lacking:
        return f"{typed}: renamed to {new}"
    what = f"config.{owner}".rstrip(".")
    if words(cls):
        what += f"={tree.get('name')!r}"
    near = did_you_mean(name, known, prefix=prefix)
    return f"{typed}: {what} has no field {name!r}; it has {', '.join(known)}{near}"


def leaves(cls: type, path: str = "") -> Iterator[tuple[str, type, Hint]]:
    """(path, owner, type) of every field of a class and of its possible members."""
    for name, hint in hints(cls).items():
        where = f"{path}.{name}".lstrip(".")
        if found := slot(hint):
            yield where, cls, hint
            for member in dict.fromkeys(found.members.values()):
                yield from leaves(member, where)
        elif part := section(hint):
            yield from leaves(part, where)
        elif name != "name" or not literals(hint):
            yield where, cls, hint


def _kinds(hint: Hint) -> list[Hint]:
    """Plain types of a value: int, tuple, NoneType."""
    options = _options(hint)
    kinds = [typing.get_origin(option) or option for option in options]
    return [type(v) for v in literals(hint)] + [k for k in kinds if k is not Literal]


@functools.cache
def literals(hint: Hint) -> tuple[Value, ...]:
    """Values of a Literal; () for another type."""
    for option in _options(hint):
        if typing.get_origin(option) is Literal:
            return typing.get_args(option)
    return ()
