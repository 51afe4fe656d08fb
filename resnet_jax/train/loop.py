"""The main loop: train, look, log, save, until done, asked to stop, or diverged."""

import contextlib
import dataclasses
import math
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from resnet_jax.errors import DivergedError, Preempted
from resnet_jax.train.checkpoint import Checkpoints
from resnet_jax.train.log import Log
from resnet_jax.train.parallel import Program
from resnet_jax.train.state import TrainState

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


@runtime_checkable
class Progress(Protocol):
    """Shows a person how far a run is."""

    def update(self, step: int) -> None: ...
    def note(self, text: str) -> None: ...


@dataclasses.dataclass(frozen=True)
class Run:
    """What the loop works with.

    feeds(step, k) -> host arrays of the k batches from `step` on
    evaluate(variables) -> {"val": sums, "test": sums}, floats
    rate(step) -> learning rate
    """

    program: Program
    data: Any
    feeds: Callable[[int, int], Any]
    evaluate: Callable[[Any], dict[str, dict[str, float]]]
    rate: Callable[[int], Any]
    log: Log
    checkpoints: Checkpoints
    best: Checkpoints
    progress: Progress


def fit(
    run: Run,
    spec: LoopSpec,
    *,
    state: TrainState,
    meta: dict[str, Any],
    finish: Callable[[TrainState], None] | None = None,
) -> dict[str, Any]:
    """Train from `state` to `spec.steps`; rows and checkpoints as they fall due.

    `meta` travels with the checkpoints: {"wall_s": seconds spent, "best": validation}.
    `finish` writes what belongs to the last step, before its checkpoint: a row that is
    logged ahead of the checkpoint of its step can be neither lost nor doubled.
    """
    step, clock = int(state.step), Clock(spent=meta["wall_s"])
    watch = Watch(run, spec, clock)
    with asked_to_stop(run.checkpoints) as asked:
        while step < spec.steps:
            count = calls(step, spec)
            feeds = run.program.place(run.feeds(step, count))
            state, seen = run.program.steps(state, run.data, feeds)
            step += count
            watch.saw(step, seen)
            clock.trained(count * spec.batch_size, seen)
            run.progress.update(step)

            if due(step, spec.eval_every, spec):
                watch.check()
                state = report(run, spec, state, meta, step=step, clock=clock)
            if step == spec.steps and finish:
                finish(state)
            stop = asked(step)
            if due(step, spec.checkpoint_every, spec) or stop:
                watch.check()
                run.best.wait()  # `meta` tells of it
                run.checkpoints.save(step, state, meta=clock.stamped(meta))
            if stop and step < spec.steps:
                run.checkpoints.wait()
                raise Preempted(
                    f"step={step}: asked to stop, state saved; the same command resumes"
                )
    run.checkpoints.wait()
    return clock.stamped(meta)


def calls(step: int, spec: LoopSpec) -> int:
    """How many updates the next call makes: up to the next thing that falls due."""
    marks = (spec.eval_every, spec.checkpoint_every)
    left = [every - step % every for every in marks] + [spec.steps - step]
    return min(spec.steps_per_call, *left)


def due(step: int, every: int, spec: LoopSpec) -> bool:
    return step % every == 0 or step == spec.steps


def report(
    run: Run, spec: LoopSpec, state: TrainState, meta: dict[str, Any], *,
    step: int, clock: "Clock",
) -> TrainState:  # fmt: skip
    """Log the training examples since the last row, and the evaluation splits."""
    place = {"step": step, "epoch": round(step / spec.steps_per_epoch, 4)}
    train = errors(jax.device_get(state.sums)) | {
        "lr": float(run.rate(max(step - 1 - int(state.skipped), 0))),
        "skipped": int(state.skipped),
        "images_per_s": clock.rate(),
        "wall_s": clock.seconds(),
    }
    rows = {"train": train}
    for split, sums in run.evaluate(variables_of(state)).items():
        rows[split] = errors(sums) | {"wall_s": clock.seconds()}
    for split, row in rows.items():
        run.log.write({"split": split, **place, **row})
    run.progress.note(summary(step, rows))
    if "val" in rows and better(rows["val"], meta["best"]):
        meta["best"] = {"step": step} | {
            f"{split}_top1_err": rows[split]["top1_err"] for split in ("val", "test")
        }
        run.best.save(step, state, meta=clock.stamped(meta))
    clock.resume()
    zeros = jax.tree.map(lambda x: jnp.zeros_like(x, device=x.sharding), state.sums)
    return state.replace(sums=zeros)


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


