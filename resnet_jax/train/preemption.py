"""SIGTERM and preemption handling."""

import contextlib
import signal
from collections.abc import Callable, Iterator

import jax

from resnet_jax.train.checkpoint import Checkpoints


@contextlib.contextmanager
def asked_to_stop(checkpoints: Checkpoints) -> Iterator[Callable[[int], bool]]:
    """Watch for SIGTERM; a second one ends the process at once.

    Several processes agree on the step at which they all stop.
    """
    if jax.process_count() > 1:
        yield checkpoints.reached_preemption
        return
    came = []

    def handler(number, frame):
        came.append(number)
        signal.signal(number, signal.SIG_DFL)

    try:
        before = signal.signal(signal.SIGTERM, handler)
    except ValueError:  # not the main thread, as in some notebooks
        yield lambda step: False
        return
    try:
        yield lambda step: bool(came)
    finally:
        signal.signal(signal.SIGTERM, before)
