"""The runs that one command trains, one for each seed: where they lie, how they end."""

import contextlib
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import jax

from resnet_jax.config.schema import Config
from resnet_jax.errors import CheckpointError
from resnet_jax.paths import replaced
from resnet_jax.runs import directory
from resnet_jax.runs.log import Log, lock, read
from resnet_jax.train.checkpoint import Checkpoints, steps_in
from resnet_jax.train.replicas import Replica, common_step

Folder = pathlib.Path
Result = dict[str, Any]

CURE = (
    "lower optim.learning_rate, lengthen optim.warmup, or leave out more than "
    "train.max_nonfinite_updates={}"
)


def alone(config: Config, folder: Folder) -> dict[Folder, Config]:
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


def sorted_out(
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


def done(folder: Folder, *, steps: int) -> Result | None:
    """The result of a run that has made so many steps."""
    end = directory.read_json(folder / "DONE")
    result = directory.read_json(folder / "result.json")
    return result if end and result and end["step"] >= steps else None


def diverged(folder: Folder) -> str | None:
    """Why a run ended, where its loss was not finite."""
    try:
        kind, _, reason = (folder / "FAILED").read_text().strip().partition(": ")
    except FileNotFoundError:
        return None
    return reason.partition(";")[0] if kind == "diverged" else None


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


@contextlib.contextmanager
def begun(folder: Folder, config: Config, derived: dict[str, Any]) -> Iterator[Replica]:
    """A run about to train: its config is written, its log open."""
    number = jax.process_index()
    if number == 0:
        for end in ("DONE", "FAILED"):
            (folder / end).unlink(missing_ok=True)
        directory.write_config(folder, config, derived)
        directory.keep_environment(folder)
    board = config.train.tensorboard and number == 0
    events = folder / "tensorboard" if board else None
    name = f"metrics.process{number}.jsonl" if number else "metrics.jsonl"
    with (
        Log(folder / name, tensorboard=events) as log,
        Checkpoints(folder / "checkpoints") as saved,
        Checkpoints(folder / "best") as best,
    ):
        yield Replica(config.seed, log, saved, best)


def ended(folder: Folder, replica: Replica) -> Result | str:
    """The result of a run, now written down with DONE; or why it diverged."""
    if replica.diverged:
        return replica.diverged
    result = summary(replica)
    if jax.process_index() == 0:
        directory.write_json(folder / "result.json", result)
        short = {name: result[name] for name in ("step", "wall_s")}
        directory.write_json(folder / "DONE", short)
    return result


def summary(replica: Replica) -> Result:
    """What a run came to, as its log tells it."""
    rows, _ = read(replica.log.path)
    tests = [row for row in rows if row["split"] == "test"]
    moving = [row for row in tests if row.get("stats") != "precise"]
    precise = [row for row in tests if row.get("stats") == "precise"]
    return {
        "step": moving[-1]["step"],
        "n": moving[-1]["n"],
        "test_top1_err": moving[-1]["top1_err"],
        "test_top1_err_precise": precise[-1]["top1_err"] if precise else None,
        "best_on_val": replica.meta["best"],
        "wall_s": replica.meta["wall_s"],
    }


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
