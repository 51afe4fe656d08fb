"""The main loop: train, look, log, save, until done, asked to stop, or diverged.

One program trains one seed or several; each is a lane with a log and checkpoints of its
own, which hold what they would hold if it were trained alone.
"""

import contextlib
import dataclasses
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from resnet_jax.errors import Preempted
from resnet_jax.train.preemption import asked_to_stop
from resnet_jax.train.profiler import Trace
from resnet_jax.train.program import Program
from resnet_jax.train.replicas import Lane
from resnet_jax.train.size_schedule import Turns
from resnet_jax.train.state import TrainState
from resnet_jax.train.timer import Clock
from resnet_jax.train.update import Update, temporary_bytes

CHECK_EVERY = 50  # steps between looks at the losses, which wait for the device


@dataclasses.dataclass(frozen=True)
class LoopSpec:
    """When things happen, in steps (updates)."""

    steps: int
    eval_every: int
    checkpoint_every: int
    batch_size: int
    steps_per_epoch: float
    steps_per_call: int = 1
    max_skips: int = 0
    turns: Turns | None = None  # of the sizes of training images


@runtime_checkable
class Progress(Protocol):
    """Shows a person how far a run is."""

    def update(self, step: int) -> None: ...
    def note(self, text: str) -> None: ...


@dataclasses.dataclass(frozen=True)
class Run:
    """What the loop works with; of several seeds, arrays have their axis first.

    feeds(step, k) -> host arrays of the k batches from `step` on
    evaluate(variables) -> {"val": sums, "test": sums}, host numbers
    rate(step) -> learning rate
    updates: by the size of training images, if several take turns, else by None
    peak: images a second that all devices together cannot exceed, where it is known
    """

    program: Program
    updates: Mapping[int | None, Update]
    data: Any
    feeds: Callable[[int, int], Any]
    evaluate: Callable[[Any], dict[str, dict[str, Any]]]
    rate: Callable[[int], Any]
    lanes: tuple[Lane, ...]
    progress: Progress
    trace: Trace | None = None
    peak: float | None = None

    @property
    def alive(self) -> bool:
        return not all(lane.diverged for lane in self.lanes)

    def each(self, parts: Iterable[Any]) -> Iterator[tuple[Lane, Any]]:
        """The lanes that still take part, each with its own of the parts."""
        pairs = zip(self.lanes, parts, strict=True)
        return ((lane, part) for lane, part in pairs if not lane.diverged)

    def own(self, tree: Any) -> Iterator[tuple[Lane, Any]]:
        """The same, of host arrays."""
        return self.each(self.program.seeds.own(tree))


def fit(
    run: Run,
    spec: LoopSpec,
    *,
    state: TrainState,
    finish: Callable[[TrainState], None] | None = None,
) -> None:
    """Train from `state` to `spec.steps`; rows and checkpoints as they fall due.

    A lane whose loss is not finite takes no further part; with none left, this ends.
    `finish` writes what belongs to the last step, before its checkpoint: a row that is
    logged ahead of the checkpoint of its step can be neither lost nor doubled.
    """
    step, clock = at_step(state), Clock()
    watch = Watch(run, spec, clock)
    with (
        asked_to_stop(run.lanes[0].checkpoints) as asked,
        run.trace or contextlib.nullcontext(),
    ):
        while step < spec.steps and run.alive:
            size = spec.turns.size(step) if spec.turns else None
            # the first one, which compiles, alone: it tells soon whether all is well
            count = calls(step, spec) if clock.knows(size) else 1
            with clock.on("data"):
                feeds = run.program.filled(run.feeds(step, count), spec.steps_per_call)
                feeds = run.program.place(feeds)
            with jax.profiler.StepTraceAnnotation("train", step_num=step):
                state, seen = run.updates[size](state, run.data, feeds, count)
            step += count
            watch.saw(step, count, seen)
            clock.trained(count * spec.batch_size, seen, program=size)
            run.progress.update(step)
            if run.trace and run.trace.called(step, seen):
                run.progress.note(run.trace.told())

            if due(step, spec.eval_every, spec) and watch.check():
                state = report(run, spec, state, step=step, clock=clock)
            if step == spec.steps and finish and run.alive:
                finish(state)
            stop = asked(step)
            if (due(step, spec.checkpoint_every, spec) or stop) and watch.check():
                with clock.on("save"):
                    save(run, state, step=step, clock=clock)
                if stop and step < spec.steps:
                    raise preempted(run, step)
    for lane in run.lanes:
        lane.wait()
        lane.meta = lane.stamped(clock.seconds())


def at_step(state: TrainState) -> int:
    """The step of all seeds."""
    return int(jax.device_get(state.step).max())


def calls(step: int, spec: LoopSpec) -> int:
    """How many updates the next call makes: up to the next thing that falls due."""
    marks = (spec.eval_every, spec.checkpoint_every)
    left = [every - step % every for every in marks] + [spec.steps - step]
    if spec.turns:
        left.append(spec.turns.left(step))
    return min(spec.steps_per_call, *left)


def due(step: int, every: int, spec: LoopSpec) -> bool:
    return step % every == 0 or step == spec.steps


def save(run: Run, state: TrainState, *, step: int, clock: Clock) -> None:
    """A checkpoint of every lane; none begins before the last ones are complete."""
    for lane in run.lanes:
        lane.wait()  # `meta` tells of the best
    for lane, own in run.each(run.program.seeds.split(state)):
        lane.checkpoints.save(step, own, meta=lane.stamped(clock.seconds()))


