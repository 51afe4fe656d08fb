"""Seed replicas: the runs that one program trains, each in its own folder."""

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TypedDict, cast

import jax
import numpy as np
from jax.experimental import multihost_utils

from resnet_jax.config.schema import Config
from resnet_jax.errors import CheckpointError, ConfigError, Preempted, UserError
from resnet_jax.paths import Tree, replaced
from resnet_jax.runs import directory
from resnet_jax.runs.log import Log
from resnet_jax.runs.reader import LogFile
from resnet_jax.runs.result import Best, Result, diverged, done, lowest, summary
from resnet_jax.runs.trackers import opened
from resnet_jax.train import agreement
from resnet_jax.train.checkpoint import Checkpoints
from resnet_jax.train.checkpoint_folder import steps_in
from resnet_jax.train.state import TrainState

Folder = pathlib.Path


ENDS = ("DONE", "FAILED", "STOPPED")  # files that say how a run ended


class Meta(TypedDict):
    """Metadata of a checkpoint."""

    wall_s: float  # seconds spent on the run
    best: Best | None  # None before the first evaluation of a validation split
    evaluated: int  # step of the last evaluation whose rows are in the log
    run: str  # id of the run


@dataclasses.dataclass(eq=False)
class Replica:
    """Run of one seed: its log, checkpoints and state.

    `meta["wall_s"]` is as of the start. `diverged` gives the reason why a run is not
    trained further, its non-finite loss; it is written to FAILED beside the log.
    """

    config: Config
    derived: Tree
    log: Log
    checkpoints: Checkpoints
    best: Checkpoints
    meta: Meta
    begun: bool = False
    diverged: str | None = None

    @property
    def seed(self) -> int:
        return self.config.seed

    @property
    def folder(self) -> Folder:
        return self.log.path.parent

    def begin(self) -> None:
        """Write what will be run, in place of how an earlier start ended."""
        self.begun = True
        if jax.process_index() == 0:
            for end in ENDS:
                (self.folder / end).unlink(missing_ok=True)
            run = self.meta["run"]
            directory.write_config(self.folder, self.config, self.derived, run=run)
            directory.record_environment(self.folder, device_facts())

    def end(self, name: str, reason: str) -> None:
        """Write how a run ended that is not done; a full disk does not matter here."""
        if self.begun and jax.process_index() == 0:
            with contextlib.suppress(OSError):  # it may have been removed as well
                (self.folder / name).write_text(f"{reason.splitlines()[0]}\n")

    def wall_s(self, seconds: float) -> float:
        """Total seconds spent on this run, `seconds` after its start."""
        return round(self.meta["wall_s"] + seconds, 3)

    def meta_after(self, seconds: float) -> Meta:
        """Metadata of a checkpoint, `seconds` after the start."""
        return {**self.meta, "wall_s": self.wall_s(seconds)}

    def wait(self) -> None:
        """Wait until all checkpoints are on disk."""
        self.best.wait()
        self.checkpoints.wait()

    def restore(self, abstract: TrainState) -> TrainState | None:
        """Restore the newest intact state that the log goes with; None without one."""
        every, places = self.derived["eval_every"], places_in(self.folder)
        refuse = functools.partial(
            agreement.complaint, places, run=self.meta["run"], eval_every=every
        )
        found = self.checkpoints.restore(abstract, refuse=refuse)
        if found is None:
            every = self.config.train.checkpoint_every or every
            agreement.check_nothing_lost(places, checkpoint_every=every)
            return None
        state, meta = found
        step = int(state.step)
        self.checkpoints.discard_after(step)
        usual = {"evaluated": step}  # of checkpoints of older versions
        self.meta = cast(Meta, usual | meta | {"run": self.meta["run"]})
        return state

    def discard_after(self, step: int, *, evaluated: int) -> None:
        """Discard log rows and best checkpoints after `step`, to be written again.

        Those of `step` itself stay if the last evaluation to keep, `evaluated`, is
        there.
        """
        kept = self.meta["evaluated"] = min(self.meta["evaluated"], evaluated)
        self.log.cut(step, evaluated=kept >= step)
        self.best.discard_after(kept)
        best = self.meta["best"]
        if best and best["step"] > kept:
            self.meta["best"] = lowest(LogFile(self.log.path))

    def fail(self, reason: str) -> None:
        """Mark the run as diverged; its checkpoints stay as they are."""
        self.diverged = reason
        self.end("FAILED", f"diverged: {reason}")


def places_in(folder: Folder) -> agreement.Places:
    """The log and the checkpoints of a run."""
    return agreement.Places(folder / "metrics.jsonl", folder / "checkpoints")


def restore_all(
    replicas: Sequence[Replica], abstract: TrainState
) -> list[TrainState] | None:
    """Restore the states of all replicas at their newest common step, or None.

    Replicas save one after another, so that a kill may leave some a checkpoint ahead,
    which is discarded and made again.
    """
    while True:
        found = [replica.restore(abstract) for replica in replicas]
        saved = {r.seed: steps_in(r.checkpoints.directory) for r in replicas}
        step = common_step(saved)
        if all(max(steps, default=0) == step for steps in saved.values()):
            break
        for replica in replicas:
            replica.checkpoints.discard_after(step)
    restored = [state for state in found if state is not None]
    return restored if len(restored) == len(found) else None


