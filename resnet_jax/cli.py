"""What the commands share: experiment files, changed fields, errors as lines."""

import argparse
import ast
import contextlib
import inspect
import pathlib
import re
import runpy
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from ml_collections import ConfigDict

from resnet_jax.config.resolve import unknown, validated
from resnet_jax.config.schema import Config
from resnet_jax.errors import ConfigError, UserError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


def guarded(command: Callable[[], None], *, debug: bool) -> int:
    """Runs a command; an error that a user can cause is a line, not a traceback."""
    try:
        command()
    except UserError as error:
        if debug:
            raise
        for line in str(error).splitlines():
            print(f"error[{error.kind}] {line}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped; the same command resumes", file=sys.stderr)
        return 130
    return 0


class Parser(argparse.ArgumentParser):
    """The options of a command; leaves --config.x.y=v to `changed`."""

    def __init__(self, prog: str):
        super().__init__(prog=prog, add_help=False, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; --help explains")


def changed(reference: str, fields: Sequence[str]) -> Config:
    """The valid config of FILE:ROW after --config.x.y=v, as a run resolves it.

    ConfigError with a line for each problem: misspelt fields and wrong values alike.
    """
    config, problems = load(reference), []
    for path, text in assignments(fields):
        if problem := unknown(config, path):
            problems.append(problem)
            continue
        owner, _, name = path.rpartition(".")
        section = config[owner] if owner else config
        with section.ignore_type():
            section[name] = value(text, section.get_type(name))
    try:
        valid = validated(config.to_dict())
    except ConfigError as error:
        problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return valid


def assignments(fields: Sequence[str]) -> Iterator[tuple[str, str]]:
    """("x.y", "v") of each --config.x.y=v or --config.x.y v."""
    left = iter(fields)
    for field in left:
        match = re.fullmatch(r"--config\.([\w.]+)(?:=(.*))?", field, re.DOTALL)
        if match is None:
            raise ConfigError(f"{field}: not understood; fields are --config.x.y=value")
        path, text = match.groups()
        text = next(left, None) if text is None else text
        if text is None:
            raise ConfigError(f"--config.{path}: has no value")
        yield path, text


def value(text: str, kind: type) -> Any:
    """None, a number or a tuple; the text itself where it is neither, or is wanted."""
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    numbers = () if kind is str else (int, float, tuple)
    return found if type(found) in (type(None), *numbers) else text


def load(reference: str) -> ConfigDict:
    """The ConfigDict of FILE or FILE:ROW."""
    path, _, row = reference.partition(":")
    get_config = definitions(path)["get_config"]
    with _its_errors(path):
        config = get_config(row) if row else get_config()
    if not isinstance(config, ConfigDict):
        raise ConfigError(
            f"--config={path}: get_config gives {type(config).__name__}, must give "
            "what resnet_jax.config.configured returns"
        )
    return config


def definitions(path: str) -> dict[str, Any]:
    """What an experiment file defines: get_config and, in general, ROWS and SEEDS."""
    if not pathlib.Path(path).is_file():
        raise ConfigError(f"--config={path}: no such file")
    with _its_errors(path):
        module = runpy.run_path(path)
    if "get_config" not in module:
        raise ConfigError(f"--config={path}: defines no get_config(row)")
    return module


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
        raise ConfigError(f"{place}: {type(error).__name__}: {error}") from error


def experiment_and_row(reference: str) -> tuple[str, str]:
    """Name of the file and of the row, as the default workdir uses them."""
    path, _, row = reference.partition(":")
    get_config = definitions(path)["get_config"]
    usual = [p.default for p in inspect.signature(get_config).parameters.values()]
    row = row or next((name for name in usual if isinstance(name, str)), "default")
    return folder_name(pathlib.Path(path).stem), folder_name(row)


def folder_name(name: str) -> str:
    """The name of an experiment or row; ConfigError where it is no folder's."""
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r}: names of experiments and rows are up to 64 letters, "
            "digits, '.', '_', '+', '-'"
        )
    return name
