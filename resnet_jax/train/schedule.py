"""When things happen in a run: evaluations, checkpoints, sizes of training images."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class SizeSchedule:
    """Training images of several sizes: epoch e is trained at sizes[e mod n].

    He et al. 2014, Sec. 2.3, multi-size. The epoch of a batch is that of its first
    image: a function of the step alone.
    """

    sizes: tuple[int, ...]
    examples: int  # of an epoch
    batch_size: int

    def size(self, step: int) -> int:
        """Size in pixels of the batch of `step`."""
        return self.sizes[self._epoch(step) % len(self.sizes)]

    def left(self, step: int) -> int:
        """Updates from `step` on, up to the first of another epoch."""
        end = (self._epoch(step) + 1) * self.examples
        return -(-end // self.batch_size) - step

    def _epoch(self, step: int) -> int:
        return step * self.batch_size // self.examples


@dataclasses.dataclass(frozen=True)
class LoopSpec:
    """When things happen, in steps (updates)."""

    steps: int
    eval_every: int
    checkpoint_every: int
    batch_size: int
    steps_per_epoch: float
    steps_per_call: int = 1
    max_nonfinite: int = 0  # updates to leave out before a run stops
    sizes: SizeSchedule | None = None  # of training images, where they take turns
    protocol: str = "1crop"  # of the evaluations

    def size(self, step: int) -> int | None:
        """Size of the training images of a step, where sizes take turns."""
        return self.sizes.size(step) if self.sizes else None

    def calls(self, step: int) -> int:
        """Updates of the next call: up to the next thing that falls due."""
        left = [
            self._next(step, every) - step
            for every in (self.eval_every, self.checkpoint_every)
        ]
        if self.sizes:
            left.append(self.sizes.left(step))
        return min(self.steps_per_call, *left)

    def evaluates(self, step: int) -> bool:
        """Does an evaluation fall due at this step?"""
        return self._due(step, self.eval_every)

    def saves(self, step: int) -> bool:
        """Does a checkpoint fall due at this step?"""
        return self._due(step, self.checkpoint_every)

    def _due(self, step: int, every: int) -> bool:
        """Due every so many steps and at the end.

        The last interval takes in what is left of less than half an interval, so that
        no row of a log is of one step.
        """
        regular = step % every == 0 and 2 * (self.steps - step) >= every
        return regular or step == self.steps

    def _next(self, step: int, every: int) -> int:
        """The first step behind `step` at which something falls due."""
        at = step + every - step % every
        return at if at < self.steps and self._due(at, every) else self.steps
