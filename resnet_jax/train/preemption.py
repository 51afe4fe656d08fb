"""SIGTERM and preemption handling."""

import contextlib
import signal
from collections.abc import Callable, Iterator

import jax

from resnet_jax.train.checkpoint import Checkpoints


@contextlib.contextmanager
def watch_for_stop(checkpoints: Checkpoints) -> Iterator[Callable[[int], bool]]:
    """Watch for SIGTERM, and yield a predicate: stop at this step?

    A second signal ends the process at once. Several processes agree on one step.
    """
    if jax.process_count() > 1:
        yield checkpoints.reached_preemption
        return
    received = []

    def handler(number, frame):
        received.append(number)
        signal.signal(number, signal.SIG_DFL)

    try:
        before = signal.signal(signal.SIGTERM, handler)
    except ValueError:  # not the main thread, as in some notebooks
        yield lambda step: False
        return
    try:
        yield lambda step: bool(received)
    finally:
        signal.signal(signal.SIGTERM, before)
