"""Wall-clock breakdown of a run."""

import contextlib
import time
from collections.abc import Hashable, Iterator
from typing import Literal

import jax
from jaxtyping import PyTree

Part = Literal["data", "compile", "eval", "save"]


class Timer:
    """Seconds since a start, in all and by part; images a second of training.

    It never waits for the device but after the first call of a program, which compiles.
    So the seconds of a part are those that the host spent on it, and those of the steps
    are the rest: what the host waits for elsewhere is, in general, a step.
    """

    def __init__(self):
        self._start = self._row = self._left = time.perf_counter()
        self._parts = dict.fromkeys(("data", "compile", "eval", "save"), 0.0)
        self._since, self._images = self._start, 0
        self._compiled: set[Hashable] = set()

    @contextlib.contextmanager
    def on(self, part: Part) -> Iterator[None]:
        """Count the seconds inside as a part's, and name them in a trace."""
        start = time.perf_counter()
        with jax.profiler.TraceAnnotation(part):
            yield
        self._left = time.perf_counter()
        self._parts[part] += self._left - start

    def trained(self, images: int, seen: PyTree, *, program: Hashable = None) -> None:
        """Count a call of the step, behind `on("data")`; `program` names which one."""
        if self.knows(program):
            self._images += images
            return
        self._compiled.add(program)  # wait for the first call, and leave it out
        jax.block_until_ready(seen)
        self.resume()
        self._parts["compile"] += self._since - self._left

    def knows(self, program: Hashable) -> bool:
        """Was this program called, and so compiled?"""
        return program in self._compiled

    def rate(self) -> float | None:
        """Images a second since the last evaluation; None after the first call."""
        if not self._images:
            return None
        return round(self._images / (time.perf_counter() - self._since), 2)

    def resume(self) -> None:
        """Start the measurement of training anew, behind what is not training."""
        self._since, self._images = time.perf_counter(), 0

    def seconds(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._start

    def breakdown(self) -> dict[str, float]:
        """{"step_s": ..., "data_s": ...}: all seconds since this was asked last."""
        now = time.perf_counter()
        parts = self._parts
        steps = now - self._row - sum(parts.values())
        self._row, self._parts = now, dict.fromkeys(parts, 0.0)
        parts = {"step": steps} | parts
        if not parts["compile"]:
            del parts["compile"]
        return {f"{name}_s": round(seconds, 3) for name, seconds in parts.items()}
