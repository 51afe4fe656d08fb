"""Seed replicas: the runs that one program trains, each in its own folder."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypedDict, cast

import jax

from resnet_jax.config.schema import Config
from resnet_jax.errors import CheckpointError
from resnet_jax.paths import Tree, replaced
from resnet_jax.runs import directory
from resnet_jax.runs.log import Log, lock
from resnet_jax.runs.result import Best, Result, diverged, done, summary
from resnet_jax.train.checkpoint import Checkpoints, steps_in
from resnet_jax.train.state import TrainState

Folder = pathlib.Path

CURE = (
    "lower optim.learning_rate, lengthen optim.warmup, or leave out more than "
    "train.max_nonfinite_updates={}"
)


class Meta(TypedDict):
    """Data that travels with checkpoints."""

    wall_s: float
    best: Best | None  # None before the first evaluation of a validation split


def fresh() -> Meta:
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
    meta: Meta = dataclasses.field(default_factory=fresh)
    diverged: str | None = None

    def wall_s(self, seconds: float) -> float:
        """Seconds spent on this run, so long after its start."""
        return round(self.meta["wall_s"] + seconds, 3)

    def stamped(self, seconds: float) -> Meta:
        """`meta`, so long after the start."""
        return {**self.meta, "wall_s": self.wall_s(seconds)}

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
    whole = [pair for pair in found if pair is not None]
    if len(whole) < len(found):
        return None
    for replica, (_, meta) in zip(replicas, whole, strict=True):
        replica.meta = cast(Meta, meta)
    return [state for state, _ in whole]


def common_step(kept: Mapping[int, Sequence[int]]) -> int:
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


def configs_by_folder(config: Config, folder: Folder) -> dict[Folder, Config]:
    """The folder of each seed, and its config as if it were trained by itself."""
    if not config.train.seeds:
        return {folder: config}
    return {
        folder / f"seed{seed}": replaced(config, {"seed": seed, "train.seeds": ()})
        for seed in config.train.seeds
    }


@contextlib.contextmanager
def locked(folders: Iterable[Folder]) -> Iterator[None]:
    """Holds the folders, on the one process that writes what they share."""
    with contextlib.ExitStack() as stack:
        if jax.process_index() == 0:
            for folder in folders:
                stack.enter_context(lock(folder))
        yield


def split_finished(
    configs: dict[Folder, Config], *, steps: int
) -> tuple[dict[Folder, Config], dict[Folder, Result | str]]:
    """(the runs to train, what the others came to: a result, or why they diverged).

    A run by itself that has diverged is tried again, as something may have changed.
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


def refuse_apart(runs: dict[Folder, Config]) -> None:
    """CheckpointError where runs cannot go on together, as they are steps apart."""
    kept = {own.seed: steps_in(folder / "checkpoints") for folder, own in runs.items()}
    step = common_step(kept)
    for folder, own in runs.items():
        if max(kept[own.seed], default=0) > step and (folder / "DONE").exists():
            raise CheckpointError(
                f"train.seeds: {folder} is done with step {max(kept[own.seed])}, but "
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
def opened(folder: Folder, config: Config, derived: Tree) -> Iterator[Replica]:
    """A run about to train: its config is written, its log open."""
    number = jax.process_index()
    if number == 0:
        for end in ("DONE", "FAILED"):
            (folder / end).unlink(missing_ok=True)
        directory.write_config(folder, config, derived)
        directory.keep_environment(folder, device_facts())
    board = config.train.tensorboard and number == 0
    events = folder / "tensorboard" if board else None
    name = f"metrics.process{number}.jsonl" if number else "metrics.jsonl"
    with (
        Log(folder / name, tensorboard=events) as log,
        Checkpoints(folder / "checkpoints") as saved,
        Checkpoints(folder / "best") as best,
    ):
        yield Replica(config.seed, log, saved, best)


def ended(folder: Folder, replica: Replica, *, protocol: str) -> Result | str:
    """The result of a run, now written down with DONE; or why it diverged."""
    if replica.diverged:
        return replica.diverged
    best, wall_s = replica.meta["best"], replica.meta["wall_s"]
    result = summary(replica.log.path, best=best, wall_s=wall_s, protocol=protocol)
    if jax.process_index() == 0:
        directory.write_json(folder / "result.json", result)
        short = {"step": result["step"], "wall_s": wall_s}
        directory.write_json(folder / "DONE", short)
    return result


def divergence(reasons: dict[int, str], config: Config) -> str:
    """The message of the seeds whose loss was not finite."""
    text = "; ".join(
        f"seed {seed}: {reason}" if config.train.seeds else reason
        for seed, reason in reasons.items()
    )
    others = len(config.seeds) - len(reasons)
    rest = f" ({others} others are done)" if others else ""
    cure = CURE.format(config.train.max_nonfinite_updates)
    return f"{text}{rest}; {cure}"
