"""What one process measures: a train step, or whatever else answers `turn`."""

import math
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

STARTED = "BENCHMARK_STARTED"  # environment variable: when the process was launched
WARM = 2  # steps after the first that are not counted

Sample = dict[str, float]


class Work(Protocol):
    """`facts` are known once it is open; every turn gives one more sample."""

    facts: dict[str, Any]

    def turn(self, steps: int) -> Sample: ...
    def device_peak(self) -> int | None: ...


def since_launch() -> float:
    """Seconds since our process was launched; the clock is that of the machine."""
    return time.monotonic() - float(os.environ[STARTED])


def figure_of(command: Sequence[str], **options: Any) -> float:
    """The last word of what a process says, which measures by itself."""
    run = subprocess.run(command, stdout=subprocess.PIPE, **options)
    if run.returncode:
        raise RuntimeError(f"the command ended with exit code {run.returncode}")
    return float(run.stdout.split()[-1])


class Training:
    """A framework's train step on one batch: the first, some to warm up, then turns.

    `run(n)` makes n steps and returns when the last is finished; `program()` is what
    XLA made of a step.
    """

    def __init__(
        self,
        run: Callable[[int], None],
        *,
        params: int,
        facts: dict[str, Any] | None = None,
        device_peak: Callable[[], int | None] = lambda: None,
        program: Callable[[], str] = str,
    ):
        self.run, self.device_peak, self.program = run, device_peak, program
        first = _seconds(run, 1)
        self.facts = {"params": params, **(facts or {})}
        self.facts |= {"first_step_s": first, "launch_s": since_launch()}
        run(WARM)

    def turn(self, steps: int) -> Sample:
        return {"step_ms": 1e3 * _seconds(self.run, steps) / steps}


def _seconds(run, steps):
    start = time.perf_counter()
    run(steps)
    return time.perf_counter() - start


def size(shapes) -> int:
    """Numbers in arrays of these shapes."""
    return sum(math.prod(shape) for shape in shapes)
