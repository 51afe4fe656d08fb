"""Seed replicas: the runs that one program trains, each in its own folder."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TypedDict, cast

import jax

from resnet_jax.config.schema import Config
from resnet_jax.errors import CheckpointError, ConfigError
from resnet_jax.paths import Tree, replaced
from resnet_jax.runs import directory
from resnet_jax.runs.log import Log
from resnet_jax.runs.result import Best, Result, diverged, done, summary
from resnet_jax.train.checkpoint import Checkpoints, steps_in
from resnet_jax.train.state import TrainState

Folder = pathlib.Path


class Meta(TypedDict):
    """Metadata of a checkpoint."""

    wall_s: float  # seconds spent on the run
    best: Best | None  # None before the first evaluation of a validation split


@dataclasses.dataclass(eq=False)
class Replica:
    """Run of one seed: its log, checkpoints and state.

    `meta["wall_s"]` is as of the start. `diverged` gives the reason why a run is not
    trained further, its non-finite loss; it is written to FAILED beside the log.
    """

    seed: int
    log: Log
    checkpoints: Checkpoints
    best: Checkpoints
    meta: Meta = dataclasses.field(default_factory=lambda: Meta(wall_s=0.0, best=None))
    diverged: str | None = None

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

    def discard_after(self, step: int) -> None:
        """Discard log rows and best checkpoints after `step`, to be written again."""
        self.log.cut(step)
        self.best.discard_after(step)

    def fail(self, reason: str) -> None:
        """Mark the run as diverged; its checkpoints stay as they are."""
        self.diverged = reason
        if jax.process_index() == 0:
            self.log.path.with_name("FAILED").write_text(f"diverged: {reason}\n")


def restore_all(
    replicas: Sequence[Replica], abstract: TrainState
) -> list[TrainState] | None:
    """Restore the states of all replicas at their newest common step, or None.

    Replicas save one after another, so that a kill may leave some a checkpoint ahead,
    which is discarded and made again.
    """
    while True:
        found = [replica.checkpoints.restore(abstract) for replica in replicas]
        saved = {r.seed: steps_in(r.checkpoints.directory) for r in replicas}
        step = common_step(saved)
        if all(max(steps, default=0) == step for steps in saved.values()):
            break
        for replica in replicas:
            replica.checkpoints.discard_after(step)
    restored = [pair for pair in found if pair is not None]
    if len(restored) < len(found):
        return None
    for replica, (_, meta) in zip(replicas, restored, strict=True):
        replica.meta = cast(Meta, meta)
    return [state for state, _ in restored]


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
    configs: dict[Folder, Config], *, steps: int
) -> tuple[dict[Folder, Config], dict[Folder, Result | str]]:
    """Split runs into (configs of those to train, results or failures of the others).

    A diverged run of a single seed is trained again, as something may have changed.
    """
    left, found = {}, {}
    for folder, own in configs.items():
        if result := done(folder, steps=steps):
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
    """Open a run to train: write its config, open its log and checkpoints."""
    number = jax.process_index()
    if number == 0:
        for end in ("DONE", "FAILED"):
            (folder / end).unlink(missing_ok=True)
        directory.write_config(folder, config, derived)
        directory.record_environment(folder, device_facts())
    tensorboard = config.train.tensorboard and number == 0
    events = folder / "tensorboard" if tensorboard else None
    name = f"metrics.process{number}.jsonl" if number else "metrics.jsonl"
    with (
        Log(folder / name, tensorboard=events) as log,
        Checkpoints(folder / "checkpoints") as checkpoints,
        Checkpoints(folder / "best") as best,
    ):
        yield Replica(config.seed, log, checkpoints, best)


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
