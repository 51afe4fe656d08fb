"""Main training loop: update, evaluate, log and save until done, stopped or diverged.

One program trains one or several seeds. Each seed is a replica with its own log and
checkpoints, equal to those of a run of this seed alone.
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp

from resnet_jax.runs.result import Best
from resnet_jax.train.evaluate import Check, Errors, errors
from resnet_jax.train.loss_monitor import LossMonitor
from resnet_jax.train.preemption import Stop, StopRequested
from resnet_jax.train.program import temporary_bytes
from resnet_jax.train.running import Run
from resnet_jax.train.schedule import LoopSpec
from resnet_jax.train.state import Sums, TrainState
from resnet_jax.train.timer import Timer

Finish: TypeAlias = Callable[[TrainState, Check], None]


def fit(
    run: Run, spec: LoopSpec, *, state: TrainState, finish: Finish, stop: Stop
) -> None:
    """Train from `state` to `spec.steps`, with log rows and checkpoints on schedule.

    A seed that diverges is not trained further; with none left, this returns. Preempted
    or Interrupted where `stop` asks for it, once the newest state is saved.
    `finish` writes the results of the last step after its evaluation.
    """
    step, timer = at_step(state), Timer()
    monitor = LossMonitor(run, spec, timer)
    with run.trace or contextlib.nullcontext():
        while run.alive:
            stopped = stop.requested()
            if (stopped or spec.due(step)) and not monitor.check():
                break
            if spec.evaluation_due(step) and not stopped:
                stopped = not evaluated(
                    run, spec, state, step=step, timer=timer, stop=stop, finish=finish
                )
            if stopped or spec.checkpoint_due(step):
                save(run, state, step=step, timer=timer)
            if stopped:
                wait_for_checkpoints(run)
                raise stop.error(step)
            if step >= spec.steps:
                break
            if spec.evaluation_due(step):
                state = without_sums(state)
            state, count, outputs = call_step(run, spec, state, step=step, timer=timer)
            step += count
            monitor.add(step, count, outputs)
            run.progress.update(step)
            if run.trace and run.trace.after_call(step, outputs):
                run.progress.note(run.trace.summary())
    wait_for_checkpoints(run)
    for replica in run.replicas:
        replica.meta = replica.meta_after(timer.seconds())


def call_step(
    run: Run, spec: LoopSpec, state: TrainState, *, step: int, timer: Timer
) -> tuple[TrainState, int, Sums]:
    """Call the compiled step: (state, number of updates, {"loss", ...} per update)."""
    size = spec.size(step)
    # The first call of a program, which compiles, makes one update.
    count = spec.updates_per_call(step) if timer.compiled(size) else 1
    if not timer.compiled(size):
        run.progress.doing("compiling")
    with timer.on("data"):
        batches = run.program.padded(run.batches(step, count), spec.steps_per_call)
        batches = run.program.place(batches)
    with jax.profiler.StepTraceAnnotation("train", step_num=step):
        state, outputs = run.updates[size](state, run.data, batches, count)
    timer.count_call(count * spec.batch_size, outputs, program=size)
    run.progress.doing("training")
    return state, count, outputs


def at_step(state: TrainState) -> int:
    """Step of a state; that of a diverged seed may lie behind the others."""
    return int(jax.device_get(state.step).max())


def save(run: Run, state: TrainState, *, step: int, timer: Timer) -> None:
    """Save a checkpoint of every seed, once all previous ones are complete."""
    for replica in run.replicas:
        replica.wait()  # `meta` refers to the best checkpoint
    for replica, own in run.pairs(run.program.seeds.split(state)):
        replica.checkpoints.save(step, own, meta=replica.meta_after(timer.seconds()))


def wait_for_checkpoints(run: Run) -> None:
    """Wait until all checkpoints of all seeds are on disk."""
    for replica in run.replicas:
        replica.wait()


def without_sums(state: TrainState) -> TrainState:
    """State with sums of zero, after the log row that they are for."""
    zeros = jax.tree.map(lambda x: jnp.zeros_like(x, device=x.sharding), state.sums)
    return dataclasses.replace(state, sums=zeros)


def evaluated(
    run: Run,
    spec: LoopSpec,
    state: TrainState,
    *,
    step: int,
    timer: Timer,
    stop: Stop,
    finish: Finish,
) -> bool:
    """Evaluate and log a state that was not before; False where a signal stops it.

    A state is saved with its sums, so that an evaluation that was stopped can be made
    after the run is resumed; `meta["evaluated"]` says whether that is needed.
    """
    if all(r.meta["evaluated"] >= step for r in run.replicas if not r.diverged):
        return True
    try:
        evaluate_and_log(run, spec, state, step=step, timer=timer, check=stop.check)
        if step == spec.steps:
            finish(state, stop.check)
    except StopRequested:
        return False
    for replica in run.replicas:
        replica.meta["evaluated"] = step
    return True


def evaluate_and_log(
    run: Run,
    spec: LoopSpec,
    state: TrainState,
    *,
    step: int,
    timer: Timer,
    check: Check,
) -> None:
    """Log sums over training examples since the last row, and the evaluation splits."""
    place = {"step": step, "epoch": round(step / spec.steps_per_epoch, 4)}
    train = jax.device_get((state.sums, state.skipped))
    speed, train_end = throughput(run, timer), timer.seconds()
    run.progress.doing("evaluating")
    with timer.on("eval"):
        scores = run.evaluate(state.eval_variables, check)
    speed |= timer.breakdown()
    if "compile_s" in speed:
        speed["temporary_bytes"] = temporary_bytes(run.updates.values())
    with timer.on("eval"):
        rows, eval_end = {}, timer.seconds()
        for replica, ((sums, skipped), scored) in run.slices((train, scores)):
            lr = float(run.rate(max(step - 1 - int(skipped), 0)))
            pace = {"lr": lr, "skipped": int(skipped), **speed}
            pace["wall_s"] = replica.wall_s(train_end)
            views = {**spec.scored, "wall_s": replica.wall_s(eval_end)}
            # in the order of `scores`; `scored` is sorted by name
            own = {split: errors(scored[split], top5=spec.top5) for split in scores}
            own = {"train": errors(sums, top5=spec.top5), **own}
            for split, row in own.items():
                more = pace if split == "train" else views
                replica.log.write({"split": split, **place, **row, **more})
            rows[replica.seed] = own
        run.progress.note(summary(step, list(rows.values())))
        run.progress.doing("training")
    with timer.on("save"):
        keep_best(run, state, rows, step=step, timer=timer)
    timer.restart_rate()


def throughput(run: Run, timer: Timer) -> dict[str, float | None]:
    """Images per second of each seed, and their total over the peak."""
    rate = timer.rate()
    speed = {"images_per_s": rate}
    if run.peak and rate:
        speed["peak_share"] = round(rate * len(run.replicas) / run.peak, 4)
    return speed


def keep_best(
    run: Run,
    state: TrainState,
    rows: Mapping[int, Mapping[str, Errors]],
    *,
    step: int,
    timer: Timer,
) -> None:
    """Save every seed whose validation error is its lowest so far."""
    best = [
        replica
        for replica in run.replicas
        if "val" in rows.get(replica.seed, {})
        and better(rows[replica.seed]["val"], replica.meta["best"])
    ]
    if not best:
        return
    for replica, own in run.pairs(run.program.seeds.split(state)):
        if replica in best:
            row = rows[replica.seed]
            replica.meta["best"] = Best(
                step=step,
                val_top1_err=row["val"]["top1_err"],
                test_top1_err=row["test"]["top1_err"],
            )
            replica.best.save(step, own, meta=replica.meta_after(timer.seconds()))


def better(row: Errors, best: Best | None) -> bool:
    """Tell whether the validation error is strictly lower; test errors do not count."""
    if not math.isfinite(row["loss"]):
        return False
    return best is None or row["top1_err"] < best["val_top1_err"]


def summary(step: int, seeds: Sequence[Mapping[str, Errors]]) -> str:
    """Summarise an evaluation in one line, with the errors of all seeds in order."""
    shown = []
    for split in seeds[0]:
        found = [f"{rows[split]['top1_err']:.2f}" for rows in seeds]
        shown.append(f"{split} {' '.join(found)} %")
    return f"step {step}: error " + ", ".join(shown)
