"""Schedule of a run: evaluations, checkpoints, sizes of training images."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class SizeSchedule:
    """Multi-size training: epoch e has images of sizes[e mod n] (He et al. 2014, 2.3).

    The epoch of a batch is that of its first image, a function of the step alone.
    """

    sizes: tuple[int, ...]
    examples: int  # per epoch
    batch_size: int

    def size(self, step: int) -> int:
        """Size in pixels of the batch of `step`."""
        return self.sizes[self._epoch(step) % len(self.sizes)]

    def steps_left(self, step: int) -> int:
        """Number of updates from `step` to the end of its epoch."""
        end = (self._epoch(step) + 1) * self.examples
        return -(-end // self.batch_size) - step

    def _epoch(self, step: int) -> int:
        return step * self.batch_size // self.examples


@dataclasses.dataclass(frozen=True)
class LoopSpec:
    """Length and intervals of a run in steps (updates)."""

    steps: int
    eval_every: int
    checkpoint_every: int
    batch_size: int
    steps_per_epoch: float
    steps_per_call: int = 1
    max_nonfinite: int = 0  # non-finite updates to leave out before a run stops
    sizes: SizeSchedule | None = None  # of training images, where there are several
    protocol: str = "1crop"  # of the evaluations
    top5: bool = True  # False where all classes are among the first five
    params: str = "last"  # scored parameters; "ema": moving averages

    @property
    def scored(self) -> dict[str, str]:
        """Fields of a log row that say what was scored, and how."""
        ema = {"params": self.params} if self.params != "last" else {}
        return {"protocol": self.protocol, **ema}

    def size(self, step: int) -> int | None:
        """Training image size of a step; None where there is only one."""
        return self.sizes.size(step) if self.sizes else None

    def updates_per_call(self, step: int) -> int:
        """Number of updates of the next call, which ends where something is due."""
        left = [
            self._next(step, every) - step
            for every in (self.eval_every, self.checkpoint_every)
        ]
        if self.sizes:
            left.append(self.sizes.steps_left(step))
        return min(self.steps_per_call, *left)

    def due(self, step: int) -> bool:
        """Tell whether an evaluation or a checkpoint is due at this step."""
        return self.evaluation_due(step) or self.checkpoint_due(step)

    def evaluation_due(self, step: int) -> bool:
        """Tell whether an evaluation is due at this step."""
        return self._due(step, self.eval_every)

    def checkpoint_due(self, step: int) -> bool:
        """Tell whether a checkpoint is due at this step."""
        return self._due(step, self.checkpoint_every)

    def _due(self, step: int, every: int) -> bool:
        """True every `every` steps and at the end.

        A remainder of less than half an interval joins the last interval, so that no
        log row is of one step.
        """
        regular = step % every == 0 and 2 * (self.steps - step) >= every
        return (regular and step > 0) or step == self.steps

    def _next(self, step: int, every: int) -> int:
        """First step after `step` that is due."""
        at = step + every - step % every
        return at if at < self.steps and self._due(at, every) else self.steps
