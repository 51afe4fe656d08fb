"""Keeps the libraries beneath a checkpoint quiet: what matters of them is raised."""

import atexit
import contextlib
import logging
import os
import pathlib
import sys
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Hides what asyncio says of the tasks that orbax abandons when a read fails."""
    log = logging.getLogger("asyncio")
    before = log.disabled, sys.unraisablehook
    log.disabled, sys.unraisablehook = True, lambda unraisable: None
    try:
        with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
            yield
    finally:
        log.disabled, sys.unraisablehook = before


def hush_the_exit() -> None:
    """After a failed write: this process says nothing on stderr once it exits.

    Tasks that orbax abandoned end then, and complain where no hook is called any more.
    """
    atexit.register(_close_stderr)


def _close_stderr() -> None:
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _not_orbax(record: logging.LogRecord) -> bool:
    return "orbax" not in pathlib.PurePath(record.pathname).parts


def _not_a_closed_loop(unraisable) -> None:
    """The hook that hides what tasks of a failed write say after their event loop."""
    if str(unraisable.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(unraisable)


def quiet_orbax() -> None:
    """Hides orbax's own log: whatever matters of it is raised, or said here once."""
    logging.getLogger("absl").addFilter(_not_orbax)
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _not_a_closed_loop
