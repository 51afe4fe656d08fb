"""From an experiment file and a command line to valid fields; no jax is needed.

An experiment file names changes to the defaults of `fields.py` (`configured`); the
command line changes more; `validated` turns the result into frozen dataclasses or says
everything that is wrong with it. Past this point nobody sees a ConfigDict.
"""

import dataclasses
import re
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

import ml_collections
import pydantic
from ml_collections import config_dict

from resnet_jax.config.schema import Config
from resnet_jax.errors import ConfigError
from resnet_jax.paths import did_you_mean


def configured(
    base: Mapping[str, Any], rows: Mapping[str, Mapping[str, Any]], row: str
) -> ml_collections.ConfigDict:
    """The defaults with the changes of an experiment and of one of its rows.

    `base` and each row map dotted paths to values.
    """
    if row not in rows:
        raise ConfigError(
            f"row {row!r}: this experiment has {', '.join(rows)}"
            f"{did_you_mean(row, list(rows))}"
        )
    config = _defaults(Config)
    for path, value in (dict(base) | dict(rows[row])).items():
        if problem := unknown(config, path):
            raise ConfigError(problem)
        owner, _, name = path.rpartition(".")
        section = config[owner] if owner else config
        # An int where "global" may stand stays text until it is validated.
        kind = section.get_type(name)
        section[name] = (
            kind(value) if kind in (float, str) and value is not None else value
        )
    return config


def unknown(config: ml_collections.ConfigDict, path: str) -> str | None:
    """What is wrong with a dotted path, or nothing."""
    section: Any = config
    for i, name in enumerate(path.split(".")):
        fields = list(section) if isinstance(section, ml_collections.ConfigDict) else []
        if name not in fields:
            where = ".".join(["config", *path.split(".")[:i]])
            return (
                f"{path}: {where} has no field {name!r}; it has "
                f"{', '.join(fields) or 'none'}{did_you_mean(name, fields)}"
            )
        section = section[name]
    return None


def validated(config: Mapping[str, Any]) -> Config:
    """A Config of nested plain values, or a ConfigError with a line a problem."""
    try:
        checked = _ADAPTER.validate_python(config)
    except pydantic.ValidationError as error:
        raise ConfigError("\n".join(_problems(error, config))) from None
    epochs, iterations = checked.train.epochs, checked.train.iterations
    if epochs is None and iterations is None:
        raise ConfigError("train.epochs=None: set it, or train.iterations")
    if epochs is not None and iterations is not None:
        raise ConfigError(
            f"train.epochs={epochs}: train.iterations={iterations} is set as well; "
            "make one of them None"
        )
    seeds = checked.train.seeds
    if twice := sorted({seed for seed in seeds if seeds.count(seed) > 1}):
        raise ConfigError(f"train.seeds={seeds}: names {twice[0]} twice")
    return checked


def _defaults(schema: type) -> ml_collections.ConfigDict:
    """A ConfigDict of all fields; those that may be None keep their type."""
    config = ml_collections.ConfigDict()
    hints = typing.get_type_hints(schema)
    for field in dataclasses.fields(schema):
        if dataclasses.is_dataclass(hints[field.name]):
            config[field.name] = _defaults(hints[field.name])
        elif field.default is None:
            config[field.name] = config_dict.placeholder(_plain(hints[field.name]))
        else:
            config[field.name] = field.default
    return config


def _plain(hint: Any) -> type:
    """int, float or str of `int | None` and the like."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return _plain(next(a for a in typing.get_args(hint) if a is not type(None)))
    if typing.get_origin(hint) is Literal:
        return type(typing.get_args(hint)[0])
    return hint


def _problems(error: pydantic.ValidationError, config: Mapping[str, Any]) -> list[str]:
    """`model.depth=0: must be greater than or equal to 1`, a line a field."""
    rules: dict[str, list[str]] = {}
    for problem in error.errors():
        path, value = _field(problem["loc"], config)
        rule = re.sub(r"^(Input|String) should", "must", problem["msg"])
        rules.setdefault(f"{path}={value!r}", []).append(rule)
    return [f"{field}: {' or '.join(rule)}" for field, rule in rules.items()]


def _field(loc: tuple[Any, ...], config: Any) -> tuple[str, Any]:
    """The path of a field, without what pydantic appends for unions and tuples."""
    names = []
    for name in loc:
        if not isinstance(config, Mapping) or name not in config:
            break
        names.append(str(name))
        config = config[name]
    return ".".join(names or map(str, loc)), config


_ADAPTER = pydantic.TypeAdapter(Config)
