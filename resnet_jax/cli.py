"""Shared parts of commands: options, help, errors as lines, process settings."""

import argparse
import os
import pathlib
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import NoReturn

from resnet_jax.config.experiment_file import ExperimentFile, load, parts
from resnet_jax.config.schema import Config
from resnet_jax.errors import ConfigError, UserError

PROCESSES = ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID")


def run(
    command: Callable[[Sequence[str]], int | None],
    argv: Sequence[str] | None,
    *,
    text: str | None,
) -> int:
    """Exit code of a command on `argv` (sys.argv where None); `text` is its --help.

    An error that a user can cause is a line on stderr, a traceback with --debug.
    """
    arguments = (sys.argv if argv is None else argv)[1:]
    if {"-h", "--help"} & set(arguments):
        print((text or "").strip())
        return 0
    try:
        return command(arguments) or 0
    except UserError as error:
        if "--debug" in arguments:
            raise
        for line in str(error).splitlines():
            print(f"error[{error.kind}] {line}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped; the same command resumes", file=sys.stderr)
        return 130


class Parser(argparse.ArgumentParser):
    """The options of a command; --config.x.y=v are left to the config."""

    def __init__(self, prog: str):
        super().__init__(prog=prog, add_help=False, allow_abbrev=False)
        self.add_argument("--debug", action="store_true")

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; --help explains")


def chosen(reference: str, fields: Sequence[str]) -> tuple[ExperimentFile, str, Config]:
    """The experiment file of FILE[:ROW], its row, and the row's config with fields."""
    path, row = parts(reference)
    experiment = load(path)
    config = experiment.config(row, fields)
    return experiment, row or experiment.usual_row, config


def prepare_jax() -> None:
    """Settings of the process, before jax meets a device."""
    import jax

    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = pathlib.Path(cache).expanduser() / "resnet_jax" / "xla"
    if not jax.config.jax_compilation_cache_dir:  # type: ignore
        jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    if "JAX_COORDINATOR_ADDRESS" in os.environ:
        given = {k: int(v) for k, v in os.environ.items() if k in PROCESSES}
        count, number = map(given.get, PROCESSES)
        jax.distributed.initialize(num_processes=count, process_id=number)
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation")
