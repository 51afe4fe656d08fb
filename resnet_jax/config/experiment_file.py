"""Experiment files: one claim of one paper, as rows, seeds and published values.

The file is a Python program that `load` executes, once per command.
"""

import contextlib
import dataclasses
import inspect
import re
import runpy
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from resnet_jax import papers
from resnet_jax.config.overrides import overrides
from resnet_jax.config.resolve import changed, validated
from resnet_jax.config.schema import Config
from resnet_jax.errors import ConfigError, UserError
from resnet_jax.paths import Tree, did_you_mean

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=-]{0,63}")
PACKAGE = Path(__file__).parents[1]
# Folders of this package's experiment files: that of a wheel, that of a checkout
OWN = (PACKAGE / "experiments", PACKAGE.parent / "experiments")


class Variant(NamedTuple):
    """A row of an experiment file under --config.x.y=v."""

    row: str
    fields: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExperimentFile:
    """Definitions of an experiment file.

    rows: fields that each row changes; published: by row; network: key of
    `papers.NETWORKS` by row, where `published` does not name it; recipe: key of
    `papers.RECIPES`, or one by row; deviations: reasons by field; grid: rows that the
    file has not, as variants of those that it has.
    """

    path: str
    title: str
    rows: Mapping[str, Mapping[str, object]]
    seeds: tuple[int, ...]
    published: Mapping[str, papers.Value]
    network: Mapping[str, str]
    recipe: Mapping[str, str] | str | None
    deviations: Mapping[str, str | Mapping[str, str]]
    get_config: Callable[..., object]
    grid: Mapping[str, Variant] = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the folder of its runs."""
        return folder_name(Path(self.path).stem)

    @property
    def usual_row(self) -> str:
        """Default row: that of `get_config`, or "default"."""
        parameters = inspect.signature(self.get_config).parameters.values()
        names = [p.default for p in parameters if isinstance(p.default, str)]
        return folder_name(names[0] if names else "default")

    def tree(self, row: str | None = None) -> Tree:
        """Config of a row as nested plain values, not yet validated."""
        if row in self.grid:
            return self.config(row).to_dict()
        with _located_errors(self.path):
            config = self.get_config(row) if row else self.get_config()
        if not isinstance(config, ConfigDict):
            raise ConfigError(
                f"{self.path}: get_config returns {type(config).__name__}, must return "
                "the result of resnet_jax.config.configured"
            )
        return config.to_dict()

    def config(self, row: str | None = None, fields: Sequence[str] = ()) -> Config:
        """Validated config of a row after --config.x.y=v; ConfigError on any error."""
        own = self.variant(row) if row else Variant("")
        # A layer on the defaults: a file may have set fields that do not exist.
        tree, problems = changed(Config().to_dict(), self.tree(own.row or None))
        tree, more = changed(tree, overrides((*own.fields, *fields)))
        return validated(tree, problems + more)

    def variant(self, row: str) -> Variant:
        """The row of the file that a row is a variant of, itself for most."""
        return self.grid.get(row, Variant(row))

    def require_rows(self) -> "ExperimentFile":
        """Return the file; ConfigError if it has no rows or no seeds."""
        for name, found in {"ROWS": self.rows, "SEEDS": self.seeds}.items():
            if not found:
                raise ConfigError(f"{self.path}: has no {name}, or an empty one")
        return self


def load(path: str | Path) -> ExperimentFile:
    """Execute an experiment file; ConfigError names its errors and their lines.

    A bare name, `cifar_preact`, is that of a file of this package.
    """
    path = _located(str(path))
    with _located_errors(path):
        found = runpy.run_path(path)
    if "get_config" not in found:
        raise ConfigError(f"{path}: has no get_config(row)")
    _check_kinds(path, found)
    rows = found.get("ROWS", {})
    keys = {name: found.get(name, {}) for name in ("PAPER", "NETWORK", "RECIPE")}
    _check_rows(path, rows, keys)
    with _named(path):
        published = {
            row: cell if isinstance(cell, papers.Value) else papers.value(str(cell))
            for row, cell in keys["PAPER"].items()
        }
    return ExperimentFile(
        path=path,
        title=(found["__doc__"] or Path(path).stem).strip().split("\n")[0],
        rows=rows,
        seeds=tuple(dict.fromkeys(found.get("SEEDS", ()))),
        published=published,
        network=keys["NETWORK"],
        recipe=keys["RECIPE"] or None,
        deviations=found.get("DEVIATIONS", {}),
        get_config=found["get_config"],
    )


def _located(path: str) -> str:
    """Path of an experiment file, of a user or of this package."""
    if Path(path).is_file():
        return path
    if not re.fullmatch(r"\w+", path):
        raise ConfigError(f"{path}: no such experiment file")
    folder = next((folder for folder in OWN if folder.is_dir()), OWN[0])
    own = {file.stem: file for file in folder.glob("*.py")}
    if path not in own:
        near = did_you_mean(path, list(own)) or f"; there are {', '.join(sorted(own))}"
        raise ConfigError(f"{path}: no such experiment file{near}")
    return str(own[path])


def parts(reference: str) -> tuple[str, str | None]:
    """Split FILE[:ROW] into (FILE, ROW or None)."""
    path, _, row = reference.partition(":")
    return path, row or None


def folder_name(name: str) -> str:
    """Return the name of an experiment or row; ConfigError if no folder may have it."""
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r}: names of experiments and rows are up to 64 letters, "
            "digits, '.', '_', '+', '=', '-'"
        )
    return name


def _check_kinds(path: str, found: Mapping[str, object]) -> None:
    """ConfigError for a definition that is not of the kind that its name asks for."""
    mapping = ("a mapping from rows", Mapping)
    kinds: dict[str, tuple[str, type | tuple[type, ...]]] = {
        "ROWS": ("a mapping from rows to changed fields", Mapping),
        "SEEDS": ("a list of whole numbers", (list, tuple, range)),
        "PAPER": mapping,
        "NETWORK": mapping,
        "RECIPE": ("a key, or a mapping from rows", (str, Mapping)),
        "DEVIATIONS": ("a mapping from fields to reasons", Mapping),
    }
    problems = [
        f"{path}: {name} must be {words}"
        for name, (words, kind) in kinds.items()
        if found.get(name) is not None and not isinstance(found[name], kind)
    ]
    if problems:
        raise ConfigError("\n".join(problems))


def _check_rows(
    path: str, rows: Mapping[str, object], keys: Mapping[str, object]
) -> None:
    """Check names of rows, and that PAPER, NETWORK and RECIPE name existing rows."""
    problems = []
    for row in rows:
        if not isinstance(row, str) or not NAME.fullmatch(row):
            problems.append(
                f"{path}: ROWS[{row!r}]: a row names a folder: letters, "
                "digits, '.', '_', '+', '-', at most 64"
            )
        elif not isinstance(rows[row], Mapping):
            problems.append(f"{path}: ROWS[{row!r}]: must map fields to values")
    for name, named in keys.items():
        for row in named if isinstance(named, Mapping) else ():
            if row not in rows:
                near = did_you_mean(str(row), list(rows))
                problems.append(f"{path}: {name}[{row!r}]: no such row{near}")
    if problems:
        raise ConfigError("\n".join(problems))


@contextlib.contextmanager
def _named(path: str) -> Iterator[None]:
    """Name the file in a ConfigError."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


@contextlib.contextmanager
def _located_errors(path: str) -> Iterator[None]:
    """Turn any exception of an experiment file into a ConfigError with its line."""
    try:
        yield
    except UserError:
        raise
    except SystemExit as error:
        raise ConfigError(f"{path}: ends the program (SystemExit)") from error
    except SyntaxError as error:
        place = f"{path}:{error.lineno}" if error.lineno else path
        raise ConfigError(f"{place}: {error.msg}") from error
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == path]
        place = ":".join([path, *map(str, lines[-1:])])
        text = " ".join(str(error).split())
        raise ConfigError(f"{place}: {type(error).__name__}: {text}") from error
