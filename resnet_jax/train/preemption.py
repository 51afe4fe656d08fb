"""Stopping a run by SIGTERM, SIGINT or a preemption notice."""

import contextlib
import ctypes
import os
import signal
from collections.abc import Callable, Iterator

import jax
from jax.experimental import multihost_utils

from resnet_jax.errors import Interrupted, Preempted

SIGNALS = (signal.SIGTERM, signal.SIGINT)
Handler = Callable[[int, object], None]


class StopRequested(Exception):
    """Raised between two batches of an evaluation that is not finished."""


class Stop:
    """Request to stop a run, on which several processes agree.

    The processes of a run make equally many calls of `requested`: the same call tells
    all of them to stop.
    """

    def __init__(self):
        self.signal: int | None = None
        self._several = jax.process_count() > 1
        self._calls, self._agreed = 0, False

    def requested(self) -> bool:
        """Tell whether the run is to stop now."""
        if not self._several:
            return self.signal is not None
        self._calls += 1
        if not self._agreed:
            self._agreed = multihost_utils.reached_preemption_sync_point(self._calls)
        return self._agreed

    def check(self) -> None:
        """Raise StopRequested where the run is to stop now."""
        if self.requested():
            raise StopRequested

    def error(self, step: int) -> Preempted:
        """The error that ends a run whose state of `step` is saved."""
        kind = Interrupted if self.signal == signal.SIGINT else Preempted
        return kind(
            f"step={step}: asked to stop, state saved; the same command resumes"
        )


@contextlib.contextmanager
def watch_for_stop() -> Iterator[Stop]:
    """Watch for SIGTERM and SIGINT; the second one ends the process at once.

    Handlers run between two calls of compiled code. Threads other than the main one, as
    in some notebooks, cannot watch.
    """
    stop = Stop()
    notify = _notifier() if jax.process_count() > 1 else None

    def handler(number: int, frame: object) -> None:
        stop.signal = number
        if notify:
            notify()
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)

    try:
        before = {number: signal.signal(number, handler) for number in SIGNALS}
    except ValueError:  # not the main thread
        yield stop
        return
    try:
        yield stop
    finally:
        for number, own in before.items():
            signal.signal(number, signal.SIG_DFL if own is None else own)


def _notifier() -> Callable[[], None]:
    """Make a function that gives JAX's preemption service a SIGTERM.

    The service learns of a preemption by its own handler only, which a handler of
    Python replaces, and which Python can neither call nor set again.
    """
    libc = ctypes.CDLL(None)
    action = ctypes.create_string_buffer(1024)  # larger than any struct sigaction
    libc.sigaction(int(signal.SIGTERM), None, action)

    def notify() -> None:
        libc.sigaction(int(signal.SIGTERM), action, None)
        os.kill(os.getpid(), signal.SIGTERM)

    return notify
