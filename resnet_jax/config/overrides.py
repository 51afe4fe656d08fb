"""Fields on the command line: --config.x.y=v or --config.x.y v."""

import ast
import re
from collections.abc import Iterator, Sequence
from typing import TypeGuard

from resnet_jax.config.types import Hint
from resnet_jax.errors import ConfigError
from resnet_jax.paths import Tree, Value


class Text(str):
    """A value as typed, to be parsed by the type of its field."""


def overrides(arguments: Sequence[str]) -> Tree:
    """Changes by dotted path; ConfigError for any other argument."""
    return {
        path: _mapping(path, text) if text.startswith("{") else Text(text)
        for path, text in _assignments(arguments)
    }


def _assignments(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    left = iter(arguments)
    for argument in left:
        match = re.fullmatch(r"--config\.([\w.]+)(?:=(.*))?", argument, re.DOTALL)
        if match is None:
            raise ConfigError(
                f"{argument}: not understood; fields are --config.x.y=value"
            )
        path, text = match.groups()
        text = next(left, None) if text is None else text
        if text is None:
            raise ConfigError(f"--config.{path}: has no value")
        yield path, text


def _mapping(path: str, text: str) -> Tree:
    """Parse a member of a slot with fields, {"name": "scaled", "branch": 1.0}."""
    found = literal(text)
    if not _maps_fields(found):
        raise ConfigError(
            f"--config.{path}={text}: not a mapping, as {{'name': 'scaled'}} is one"
        )
    return found


def _maps_fields(found: object) -> TypeGuard[Tree]:
    """True for a mapping with texts as keys, at every depth."""
    return isinstance(found, dict) and all(
        isinstance(name, str) and (not isinstance(value, dict) or _maps_fields(value))
        for name, value in found.items()
    )


def literal(text: str) -> Value:
    """Parse a Python literal; return the text itself if it is none."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def parsed(text: str, kinds: Sequence[Hint]) -> Value:
    """Parse a text for a field of the given types; return the text if it is none."""
    if type(None) in kinds and text == "None":
        return None
    if bool in kinds and text.lower() in ("true", "false"):
        return text.lower() == "true"
    found = literal(text)
    numbers = bool in kinds or any(kind in (int, float, tuple) for kind in kinds)
    plain = type(found) in (type(None), bool, int, float, tuple)
    return found if numbers and plain else str(text)
