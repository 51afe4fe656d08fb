"""Shared parts of commands: options, help, one-line errors, process settings."""

import argparse
import contextlib
import functools
import os
import pathlib
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NoReturn

from resnet_jax.errors import (
    ConfigError,
    Interrupted,
    MemoryShortage,
    PeerLost,
    Preempted,
    StorageError,
    UserError,
)
from resnet_jax.paths import remote

# A signal is answered only once `run` is called: nothing slow is imported before.
if TYPE_CHECKING:
    from resnet_jax.config.experiment_file import ExperimentFile
    from resnet_jax.config.schema import Config

STOPPED = "stopped; the same command resumes"
ADDRESS = "JAX_COORDINATOR_ADDRESS"
HEARTBEAT = 30  # seconds of silence after which a process of a run is given up
PATIENCE = 240  # seconds that a process waits for the others; JAX aborts after 300
# In errors of collective calls whose other side is gone
LOST = re.compile("Gloo|heartbeat|UNAVAILABLE|DEADLINE_EXCEEDED|[Cc]oordination serv")
PROCESSES = ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
FIGURES = (".png", ".pdf", ".svg")


def run(
    command: Callable[[Sequence[str]], int | None],
    argv: Sequence[str] | None,
    *,
    text: str | None,
) -> int:
    """Run a command on `argv` (None: sys.argv), with `text` as its --help; exit code.

    A UserError is printed to stderr as lines, with --debug as a traceback; so is a
    machine's failure that users know, as a lack of memory is one.
    """
    if argv is None:
        for number, kind in ((signal.SIGINT, Interrupted), (signal.SIGTERM, Preempted)):
            signal.signal(number, functools.partial(_stop, kind))
    arguments = (sys.argv if argv is None else argv)[1:]
    if {"-h", "--help"} & set(arguments):
        print((text or "").strip())
        return 0
    try:
        return command(arguments) or 0
    except KeyboardInterrupt:
        print(STOPPED, file=sys.stderr)
        return Interrupted.exit_code
    except Exception as error:
        known = error if isinstance(error, UserError) else _of_the_machine(error)
        if "--debug" in arguments or known is None:
            raise
        for line in str(known).splitlines():
            print(f"error[{known.kind}] {line}", file=sys.stderr, flush=True)
        if argv is None and isinstance(known, PeerLost):
            os._exit(known.exit_code)  # jax would wait for the others, and abort
        return known.exit_code


def _of_the_machine(error: Exception) -> UserError | None:
    """The failure of a machine that an error of jax or NumPy stands for, if any."""
    text = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text:
        return MemoryShortage(
            f"there is not enough ({text}); lower data.batch_size, train.steps_per_call"
            " or the size of the network or its images, or raise train.accumulate"
        )
    if ADDRESS in os.environ and LOST.search(str(error)):
        return PeerLost(
            f"another process of this run has ended or does not answer ({text}); start "
            "all of them again with the same commands: they resume"
        )
    return None


def leave(code: int) -> NoReturn:
    """End the process of a command.

    After a failed write at once: orbax's threads may wait ten minutes for its other
    parts, and Python for the threads.
    """
    if code == StorageError.exit_code:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


class Parser(argparse.ArgumentParser):
    """Options of a command; --config.x.y=v are left to the config."""

    def __init__(self, prog: str):
        super().__init__(prog=prog, add_help=False, allow_abbrev=False)
        self.add_argument("--debug", action="store_true")

    def add_run(self) -> None:
        """Add the options that name the trained net of a run."""
        self.add_argument("--workdir", required=True, type=folder)
        self.add_argument(
            "--best", dest="which", action="store_const", const="best", default="last"
        )
        self.add_argument("--data_dir")

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; --help explains")


def chosen(
    reference: str, fields: Sequence[str]
) -> "tuple[ExperimentFile, str, Config]":
    """The experiment file of FILE[:ROW], its row, and the row's changed config."""
    from resnet_jax.config.experiment_file import load, parts

    path, row = parts(reference)
    experiment = load(path)
    config = experiment.config(row, fields)
    return experiment, row or experiment.usual_row, config


def folder(text: str) -> pathlib.Path:
    """A folder that an option names; ConfigError for a remote address or no name."""
    if not text:
        raise ConfigError("an option names no folder: its text is empty; name one")
    if remote(text):
        raise ConfigError(
            f"{text}: is a remote address; mount it and name the folder where it is "
            "mounted: locks and growing logs need a file system"
        )
    return pathlib.Path(text).expanduser()


