"""Agreement of a run's log with its checkpoints, before the run goes on."""

import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from resnet_jax.errors import CheckpointError
from resnet_jax.runs.directory import RESTART
from resnet_jax.runs.reader import LogFile, holes


class Places(NamedTuple):
    """Log and folder of checkpoints of a run."""

    log: pathlib.Path
    checkpoints: pathlib.Path


def check_folder(places: Places) -> None:
    """CheckpointError where there is a log, but the folder of checkpoints is gone."""
    log, checkpoints = places
    if log.exists() and log.stat().st_size and not checkpoints.exists():
        raise CheckpointError(
            f"checkpoints={checkpoints}: are gone, but the log is not; put them back, "
            f"or {RESTART}"
        )


def check_nothing_lost(places: Places, *, checkpoint_every: int) -> None:
    """CheckpointError where rows are from after a checkpoint that is not there."""
    last = max(LogFile(places.log).steps(), default=0)
    # The first one may still have been written when the run was killed.
    if last > 2 * checkpoint_every:
        raise CheckpointError(
            f"checkpoints={places.checkpoints}: are gone, the log has rows up to step "
            f"{last}; put them back, or {RESTART}"
        )


def check_id(
    folder: pathlib.Path, step: int, meta: Mapping[str, Any], *, run: str | None
) -> None:
    """CheckpointError for a checkpoint of another run; older versions name none."""
    if run and (other := meta.get("run", run)) != run:
        raise CheckpointError(
            f"checkpoints={folder}: step {step} is of another run ({other}, this one "
            f"is {run}); put back those of this run, or {RESTART}"
        )


def complaint(
    places: Places, step: int, meta: Mapping[str, Any], *, run: str, eval_every: int
) -> str | None:
    """Reason why a run cannot go on from a checkpoint with its log; None if it can.

    CheckpointError for a checkpoint of another run. Of several processes the first one
    decides about the log.
    """
    check_id(places.checkpoints, step, meta, run=run)
    if jax.process_index() != 0:
        return None
    log, end = LogFile(places.log), meta.get("evaluated", step)
    missing = holes(log, every=eval_every, end=end)
    if not missing and meta.get("evaluated") and end not in log.steps("test"):
        missing = [f"has no test row of step {end}"]
    return f"log={places.log}: {missing[0]}" if missing else None
