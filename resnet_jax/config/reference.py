"""Reference of all config fields: types, ranges, defaults, explanations."""

import ast
import dataclasses
import functools
import inspect
import textwrap
import typing
from collections.abc import Iterator
from typing import Annotated, NamedTuple

from resnet_jax.config.merge import hints, literals, section, slot
from resnet_jax.config.schema import Config
from resnet_jax.config.types import Hint
from resnet_jax.errors import ConfigError
from resnet_jax.paths import did_you_mean


class Entry(NamedTuple):
    """One field, and `where`: the members of slots that must be chosen for it."""

    path: str
    where: str  # "model.act=leaky_relu"
    type: str
    default: str
    explanation: str


def entries() -> list[Entry]:
    """All fields in the order of the schema; families that share one have one entry."""
    families: dict[Entry, list[str]] = {}
    for entry, family in _entries(Config, "", "", ""):
        families.setdefault(entry, []).append(family)
    listed = []
    for entry, names in families.items():
        where = filter(None, [_families(names), entry.where])
        listed.append(entry._replace(where=", ".join(where)))
    return listed


def _families(names: list[str]) -> str:
    """`model=vgg | nin`, or the exceptions if they are fewer; "" for all families."""
    found = slot(hints(Config)["model"])
    chosen = {word for name in names for word in name.split(" | ")}
    others = [word for word in found.members if word not in chosen] if found else []
    if not others or not any(names):
        return ""
    if len(others) < len(chosen):
        return f"any model but {' | '.join(others)}"
    return f"model={' | '.join(names)}"


def text(part: str = "") -> str:
    """Lines for a terminal on the fields of a part; ConfigError if there is none."""
    every = entries()
    paths = [entry.path for entry in every]
    part = part if part in paths else part.removesuffix(".name")  # of a slot's word
    chosen = [
        entry
        for entry in every
        if not part or entry.path == part or entry.path.startswith(f"{part}.")
    ]
    if not chosen:
        near = _near(part, paths)
        raise ConfigError(f"--help_fields {part}: no such field or part{near}")
    lines = []
    for entry in chosen:
        lines.append(f"{entry.path}={entry.default}  ({entry.type})")
        where = f" Of {entry.where}." if entry.where else ""
        lines += textwrap.wrap(
            entry.explanation + where, 84, initial_indent="    ",
            subsequent_indent="    ", break_on_hyphens=False,
        )  # fmt: skip
    return "\n".join(lines)


def _near(part: str, paths: list[str]) -> str:
    """The part that the beginning of a path names, and what it has."""
    owner = part
    while owner and not any(path.startswith(f"{owner}.") for path in paths):
        owner = owner.rpartition(".")[0]
    prefix = f"{owner}." if owner else ""
    names = [p[len(prefix) :].partition(".")[0] for p in paths if p.startswith(prefix)]
    names = list(dict.fromkeys(names))
    near = did_you_mean(part[len(prefix) :], names, prefix=prefix)
    return f"; {owner or 'a config'} has {', '.join(names)}{near}"


def page() -> str:
    """Text of docs/fields.md: a table of all fields."""
    rows = [
        "# Fields of a config",
        "",
        "Made by `python -m resnet_jax.config.reference > docs/fields.md`. A field",
        "with an entry under *where* exists only where that member is chosen.",
        "",
        "| field | default | type and range | where | explanation |",
        "| --- | --- | --- | --- | --- |",
    ]
    for entry in entries():
        cells = (
            f"`{entry.path}`", f"`{entry.default}`", entry.type, entry.where,
            entry.explanation,
        )  # fmt: skip
        rows.append("| " + " | ".join(c.replace("|", r"\|") for c in cells) + " |")
    return "\n".join(rows)


def _entries(
    cls: type, path: str, family: str, where: str
) -> Iterator[tuple[Entry, str]]:
    """Fields of a part and of the members of its slots, each with its family.

    `where` is the innermost slot that must be chosen, besides the family.
    """
    texts = explanations(cls)
    defaults = {field.name: field.default for field in dataclasses.fields(cls)}
    for name, hint in hints(cls).items():
        at, found, part = f"{path}.{name}".lstrip("."), slot(hint), section(hint)
        if name == "name" and literals(hint):
            continue
        if part:
            yield from _entries(part, at, family, where)
            continue
        default = defaults[name]
        word = getattr(default, "name", default) if found else default
        shown = "none" if found and word is None else str(word)
        kind = ", ".join(found.words) if found else shown_type(hint)
        yield Entry(at, where, kind, shown, texts[name]), family
        for inner in dict.fromkeys(found.members.values()) if found else ():
            words = " | ".join(literals(hints(inner)["name"]))
            if at == "model":
                yield from _entries(inner, at, words, "")
            else:
                yield from _entries(inner, at, family, f"{at}={words}")


def shown_type(hint: Hint) -> str:
    """Readable type: `int, at least 1`; `A, B`; `int or None`."""
    if typing.get_origin(hint) is Annotated:
        inner, *notes = typing.get_args(hint)
        rules = [rule for note in notes for rule in _rules(note)]
        return ", ".join([shown_type(inner), *rules])
    args = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return ", ".join(map(str, args))
    if typing.get_origin(hint) is tuple:
        return f"({', '.join('...' if a is ... else shown_type(a) for a in args)})"
    if args:
        return " or ".join(shown_type(arg) for arg in args)
    return "None" if hint is type(None) else hint.__name__


def _rules(note: object) -> Iterator[str]:
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    for part in getattr(note, "metadata", [note]):
        for name, word in words.items():
            if (bound := getattr(part, name, None)) is not None:
                yield f"{word} {bound if isinstance(bound, int) else f'{bound:g}'}"
        if (least := getattr(part, "min_length", None)) is not None:
            yield f"{least} or more"
        if (pattern := getattr(part, "pattern", None)) is not None:
            yield f"of the form {pattern}"


@functools.cache
def explanations(cls: type) -> dict[str, str]:
    """Explanations by field: the strings below the fields of a class and its bases."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if dataclasses.is_dataclass(base):
            found |= _parsed(base)
    return found


@functools.cache
def _parsed(cls: type) -> dict[str, str]:
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(tree, ast.ClassDef)
    lines: dict[str, str] = {}
    for field, below in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            match below:
                case ast.Expr(ast.Constant(str(line))):
                    lines[field.target.id] = " ".join(line.split())
    return lines


if __name__ == "__main__":
    print(page())