def summary(step: int, rows: dict[str, dict[str, Any]]) -> str:
    shown = [f"{split} {row['top1_err']:.2f} %" for split, row in rows.items()]
    return f"step {step}: error " + ", ".join(shown)


class Clock:
    """Seconds spent on a run, over all its parts; images a second while training."""

    def __init__(self, *, spent: float):
        self._spent, self._start = spent, time.perf_counter()
        self._since, self._images = None, 0

    def trained(self, images: int, seen: Any) -> None:
        if self._since is None:  # the first call compiles: wait, and leave it out
            jax.block_until_ready(seen)
            self._since = time.perf_counter()
        else:
            self._images += images

    def rate(self) -> float | None:
        if not self._images:
            return None
        return round(self._images / (time.perf_counter() - self._since), 2)

    def resume(self) -> None:
        """Evaluation does not count as training."""
        self._since, self._images = time.perf_counter(), 0

    def seconds(self) -> float:
        return round(self._spent + time.perf_counter() - self._start, 3)

    def stamped(self, meta: dict[str, Any]) -> dict[str, Any]:
        return meta | {"wall_s": self.seconds()}


class Watch:
    """Looks at losses without making every step wait for the host."""

    def __init__(self, run: Run, spec: LoopSpec, clock: Clock):
        self._run, self._spec, self._clock = run, spec, clock
        self._pending: deque = deque()

    def saw(self, step: int, seen: Any) -> None:
        self._pending.append((step, seen))
        if len(self._pending) * self._spec.steps_per_call >= CHECK_EVERY:
            self.check(newest=2)

    def check(self, *, newest: int = 0) -> None:
        """Log each update that was left out; stop where they are too many.

        The `newest` calls are left alone: the device may still be at work on them.
        """
        while len(self._pending) > newest:
            end, seen = self._pending.popleft()
            seen = jax.device_get(seen)
            for i in (~seen["ok"]).nonzero()[0]:
                step = end - len(seen["ok"]) + int(i) + 1
                self._left_out(step, float(seen["loss"][i]), int(seen["skipped"][i]))

    def _left_out(self, step, loss, skipped):
        row = {"split": "train", "step": step, "loss": loss, "event": "not finite"}
        self._run.log.write(row | {"wall_s": self._clock.seconds()})
        if skipped > self._spec.max_skips:
            raise DivergedError(
                f"step={step}: loss {loss} or its gradient is not finite; lower "
                "optim.learning_rate, lengthen optim.warmup, or leave out more than "
                f"train.max_skips={self._spec.max_skips}"
            )


@contextlib.contextmanager
def asked_to_stop(checkpoints: Checkpoints) -> Iterator[Callable[[int], bool]]:
    """Whether SIGTERM has come; a second one ends the process at once.

    Several processes agree on the step at which they all stop.
    """
    if jax.process_count() > 1:
        yield checkpoints.reached_preemption
        return
    came = []

    def handler(number, frame):
        came.append(number)
        signal.signal(number, signal.SIG_DFL)

    try:
        before = signal.signal(signal.SIGTERM, handler)
    except ValueError:  # not the main thread, as in some notebooks
        yield lambda step: False
        return
    try:
        yield lambda step: bool(came)
    finally:
        signal.signal(signal.SIGTERM, before)