def check_figure_path(path: pathlib.Path, *, option: str = "--figure") -> None:
    """ConfigError for another format than FIGURES, or without matplotlib."""
    if path.suffix.lower() not in FIGURES:
        raise ConfigError(
            f"{option} {path}: no figure format is named {path.suffix!r}; "
            f"use one of {', '.join(FIGURES)}"
        )
    if find_spec("matplotlib") is None:
        raise ConfigError(
            f"{option}: matplotlib is not installed; "
            'pip install "resnet_jax[figures]" brings it'
        )


def check_table_path(path: pathlib.Path, *, option: str = "--out") -> None:
    """ConfigError for another suffix than .csv, and for no folder to write into."""
    if path.suffix.lower() != ".csv":
        raise ConfigError(f"{option} {path}: is written as CSV; name a .csv file")
    if not path.parent.is_dir():
        raise ConfigError(f"{option} {path}: {path.parent} is no folder; make it first")


def prepare_jax() -> None:
    """Settings of the process, before jax initialises its devices."""
    # Both read their variables as they are imported.
    with _refusals("environment", "correct the variable, or unset it"):
        import jax
        import tqdm  # noqa: F401
    _check_guards(os.environ)
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = pathlib.Path(cache).expanduser() / "resnet_jax" / "xla"
    if not jax.config.jax_compilation_cache_dir:  # type: ignore
        jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    if options := distributed(os.environ):
        address, remedy = os.environ[ADDRESS], f"set {' and '.join(PROCESSES)}"
        with _patience(address, PATIENCE), _refusals(f"{ADDRESS}={address!r}", remedy):
            jax.distributed.initialize(**options, heartbeat_timeout_seconds=HEARTBEAT)
    try:
        jax.devices()
    # Of a platform without devices jax has only an assertion.
    except (RuntimeError, AssertionError) as error:
        platforms = os.environ.get("JAX_PLATFORMS", "")
        raise ConfigError(
            f"JAX_PLATFORMS={platforms!r}: no such device here "
            f"({(str(error).splitlines() or ['none found'])[0]}); name another "
            "platform, or unset it"
        ) from error
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation")


def _check_guards(environment: Mapping[str, str]) -> None:
    """ConfigError where jax is asked to raise at transfers, which every run makes."""
    for name, value in environment.items():
        if name.startswith("JAX_TRANSFER_GUARD") and value.startswith("disallow"):
            raise ConfigError(
                f"{name}={value!r}: constants and numbers of log rows are transferred "
                "in every run; set it to log or allow, or unset it"
            )


@contextlib.contextmanager
def _refusals(what: str, remedy: str) -> Iterator[None]:
    """Turn the ValueError of a library into ConfigError."""
    try:
        yield
    except ValueError as error:
        text = str(error).splitlines()[0].rstrip(".")
        raise ConfigError(f"{what}: {text}; {remedy}") from error


def _stop(kind: type[Preempted], number: int, frame: object) -> NoReturn:
    """Answer a signal where nothing is to be saved: jax's callbacks swallow errors."""
    os.write(2, f"{STOPPED}\n".encode())
    os._exit(kind.exit_code)


@contextlib.contextmanager
def _patience(address: str, seconds: float) -> Iterator[None]:
    """End the process with one line where the others do not come in time.

    JAX would wait for five minutes, and then abort it with a stack trace.
    """

    def give_up() -> None:
        line = (
            f"error[config] {ADDRESS}={address!r}: not all processes of the run have "
            f"come within {seconds:.0f} s; start them, or correct the address and "
            f"{' and '.join(PROCESSES)}"
        )
        print(line, file=sys.stderr, flush=True)
        os._exit(ConfigError.exit_code)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def distributed(environment: Mapping[str, str]) -> dict[str, Any]:
    """Options of a run of several processes from the environment; {} for one process.

    ConfigError where the variables cannot be right.
    """
    numbers = {name: _count(name, environment.get(name)) for name in PROCESSES}
    address, (count, number) = environment.get(ADDRESS), numbers.values()
    if address is None:
        for name in (name for name, value in numbers.items() if value is not None):
            raise ConfigError(f"{name}={numbers[name]}: needs {ADDRESS}=HOST:PORT")
        return {}
    port = re.fullmatch(r"\S+:(\d{1,5})", address)
    if port is None or not 0 < int(port[1]) < 2**16:
        raise ConfigError(f"{ADDRESS}={address!r}: must be HOST:PORT, or unset")
    if count is not None and not 0 <= (number or 0) < count:
        raise ConfigError(
            f"JAX_PROCESS_ID={number}: must be 0 to {count - 1}, below "
            f"JAX_NUM_PROCESSES={count}"
        )
    return {"num_processes": count, "process_id": number}


def _count(name: str, value: str | None) -> int | None:
    """The number in an environment variable."""
    if value is not None and not re.fullmatch(r"\d{1,9}", value):
        raise ConfigError(f"{name}={value!r}: must be a number, or unset")
    return None if value is None else int(value)
