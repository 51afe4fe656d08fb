"""Wall-clock breakdown of a run."""

import contextlib
import time
from collections.abc import Hashable, Iterator
from typing import Literal, get_args

import jax
from jaxtyping import PyTree

Part = Literal["data", "compile", "eval", "save"]


class Timer:
    """Seconds since the start, in total and by part; training images per second.

    It waits for the device only after the first call of a program, which compiles. The
    seconds of a part are those that the host spent on it; the remaining seconds count
    as steps, since the host mostly waits for steps.
    """

    def __init__(self):
        self._start = self._row = self._part_end = time.perf_counter()
        self._parts = dict.fromkeys(get_args(Part), 0.0)
        self._since, self._images = self._start, 0
        self._compiled: set[Hashable] = set()

    @contextlib.contextmanager
    def on(self, part: Part) -> Iterator[None]:
        """Count the seconds inside as those of a part, and name them in a trace."""
        start = time.perf_counter()
        with jax.profiler.TraceAnnotation(part):
            yield
        self._part_end = time.perf_counter()
        self._parts[part] += self._part_end - start

    def count_call(
        self, images: int, outputs: PyTree, *, program: Hashable = None
    ) -> None:
        """Count a call of the step `program`, which follows `on("data")`."""
        if self.compiled(program):
            self._images += images
            return
        self._compiled.add(program)  # its first call does not count for the rate
        jax.block_until_ready(outputs)
        self.restart_rate()
        self._parts["compile"] += self._since - self._part_end

    def compiled(self, program: Hashable) -> bool:
        """Tell whether a program was called, and so compiled."""
        return program in self._compiled

    def rate(self) -> float | None:
        """Images per second since the last evaluation; None after the first call."""
        if not self._images:
            return None
        return round(self._images / (time.perf_counter() - self._since), 2)

    def restart_rate(self) -> None:
        """Restart the measurement of images per second, after an evaluation."""
        self._since, self._images = time.perf_counter(), 0

    def seconds(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._start

    def breakdown(self) -> dict[str, float]:
        """{"step_s": ..., "data_s": ...}: all seconds since the last breakdown."""
        now, parts = time.perf_counter(), self._parts
        steps = now - self._row - sum(parts.values())
        self._row, self._parts = now, dict.fromkeys(parts, 0.0)
        return {
            f"{name}_s": round(seconds, 3)
            for name, seconds in {"step": steps, **parts}.items()
            if seconds or name != "compile"
        }
