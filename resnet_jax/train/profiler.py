"""Profile of a few calls of the compiled step."""

import os
import pathlib

import jax
from jaxtyping import PyTree

WARM, TRACED = 3, 10  # calls before the trace, and least steps in it


class Trace:
    """Trace of a run from its fourth call on, until it holds ten steps.

    It includes the work of the loop between calls: data, checks of the losses, log
    rows, checkpoints. Leaving its `with` ends it early.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = pathlib.Path(folder)
        self.steps: tuple[int, int] | None = None  # first and last one traced
        self.complete = False
        self._calls, self._running = 0, False

    def __enter__(self) -> "Trace":
        return self

    def __exit__(self, *error) -> None:
        if self._running:
            self._running = False
            jax.profiler.stop_trace()

    def after_call(self, step: int, outputs: PyTree) -> bool:
        """Count a call that ended at `step`; tell whether it completed the trace."""
        self._calls += 1
        if self._running and self.steps:
            first, _ = self.steps
            self.steps = first, step
            if step - first + 1 >= TRACED:
                jax.block_until_ready(outputs)  # the trace holds all of its calls
                self.__exit__()
                self.complete = True
                return True
        elif self._calls == WARM:
            jax.block_until_ready(outputs)  # the trace holds no earlier call
            self._running, self.steps = True, (step + 1, step)
            jax.profiler.start_trace(self.folder, profiler_options=without_python())
        return False

    def summary(self) -> str:
        """Describe the location of the trace and a way to view it."""
        if self.steps is None or self.steps[1] < self.steps[0]:
            return f"profile: nothing was traced; a trace begins after {WARM} calls"
        first, last = self.steps
        return (
            f"profile: steps {first} to {last} in {self.folder}; open its "
            "*.trace.json.gz at ui.perfetto.dev, or all of it with "
            f"`pip install xprof` and `xprof --logdir {self.folder}`"
        )


def without_python() -> jax.profiler.ProfileOptions:
    """Profiler options without an event per call of a Python function.

    Those events fill the viewer's file, which holds a million and drops the rest.
    """
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0
    return options
