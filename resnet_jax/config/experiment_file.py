"""An experiment file: one claim of one paper, as rows, seeds and published values.

The file is a program that the user typed; it is loaded by its path and nothing else is.
"""

import importlib.util
import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from resnet_jax import papers as paper
from resnet_jax.errors import ConfigError
from resnet_jax.paths import did_you_mean, flat_as_json

# Fields that say how a run is carried out, not what is claimed of it.
OPERATIONAL = (
    "data.dir",
    "data.feed",
    "data.workers",
    "model.depth_mode",
    "train.steps_per_call",
    "train.checkpoint_every",
    "train.tensorboard",
    "seed",
)
# Row names are folder names: no separators, no leading dot.
ROW_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class Claim:
    """`rows` maps a row to the fields it changes, `configs` to its config of today."""

    name: str
    title: str
    rows: Mapping[str, Mapping[str, Any]]
    seeds: tuple[int, ...]
    published: Mapping[str, paper.Value]
    configs: Mapping[str, Mapping[str, Any]]


def load(path: Path) -> Claim:
    """The claim of an experiment file; ConfigError names what the file lacks."""
    module = _module(path)
    rows = _attribute(module, path, "ROWS", Mapping)
    for row in rows:
        if not isinstance(row, str) or not ROW_NAME.fullmatch(row):
            raise ConfigError(
                f"{path}: ROWS[{row!r}]: a row's name is a folder's name: letters, "
                "digits, '.', '_' and '-', at most 64, and no '.' first"
            )
    published = getattr(module, "PAPER", {})
    for row in published:
        if row not in rows:
            hint = did_you_mean(str(row), list(rows))
            raise ConfigError(f"{path}: PAPER[{row!r}]: no such row{hint}")
    seeds = _attribute(module, path, "SEEDS", list | tuple | range)
    return Claim(
        name=path.stem,
        title=(module.__doc__ or path.stem).strip().split("\n")[0],
        rows=rows,
        seeds=tuple(seeds),
        published={row: _value(published[row]) for row in published},
        configs={row: _config(module, path, row) for row in rows},
    )


def differences(config: Mapping[str, Any], today: Mapping[str, Any]) -> tuple[str, ...]:
    """Fields that both configs have and that differ, each as `path old, today new`."""
    old, new = flat_as_json(config), flat_as_json(today)
    return tuple(
        f"{name} {old[name]!r}, today {new[name]!r}"
        for name in sorted(old.keys() & new.keys())
        if name not in OPERATIONAL and not _same(old[name], new[name])
    )


def _same(old: Any, new: Any) -> bool:
    """Equal values; True is not 1, but 64 may be text until a config is validated."""
    if isinstance(old, str) != isinstance(new, str):
        return str(old) == str(new)
    return old == new and isinstance(old, bool) == isinstance(new, bool)


def _module(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"{path}: no such experiment file")
    spec = importlib.util.spec_from_file_location(f"_claim_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path}: an experiment file is a Python file, name.py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise _fault(path, error) from error
    return module


def _config(module: ModuleType, path: Path, row: str) -> Mapping[str, Any]:
    """Today's config of a row as nested plain values."""
    get_config = getattr(module, "get_config", None)
    if get_config is None:
        raise ConfigError(f"{path}: has no get_config(row)")
    try:
        config = get_config(row)
    except Exception as error:
        raise _fault(path, error) from error
    return config if isinstance(config, Mapping) else config.to_dict()


def _fault(path: Path, error: Exception) -> ConfigError:
    """An error inside the experiment file, with the deepest of its lines."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame.lineno for frame in frames if frame.filename == str(path)]
    place = f"{path}:{own[-1]}" if own else f"{path}"
    text = " ".join(str(error).split())
    return ConfigError(f"{place}: {type(error).__name__}: {text}")


def _attribute(module: ModuleType, path: Path, name: str, kind: Any) -> Any:
    value = getattr(module, name, None)
    if not isinstance(value, kind) or not len(value):
        raise ConfigError(f"{path}: has no {name}, or an empty one")
    return value


def _value(entry: Any) -> paper.Value:
    """A published value, or the one that a key names."""
    return entry if isinstance(entry, paper.Value) else paper.value(str(entry))
