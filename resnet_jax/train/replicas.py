"""Seed replicas: the runs that one program trains, a log and checkpoints each."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax

from resnet_jax.errors import CheckpointError
from resnet_jax.runs.log import Log
from resnet_jax.train.checkpoint import Checkpoints, steps_in
from resnet_jax.train.state import TrainState


def fresh() -> dict[str, Any]:
    """Data that travels with checkpoints: seconds spent, and the best validation."""
    return {"wall_s": 0.0, "best": None}


@dataclasses.dataclass(eq=False)
class Replica:
    """The run of one seed: where it is kept, and why it ended.

    `meta["wall_s"]` is as of its start. `diverged` says why the run takes no further
    part, where its loss is not finite; so does FAILED beside the log.
    """

    seed: int
    log: Log
    checkpoints: Checkpoints
    best: Checkpoints
    meta: dict[str, Any] = dataclasses.field(default_factory=fresh)
    diverged: str | None = None

    def wall_s(self, seconds: float) -> float:
        """Seconds spent on this run, so long after its start."""
        return round(self.meta["wall_s"] + seconds, 3)

    def stamped(self, seconds: float) -> dict[str, Any]:
        """`meta`, so long after the start."""
        return self.meta | {"wall_s": self.wall_s(seconds)}

    def wait(self) -> None:
        """Return when all that was saved is on disk."""
        self.best.wait()
        self.checkpoints.wait()

    def cut(self, step: int) -> None:
        """Drop what was written after `step`, and will be again."""
        self.log.cut(step)
        self.best.discard_after(step)

    def give_up(self, reason: str) -> None:
        """Take the run out; its checkpoints stay as they are."""
        self.diverged = reason
        if jax.process_index() == 0:
            self.log.path.with_name("FAILED").write_text(f"diverged: {reason}\n")


def restored(
    replicas: Sequence[Replica], abstract: TrainState
) -> list[TrainState] | None:
    """The states of all at the newest step that all have; None before any has one.

    Replicas save one after the other, so that a kill may leave some a step ahead: they
    lose this step, and will make it again.
    """
    while True:
        found = [replica.checkpoints.restore(abstract) for replica in replicas]
        kept = {
            replica.seed: steps_in(replica.checkpoints.directory)
            for replica in replicas
        }
        step = common_step(kept)
        if all(max(steps, default=0) == step for steps in kept.values()):
            break
        for replica in replicas:
            replica.checkpoints.discard_after(step)
    if None in found:
        return None
    for replica, (_, meta) in zip(replicas, found, strict=True):
        replica.meta = meta
    return [state for state, _ in found]


def common_step(kept: dict[int, Sequence[int]]) -> int:
    """The newest step that all seeds have, 0 if some have none.

    CheckpointError where one would lose more for it than the last step it has saved.
    """
    step = min(max(steps, default=0) for steps in kept.values())
    for steps in kept.values():
        later = sum(other > step for other in steps)
        if later > 1 or (step and step not in steps):
            at = ", ".join(f"seed {k} at {max(kept[k], default=0)}" for k in kept)
            last = max(max(steps, default=0) for steps in kept.values())
            raise CheckpointError(
                f"train.seeds: the runs are not at one step ({at}); train those behind "
                f"by themselves first, with --config.train.steps={last}"
            )
    return step
