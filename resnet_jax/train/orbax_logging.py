"""Suppression of log output of orbax and asyncio, whose errors are raised instead."""

import atexit
import contextlib
import functools
import logging
import os
import pathlib
import sys
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def asyncio_silenced() -> Iterator[None]:
    """Suppress asyncio's messages on tasks that orbax abandons when a read fails."""
    log = logging.getLogger("asyncio")
    before = log.disabled, sys.unraisablehook
    log.disabled, sys.unraisablehook = True, lambda unraisable: None
    try:
        with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
            yield
    finally:
        log.disabled, sys.unraisablehook = before


def silence_stderr_at_exit() -> None:
    """Close stderr at exit, after a failed write.

    Tasks that orbax abandoned end then, and print where no hook is called any more.
    """
    atexit.register(_close_stderr)


def _close_stderr() -> None:
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _not_orbax(record: logging.LogRecord) -> bool:
    return "orbax" not in pathlib.PurePath(record.pathname).parts


def _not_an_abandoned_task(record: logging.LogRecord) -> bool:
    """False for the error of a task of orbax that nobody has asked for."""
    text = record.getMessage()
    return "never retrieved" not in text or "orbax" not in text


def _not_a_closed_loop(hook, unraisable) -> None:
    """Call an unraisable hook, but for tasks that outlive their event loop."""
    if str(unraisable.exc_value) != "Event loop is closed":
        hook(unraisable)


def silence_orbax() -> None:
    """Suppress orbax's log, and errors of tasks that it abandons."""
    logging.getLogger("absl").addFilter(_not_orbax)
    # Some are collected long after the read that failed.
    logging.getLogger("asyncio").addFilter(_not_an_abandoned_task)
    hook = sys.unraisablehook
    if getattr(hook, "func", None) is not _not_a_closed_loop:
        sys.unraisablehook = functools.partial(_not_a_closed_loop, hook)
