"""A profile of a few calls of the step, once they are compiled."""

import os
import pathlib

import jax
from jaxtyping import PyTree

WARM, TRACED = 3, 10  # calls ahead of the trace, and steps in it at least


class Trace:
    """Writes a trace of a run from its fourth call on, until it has ten steps.

    What the loop does between these calls is seen as well: data, looks at the losses,
    rows, checkpoints. Leave its `with` to end it early.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = pathlib.Path(folder)
        self.steps: tuple[int, int] | None = None  # the first and the last one traced
        self.complete = False
        self._calls, self._running = 0, False

    def __enter__(self) -> "Trace":
        return self

    def __exit__(self, *error) -> None:
        if self._running:
            self._running = False
            jax.profiler.stop_trace()

    def called(self, step: int, seen: PyTree) -> bool:
        """Tells of a call that ended at `step`; whether it was the last one traced."""
        self._calls += 1
        full = False
        if self._running and self.steps is not None:
            first, _ = self.steps
            self.steps = first, step
            full = step - first + 1 >= TRACED
        if self._calls != WARM and not full:
            return False
        jax.block_until_ready(seen)  # none of the calls before, and all of these
        if full:
            self.__exit__()
            self.complete = True
        else:
            self._running, self.steps = True, (step + 1, step)
            jax.profiler.start_trace(self.folder, profiler_options=without_python())
        return full

    def told(self) -> str:
        """The place of the trace, and a way to look at it."""
        if self.steps is None or self.steps[1] < self.steps[0]:
            return f"profile: nothing was traced; a trace begins after {WARM} calls"
        first, last = self.steps
        return (
            f"profile: steps {first} to {last} in {self.folder}; open its "
            "*.trace.json.gz at ui.perfetto.dev, or all of it with "
            f"`pip install xprof` and `xprof --logdir {self.folder}`"
        )


def without_python() -> jax.profiler.ProfileOptions:
    """No event for each call of a Python function.

    They fill the viewer's file, which holds a million events and drops the rest.
    """
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0
    return options