def preempted(run: Run, step: int) -> Preempted:
    """What to raise once the state of `step` is on disk."""
    for lane in run.lanes:
        lane.wait()
    return Preempted(
        f"step={step}: asked to stop, state saved; the same command resumes"
    )


def report(
    run: Run, spec: LoopSpec, state: TrainState, *, step: int, clock: Clock
) -> TrainState:
    """Log the training examples since the last row, and the evaluation splits."""
    place = {"step": step, "epoch": round(step / spec.steps_per_epoch, 4)}
    train = jax.device_get((state.sums, state.skipped))
    speed, then = throughput(run, clock), clock.seconds()
    with clock.on("eval"):
        scores = run.evaluate(variables_of(state))
    speed |= clock.breakdown()
    if "compile_s" in speed:
        speed["temporary_bytes"] = temporary_bytes(run.updates.values())
    with clock.on("eval"):
        rows, now = {}, clock.seconds()
        for lane, ((sums, skipped), scored) in run.own((train, scores)):
            lr = float(run.rate(max(step - 1 - int(skipped), 0)))
            pace = {"lr": lr, "skipped": int(skipped)} | speed
            own = {"train": errors(sums) | pace | {"wall_s": lane.wall_s(then)}}
            for split in scores:  # in this order; `scored` is sorted by name
                own[split] = errors(scored[split]) | {"wall_s": lane.wall_s(now)}
            for split, row in own.items():
                lane.log.write({"split": split, **place, **row})
            rows[lane.seed] = own
        run.progress.note(summary(step, list(rows.values())))
    with clock.on("save"):
        keep_best(run, state, rows, step=step, clock=clock)
    clock.resume()
    zeros = jax.tree.map(lambda x: jnp.zeros_like(x, device=x.sharding), state.sums)
    return state.replace(sums=zeros)


def throughput(run: Run, clock: Clock) -> dict[str, float | None]:
    """Images a second of each lane, and the share of the peak of all together."""
    rate = clock.rate()
    found = {"images_per_s": rate}
    if run.peak and rate:
        found["peak_share"] = round(rate * len(run.lanes) / run.peak, 4)
    return found


def keep_best(
    run: Run, state: TrainState, rows: dict[int, Any], *, step: int, clock: Clock
) -> None:
    """Saves the lanes that make fewer validation errors than ever."""
    best = [
        lane
        for lane in run.lanes
        if "val" in rows.get(lane.seed, {})
        and better(rows[lane.seed]["val"], lane.meta["best"])
    ]
    if not best:
        return
    for lane, own in run.each(run.program.seeds.split(state)):
        if lane in best:
            row = rows[lane.seed]
            lane.meta["best"] = {"step": step} | {
                f"{split}_top1_err": row[split]["top1_err"] for split in ("val", "test")
            }
            lane.best.save(step, own, meta=lane.stamped(clock.seconds()))


def variables_of(state: TrainState) -> dict[str, Any]:
    """What is evaluated: the averaged parameters where there are any."""
    params = state.params if state.ema is None else state.ema
    return {"params": params, "batch_stats": state.batch_stats}


def errors(sums: dict[str, Any]) -> dict[str, float | int]:
    """Sums over examples as n, loss [nats] and errors [%]."""
    n = float(sums["n"])
    share = {name: float(sums[name]) / n if n else math.nan for name in sums}
    return {
        "n": round(n),
        "loss": share["nll"],
        "top1_err": 100 * share["wrong"],
        "top5_err": 100 * share["wrong5"],
    }


def better(row: dict[str, Any], best: dict[str, Any] | None) -> bool:
    """Strictly fewer validation errors; the test set selects nothing."""
    if not math.isfinite(row["loss"]):
        return False
    return best is None or row["top1_err"] < best["val_top1_err"]


def summary(step: int, lanes: list[dict[str, dict[str, Any]]]) -> str:
    """One line; of several lanes, their errors in order."""
    shown = []
    for split in lanes[0]:
        found = [f"{rows[split]['top1_err']:.2f}" for rows in lanes]
        shown.append(f"{split} {' '.join(found)} %")
    return f"step {step}: error " + ", ".join(shown)


class Watch:
    """Looks at losses without making every step wait for the host."""

    def __init__(self, run: Run, spec: LoopSpec, clock: Clock):
        self._run, self._spec, self._clock = run, spec, clock
        self._pending: deque = deque()

    def saw(self, step: int, count: int, seen: Any) -> None:
        self._pending.append((step, count, seen))
        if len(self._pending) * self._spec.steps_per_call >= CHECK_EVERY:
            self.check(newest=2)

    def check(self, *, newest: int = 0) -> bool:
        """Log each update that was left out; whether any lane still takes part.

        A lane ends where they are too many. The `newest` calls are left alone: the
        device may still be at work on them.
        """
        while len(self._pending) > newest:
            end, count, seen = self._pending.popleft()
            for lane, own in self._run.own(jax.device_get(seen)):
                for i in (~own["ok"][:count]).nonzero()[0]:
                    if not lane.diverged:
                        step = end - count + int(i) + 1
                        loss, skipped = float(own["loss"][i]), int(own["skipped"][i])
                        self._left_out(lane, step, loss, skipped)
        return self._run.alive

    def _left_out(self, lane, step, loss, skipped):
        row = {"split": "train", "step": step, "loss": loss, "event": "not finite"}
        lane.log.write(row | {"wall_s": lane.wall_s(self._clock.seconds())})
        if skipped > self._spec.max_skips:
            lane.give_up(f"step={step}: loss {loss} or its gradient is not finite")
