"""Keeps the libraries beneath a checkpoint quiet: what matters of them is raised."""

import contextlib
import logging
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


def _not_orbax(record: logging.LogRecord) -> bool:
    return "orbax" not in pathlib.PurePath(record.pathname).parts


def quiet_orbax() -> None:
    """Hides orbax's own log: whatever matters of it is raised, or said here once."""
    logging.getLogger("absl").addFilter(_not_orbax)
