"""Interface of one measurement, and the train step of a framework as one."""

import math
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

STARTED = "BENCHMARK_STARTED"  # environment variable: launch time of the process
WARM_UP = 2  # steps after the first that are not timed

Sample = dict[str, float]


class Work(Protocol):
    """One measurement: `facts` are constant, and each turn gives one more sample."""

    facts: dict[str, Any]

    def turn(self, steps: int) -> Sample: ...
    def device_peak(self) -> int | None: ...


def since_launch() -> float:
    """Seconds since this process was launched, by the machine's monotonic clock."""
    return time.monotonic() - float(os.environ[STARTED])


def printed_number(command: Sequence[str], **options: Any) -> float:
    """Run a command that measures something; the last word it prints is the number."""
    run = subprocess.run(command, stdout=subprocess.PIPE, **options)
    if run.returncode:
        raise RuntimeError(f"the command ended with exit code {run.returncode}")
    return float(run.stdout.split()[-1])


class Training:
    """A framework's train step on one batch: the first step, warm-up, then turns.

    `run(n)` makes n steps and returns when the last is finished; `program()` is the
    optimised HLO text of a step.
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
        run(WARM_UP)

    def turn(self, steps: int) -> Sample:
        """Mean milliseconds per step."""
        return {"step_ms": 1e3 * _seconds(self.run, steps) / steps}


def _seconds(run, steps):
    start = time.perf_counter()
    run(steps)
    return time.perf_counter() - start


def num_elements(shapes: Iterable[Sequence[int]]) -> int:
    """Total number of elements in arrays of these shapes."""
    return sum(math.prod(shape) for shape in shapes)
