"""The main loop: train, look, log, save, until done, asked to stop, or diverged.

One program trains one seed or several; each is a replica with a log and checkpoints of
its own, which hold what they would hold if it were trained alone.
"""

import contextlib
import dataclasses
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol, SupportsFloat, TypeVar, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from resnet_jax.errors import Preempted
from resnet_jax.runs.result import Best
from resnet_jax.train.evaluate import Errors, Scores, errors
from resnet_jax.train.preemption import asked_to_stop
from resnet_jax.train.profiler import Trace
from resnet_jax.train.program import Program, Update, temporary_bytes
from resnet_jax.train.replicas import Replica
from resnet_jax.train.schedule import LoopSpec
from resnet_jax.train.state import Sums, TrainState, Variables
from resnet_jax.train.step import DeviceBatch
from resnet_jax.train.timer import Timer

T = TypeVar("T")
CHECK_EVERY = 50  # steps between looks at the losses, which wait for the device


@runtime_checkable
class Progress(Protocol):
    """Shows a person how far a run is."""

    def update(self, step: int) -> None: ...
    def note(self, text: str) -> None: ...
    def doing(self, what: str) -> None: ...


@dataclasses.dataclass(frozen=True)
class Run:
    """Parts that the loop works with; of several seeds, arrays have their axis first.

    batches(step, k) -> host arrays of the k batches from `step` on
    evaluate(variables) -> {"val": sums, "test": sums}, host numbers
    rate(step) -> learning rate
    updates: by the size of training images, where several take turns, else by None
    peak: images a second that all devices together cannot exceed, where it is known
    """

    program: Program
    updates: Mapping[int | None, Update]
    data: DeviceBatch | None
    batches: Callable[[int, int], DeviceBatch]
    evaluate: Callable[[Variables], Scores]
    rate: Callable[[int], SupportsFloat]
    replicas: tuple[Replica, ...]
    progress: Progress
    trace: Trace | None = None
    peak: float | None = None

    @property
    def alive(self) -> bool:
        """Does any seed still take part?"""
        return not all(replica.diverged for replica in self.replicas)

    def each(self, parts: Iterable[T]) -> Iterator[tuple[Replica, T]]:
        """Pair each unfinished seed with its part."""
        pairs = zip(self.replicas, parts, strict=True)
        return ((replica, part) for replica, part in pairs if not replica.diverged)

    def slices(self, tree: PyTree) -> Iterator[tuple[Replica, PyTree]]:
        """Pair each unfinished seed with its slice of host arrays."""
        return self.each(self.program.seeds.slices(tree))


def fit(
    run: Run,
    spec: LoopSpec,
    *,
    state: TrainState,
    finish: Callable[[TrainState], None] | None = None,
) -> None:
    """Train from `state` to `spec.steps`; rows and checkpoints as they fall due.

    A seed whose loss is not finite takes no further part; with none left, this ends.
    `finish` writes what belongs to the last step, before its checkpoint: a row that is
    logged ahead of the checkpoint of its step can be neither lost nor doubled.
    """
    step, timer = at_step(state), Timer()
    watch = Watch(run, spec, timer)
    with (
        asked_to_stop(run.replicas[0].checkpoints) as asked,
        run.trace or contextlib.nullcontext(),
    ):
        while step < spec.steps and run.alive:
            state, count, seen = call(run, spec, state, step=step, timer=timer)
            step += count
            watch.saw(step, count, seen)
            run.progress.update(step)
            if run.trace and run.trace.called(step, seen):
                run.progress.note(run.trace.told())
            if spec.evaluates(step) and watch.check():
                state = report(run, spec, state, step=step, timer=timer)
            if step == spec.steps and finish and run.alive:
                finish(state)
            stop = asked(step)
            if (spec.saves(step) or stop) and watch.check():
                with timer.on("save"):
                    save(run, state, step=step, timer=timer)
                if stop and step < spec.steps:
                    raise preempted(run, step)
    for replica in run.replicas:
        replica.wait()
        replica.meta = replica.stamped(timer.seconds())


def call(
    run: Run, spec: LoopSpec, state: TrainState, *, step: int, timer: Timer
) -> tuple[TrainState, int, Sums]:
    """One call of the compiled step: (state, updates made, {"loss", ...} of each)."""
    size = spec.size(step)
    # The first call of a program, which compiles, makes one update.
    count = spec.calls(step) if timer.knows(size) else 1
    run.progress.doing("training" if timer.knows(size) else "compiling")
    with timer.on("data"):
        batches = run.program.filled(run.batches(step, count), spec.steps_per_call)
        batches = run.program.place(batches)
    with jax.profiler.StepTraceAnnotation("train", step_num=step):
        state, seen = run.updates[size](state, run.data, batches, count)
    timer.trained(count * spec.batch_size, seen, program=size)
    return state, count, seen


def at_step(state: TrainState) -> int:
    """The step of all seeds."""
    return int(jax.device_get(state.step).max())


def save(run: Run, state: TrainState, *, step: int, timer: Timer) -> None:
    """A checkpoint of every seed; none begins before the last ones are complete."""
    for replica in run.replicas:
        replica.wait()  # `meta` tells of the best
    for replica, own in run.each(run.program.seeds.split(state)):
        replica.checkpoints.save(step, own, meta=replica.stamped(timer.seconds()))


