"""An experiment file: one claim of one paper, as rows, seeds and published values.

The file is a program that the user typed: `load` executes it, once a command.
"""

import contextlib
import dataclasses
import inspect
import re
import runpy
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from resnet_jax import papers
from resnet_jax.config.overrides import overrides
from resnet_jax.config.resolve import changed, validated
from resnet_jax.config.schema import Config
from resnet_jax.errors import ConfigError, UserError
from resnet_jax.paths import Tree, did_you_mean

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExperimentFile:
    """The definitions of an experiment file.

    rows: fields that each row changes; published: by row; network: key of
    `papers.networks` by row, where `published` does not name it; recipe: key of
    `papers.recipes`, or one by row; deviations: reasons by field.
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

    @property
    def name(self) -> str:
        """The folder of its runs."""
        return folder_name(Path(self.path).stem)

    @property
    def usual_row(self) -> str:
        """The row that is trained where none is named."""
        parameters = inspect.signature(self.get_config).parameters.values()
        names = [p.default for p in parameters if isinstance(p.default, str)]
        return folder_name(names[0] if names else "default")

    def tree(self, row: str | None = None) -> Tree:
        """A row's config as nested plain values, not yet validated."""
        with _its_errors(self.path):
            config = self.get_config(row) if row else self.get_config()
        if not isinstance(config, ConfigDict):
            raise ConfigError(
                f"{self.path}: get_config gives {type(config).__name__}, must give "
                "what resnet_jax.config.configured returns"
            )
        return config.to_dict()

    def config(self, row: str | None = None, fields: Sequence[str] = ()) -> Config:
        """A row's valid config after --config.x.y=v; ConfigError with all problems."""
        tree, problems = changed(self.tree(row), overrides(fields))
        return validated(tree, problems)

    def require_rows(self) -> "ExperimentFile":
        """The file itself; ConfigError where it has no rows or seeds."""
        for name, found in {"ROWS": self.rows, "SEEDS": self.seeds}.items():
            if not found:
                raise ConfigError(f"{self.path}: has no {name}, or an empty one")
        return self


def load(path: str | Path) -> ExperimentFile:
    """Execute an experiment file; ConfigError names what is wrong in it, and where."""
    path = str(path)
    if not Path(path).is_file():
        raise ConfigError(f"{path}: no such experiment file")
    with _its_errors(path):
        found = runpy.run_path(path)
    if "get_config" not in found:
        raise ConfigError(f"{path}: has no get_config(row)")
    rows = found.get("ROWS", {})
    keys = {name: found.get(name, {}) for name in ("PAPER", "NETWORK", "RECIPE")}
    _check_rows(path, rows, keys)
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


def parts(reference: str) -> tuple[str, str | None]:
    """(FILE, ROW) of FILE or FILE:ROW."""
    path, _, row = reference.partition(":")
    return path, row or None


def folder_name(name: str) -> str:
    """The name of an experiment or row; ConfigError where it is no folder's."""
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r}: names of experiments and rows are up to 64 letters, "
            "digits, '.', '_', '+', '-'"
        )
    return name


def _check_rows(
    path: str, rows: Mapping[str, object], keys: Mapping[str, object]
) -> None:
    """ConfigError for a row that is spoken of and does not exist, or has a bad name."""
    problems = []
    for row in rows:
        if not isinstance(row, str) or not NAME.fullmatch(row):
            problems.append(
                f"{path}: ROWS[{row!r}]: a row's name is a folder's name: letters, "
                "digits, '.', '_', '+', '-', at most 64"
            )
    for name, named in keys.items():
        for row in named if isinstance(named, Mapping) else ():
            if row not in rows:
                near = did_you_mean(str(row), list(rows))
                problems.append(f"{path}: {name}[{row!r}]: no such row{near}")
    if problems:
        raise ConfigError("\n".join(problems))


@contextlib.contextmanager
def _its_errors(path: str) -> Iterator[None]:
    """Tells what goes wrong in an experiment file, and where."""
    try:
        yield
    except UserError:
        raise
    except SyntaxError as error:
        raise ConfigError(f"{path}:{error.lineno}: {error.msg}") from error
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == path]
        place = ":".join([path, *map(str, lines[-1:])])
        text = " ".join(str(error).split())
        raise ConfigError(f"{place}: {type(error).__name__}: {text}") from error