def common_step(saved: Mapping[int, Sequence[int]]) -> int:
    """Newest step that all seeds have saved, 0 if some have none.

    CheckpointError where a seed would lose more than its last checkpoint.
    """
    newest = {seed: max(steps, default=0) for seed, steps in saved.items()}
    step = min(newest.values())
    for steps in saved.values():
        later = sum(other > step for other in steps)
        if later > 1 or (step and step not in steps):
            at = ", ".join(f"seed {seed} at {last}" for seed, last in newest.items())
            last = max(newest.values())
            raise CheckpointError(
                f"train.seeds: the runs are not at one step ({at}); train those behind "
                f"by themselves first, with --config.train.steps={last}"
            )
    return step


def configs_by_folder(config: Config, folder: Folder) -> dict[Folder, Config]:
    """Folder and config of each seed, as for a run of this seed alone."""
    if not config.train.seeds:
        return {folder: config}
    if config.seed:
        told = f"train.seeds={config.train.seeds} are trained; leave one of them out"
        raise ConfigError(f"seed={config.seed}: {told}")
    return {
        folder / f"seed{seed}": replaced(config, {"seed": seed, "train.seeds": ()})
        for seed in config.train.seeds
    }


def split_finished(
    configs: dict[Folder, Config], *, steps: int, protocol: str
) -> tuple[dict[Folder, Config], dict[Folder, Result | str]]:
    """Split runs into (configs of those to train, results or failures of the others).

    A diverged run of a single seed is trained again, as something may have changed.
    """
    left, found = {}, {}
    for folder, own in configs.items():
        if result := done(folder, steps=steps, protocol=protocol):
            found[folder] = result
        elif len(configs) > 1 and (reason := diverged(folder)):
            found[folder] = reason
        else:
            left[folder] = own
    return left, found


def check_common_step(runs: dict[Folder, Config]) -> None:
    """Raise CheckpointError where runs have no common step to go on from."""
    saved = {own.seed: steps_in(folder / "checkpoints") for folder, own in runs.items()}
    step = common_step(saved)
    for folder, own in runs.items():
        if max(saved[own.seed], default=0) > step and (folder / "DONE").exists():
            raise CheckpointError(
                f"train.seeds: {folder} is done with step {max(saved[own.seed])}, but "
                f"others are at step {step}; train those by themselves first"
            )


def device_facts() -> Tree:
    """Platform, devices and processes, for env.json."""
    devices = jax.devices()
    return {
        "platform": devices[0].platform,
        "devices": [device.device_kind for device in devices],
        "processes": jax.process_count(),
    }


@contextlib.contextmanager
def open_replica(folder: Folder, config: Config, derived: Tree) -> Iterator[Replica]:
    """Open the log and the checkpoints of a run; `Replica.begin` writes its config."""
    number = jax.process_index()
    stored = directory.read_config(folder)
    agreement.check_folder(places_in(folder))
    run = _common_id((stored and stored.run) or directory.new_id())
    trackers = () if number else opened(folder, config, run=run)
    name = f"metrics.process{number}.jsonl" if number else "metrics.jsonl"
    with (
        Log(folder / name, run=run, trackers=trackers) as log,
        Checkpoints(folder / "checkpoints") as checkpoints,
        Checkpoints(folder / "best") as best,
    ):
        meta = Meta(wall_s=0.0, best=None, evaluated=0, run=run)
        replica = Replica(config, derived, log, checkpoints, best, meta)
        with _ending(replica):
            yield replica


@contextlib.contextmanager
def _ending(replica: Replica) -> Iterator[None]:
    """Write STOPPED or FAILED where the run ends by an exception."""
    try:
        yield
    except (Preempted, KeyboardInterrupt) as error:
        kind = error.kind if isinstance(error, Preempted) else "interrupted"
        replica.end("STOPPED", f"{kind}: {error}")
        raise
    except UserError as error:
        replica.end("FAILED", f"{error.kind}: {error}")
        raise
    except Exception as error:
        replica.end("FAILED", f"{type(error).__name__}: {error}")
        raise


def _common_id(run: str) -> str:
    """The id of the first process, for all processes of a run."""
    if jax.process_count() == 1:
        return run
    own = np.frombuffer(bytes.fromhex(run), np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(own)).tobytes().hex()


def write_result(folder: Folder, replica: Replica, *, protocol: str) -> Result | str:
    """Write and return the result of a run; return the reason if it diverged."""
    if replica.diverged:
        return replica.diverged
    best, wall_s = replica.meta["best"], replica.meta["wall_s"]
    result = summary(replica.log.path, best=best, wall_s=wall_s, protocol=protocol)
    if jax.process_index() == 0:
        directory.write_json(folder / "result.json", result)
        end = {"step": result["step"], "wall_s": wall_s}
        directory.write_json(folder / "DONE", end)
    return result


def divergence_message(reasons: dict[int, str], config: Config) -> str:
    """Compose the error message for seeds whose loss was not finite."""
    text = "; ".join(
        f"seed {seed}: {reason}" if config.train.seeds else reason
        for seed, reason in reasons.items()
    )
    others = len(config.seeds) - len(reasons)
    rest = f" ({others} others are done)" if others else ""
    return (
        f"{text}{rest}; lower optim.learning_rate, lengthen optim.warmup, or leave out "
        f"more than train.max_nonfinite_updates={config.train.max_nonfinite_updates}"
    )