def preempted(run: Run, step: int) -> Preempted:
    """The error to raise once the state of `step` is on disk."""
    for replica in run.replicas:
        replica.wait()
    return Preempted(
        f"step={step}: asked to stop, state saved; the same command resumes"
    )


def report(
    run: Run, spec: LoopSpec, state: TrainState, *, step: int, timer: Timer
) -> TrainState:
    """Log the training examples since the last row, and the evaluation splits."""
    place = {"step": step, "epoch": round(step / spec.steps_per_epoch, 4)}
    train = jax.device_get((state.sums, state.skipped))
    speed, then = throughput(run, timer), timer.seconds()
    run.progress.doing("evaluating")
    with timer.on("eval"):
        scores = run.evaluate(variables_of(state))
    speed |= timer.breakdown()
    if "compile_s" in speed:
        speed["temporary_bytes"] = temporary_bytes(run.updates.values())
    with timer.on("eval"):
        rows, now = {}, timer.seconds()
        for replica, ((sums, skipped), scored) in run.slices((train, scores)):
            lr = float(run.rate(max(step - 1 - int(skipped), 0)))
            pace = {"lr": lr, "skipped": int(skipped), **speed}
            pace["wall_s"] = replica.wall_s(then)
            told = {"protocol": spec.protocol, "wall_s": replica.wall_s(now)}
            # in the order of `scores`; `scored` is sorted by name
            own = {split: errors(scored[split]) for split in scores}
            own = {"train": errors(sums), **own}
            for split, row in own.items():
                more = pace if split == "train" else told
                replica.log.write({"split": split, **place, **row, **more})
            rows[replica.seed] = own
        run.progress.note(summary(step, list(rows.values())))
        run.progress.doing("training")
    with timer.on("save"):
        keep_best(run, state, rows, step=step, timer=timer)
    timer.resume()
    zeros = jax.tree.map(lambda x: jnp.zeros_like(x, device=x.sharding), state.sums)
    return dataclasses.replace(state, sums=zeros)


def throughput(run: Run, timer: Timer) -> dict[str, float | None]:
    """Images a second of each seed, and the share of the peak of all together."""
    rate = timer.rate()
    found = {"images_per_s": rate}
    if run.peak and rate:
        found["peak_share"] = round(rate * len(run.replicas) / run.peak, 4)
    return found


def keep_best(
    run: Run,
    state: TrainState,
    rows: Mapping[int, Mapping[str, Errors]],
    *,
    step: int,
    timer: Timer,
) -> None:
    """Save the seeds that make fewer validation errors than ever."""
    best = [
        replica
        for replica in run.replicas
        if "val" in rows.get(replica.seed, {})
        and better(rows[replica.seed]["val"], replica.meta["best"])
    ]
    if not best:
        return
    for replica, own in run.each(run.program.seeds.split(state)):
        if replica in best:
            row = rows[replica.seed]
            replica.meta["best"] = Best(
                step=step,
                val_top1_err=row["val"]["top1_err"],
                test_top1_err=row["test"]["top1_err"],
            )
            replica.best.save(step, own, meta=replica.stamped(timer.seconds()))


def variables_of(state: TrainState) -> Variables:
    """Variables that are evaluated: the averaged parameters where there are any."""
    params = state.params if state.ema is None else state.ema
    return {"params": params, "batch_stats": state.batch_stats}


def better(row: Errors, best: Best | None) -> bool:
    """Strictly fewer validation errors; the test set selects nothing."""
    if not math.isfinite(row["loss"]):
        return False
    return best is None or row["top1_err"] < best["val_top1_err"]


def summary(step: int, seeds: Sequence[Mapping[str, Errors]]) -> str:
    """One line; of several seeds, their errors in order."""
    shown = []
    for split in seeds[0]:
        found = [f"{rows[split]['top1_err']:.2f}" for rows in seeds]
        shown.append(f"{split} {' '.join(found)} %")
    return f"step {step}: error " + ", ".join(shown)


class Watch:
    """A look at losses that does not make every step wait for the host."""

    def __init__(self, run: Run, spec: LoopSpec, timer: Timer):
        self._run, self._spec, self._timer = run, spec, timer
        self._pending: deque[tuple[int, int, Sums]] = deque()

    def saw(self, step: int, count: int, seen: Sums) -> None:
        """Tell of a call of `count` updates that ended at `step`."""
        self._pending.append((step, count, seen))
        if len(self._pending) * self._spec.steps_per_call >= CHECK_EVERY:
            self.check(newest=2)

    def check(self, *, newest: int = 0) -> bool:
        """Log each update that was left out; does any seed still take part?

        A seed ends where they are too many. The `newest` calls are left alone: the
        device may still be at work on them.
        """
        while len(self._pending) > newest:
            end, count, seen = self._pending.popleft()
            for replica, own in self._run.slices(jax.device_get(seen)):
                for i in (~own["ok"][:count]).nonzero()[0]:
                    if not replica.diverged:
                        step = end - count + int(i) + 1
                        loss, skipped = float(own["loss"][i]), int(own["skipped"][i])
                        self._left_out(replica, step, loss, skipped)
        return self._run.alive

    def _left_out(self, replica: Replica, step: int, loss: float, skipped: int) -> None:
        row = {"split": "train", "step": step, "loss": loss, "event": "not finite"}
        replica.log.write(row | {"wall_s": replica.wall_s(self._timer.seconds())})
        if skipped > self._spec.max_nonfinite:
            replica.give_up(f"step={step}: loss {loss} or its gradient is not finite")
