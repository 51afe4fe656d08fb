"""Training run: from a config to trained networks, one per seed, with their logs."""

import contextlib
import dataclasses
import functools
import pathlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import cast

import jax
from jax.experimental import multihost_utils

from resnet_jax.config.schema import Config
from resnet_jax.errors import DivergedError
from resnet_jax.models.inspect import learned_slopes
from resnet_jax.paths import Tree
from resnet_jax.runs import slopes
from resnet_jax.runs.compatibility import (
    check_not_past_end,
    check_same_config,
    check_seed,
)
from resnet_jax.runs.directory import check_writable, set_aside
from resnet_jax.runs.log import lock
from resnet_jax.runs.result import Result
from resnet_jax.train import cutting, loaded, loop, starting, stored
from resnet_jax.train.evaluate import (
    Check,
    errors,
    evaluations,
    precise_statistics,
)
from resnet_jax.train.experiment import Experiment, prepare
from resnet_jax.train.preemption import Stop, watch_for_stop
from resnet_jax.train.profiler import Trace
from resnet_jax.train.program import Program
from resnet_jax.train.replicas import (
    Replica,
    check_common_step,
    configs_by_folder,
    divergence_message,
    open_replica,
    restore_all,
    split_finished,
    write_result,
)
from resnet_jax.train.running import Progress, Run
from resnet_jax.train.schedule import LoopSpec
from resnet_jax.train.state import TrainState
from resnet_jax.train.task import make_program, scaled_by_data, updates

Folder = pathlib.Path


def run_all(
    config: Config,
    folder: Folder | str,
    *,
    bar: Callable[..., AbstractContextManager[Progress]],
    allow_data_change: bool = False,
    restart: bool = False,
    trace: Trace | None = None,
    cut_only: bool = False,
) -> dict[Folder, Result]:
    """Train a config; several seeds each as a run in FOLDER/seed<k>.

    `restart`: move the files of an earlier run aside and begin at step 0. `cut_only`:
    save the network of `train.prune` as step 0 and train nothing; there is no result.

    Results by folder; what is done, or failed among several seeds, is not done again.
    DivergedError, once all seeds are done, where some loss is not finite.
    """
    configs = configs_by_folder(config, Folder(folder))
    for place, own in configs.items():
        check_writable(place)
        check_seed(place, own.seed)
        if not restart:
            _check_same_config(place, own, None, allow_data_change)
    resumed = () if restart else configs
    experiment = cutting.with_cut(prepare(config), resumed)
    derived, spec = experiment.derived(), experiment.loop
    starting.check_new(experiment, resumed)
    with contextlib.ExitStack() as stack:
        if jax.process_index() == 0:
            for place in configs:
                stack.enter_context(lock(place))
        if restart:
            set_all_aside(configs)
        for place, own in configs.items():
            _check_same_config(place, own, derived, allow_data_change)
        left, found = split_finished(configs, steps=spec.steps, protocol=spec.protocol)
        if left:
            check_common_step(left)
        stop = stack.enter_context(watch_for_stop())
        opened = (open_replica(place, own, derived) for place, own in left.items())
        replicas = dict(zip(left, map(stack.enter_context, opened), strict=True))
        if replicas:
            experiment = experiment.with_seeds([r.seed for r in replicas.values()])
            progress = stack.enter_context(bar(total=spec.steps))
            every = tuple(replicas.values())
            train(experiment, every, progress, stop, trace=trace, cut_only=cut_only)
        for place, replica in replicas.items() if not cut_only else ():
            found[place] = write_result(place, replica, protocol=spec.protocol)
    return {} if cut_only else _results(configs, found, config)


def train(
    experiment: Experiment,
    replicas: tuple[Replica, ...],
    progress: Progress,
    stop: Stop,
    *,
    trace: Trace | None = None,
    cut_only: bool = False,
) -> None:
    """Restore or initialise the state of all seeds and train it to the end."""
    pipeline, devices = experiment.pipeline, experiment.devices
    program = make_program(experiment)
    data = devices.replicate(pipeline.resident) if pipeline.resident else None
    state = start(experiment, program, replicas)
    state = resumed(replicas, experiment.loop, state)
    if jax.process_index() == 0:
        for replica in replicas:
            loaded.record(replica.folder, pipeline.inputs)
    run = Run(
        program=program,
        updates=updates(experiment, program),
        data=data and data["train"],
        batches=pipeline.train_batches(),
        evaluate=evaluations(pipeline, program, data),
        rate=experiment.optim.schedule_fn(),
        replicas=replicas,
        progress=progress,
        trace=trace,
        peak=experiment.peak(),
    )
    finish = functools.partial(write_final, run, experiment)
    if experiment.begin:
        cutting.begin(run, experiment, state)
    if cut_only:
        return
    loop.fit(run, experiment.loop, state=state, finish=finish, stop=stop)


def resumed(
    replicas: Sequence[Replica], spec: LoopSpec, state: TrainState
) -> TrainState:
    """Make logs and folders those of a run at the step of a state, and the state too.

    A run that is made longer is evaluated at its old end only if the new schedule asks
    for it: else the sums of the old last row count for the next one.
    """
    step = loop.at_step(state)
    for replica in replicas:
        check_not_past_end(replica.log, step=step, end=spec.steps)
    last = step
    if not spec.evaluation_due(step) and jax.device_get(state.sums["n"]).any():
        last = step - step % spec.eval_every
        if any(last and last not in r.log.steps("test") for r in replicas):
            last = step
    for replica in replicas:
        replica.discard_after(step, evaluated=last)
        replica.begin()
    evaluated = all(replica.meta["evaluated"] >= step for replica in replicas)
    return loop.without_sums(state) if evaluated else state


def set_all_aside(configs: Iterable[Folder]) -> None:
    """Move the files of earlier runs aside, by one of several processes."""
    if jax.process_index() == 0:
        for folder in configs:
            if aside := set_aside(folder):
                print(f"the earlier run is kept in {aside}", file=sys.stderr)
    multihost_utils.sync_global_devices("earlier runs set aside")


def start(
    experiment: Experiment, program: Program, replicas: Sequence[Replica]
) -> TrainState:
    """Restore the newest intact checkpoints, or make the state of the beginning."""
    if states := restore_all(replicas, experiment.abstract_state(program)):
        return program.seeds.joined(states)
    if experiment.begin:
        cutting.write_spec(replicas, experiment.net)
        return cutting.state(experiment)
    state = program.init(experiment.seeds)
    if found := starting.find(experiment):
        if jax.process_index() == 0:
            for replica in replicas:
                starting.record(found, replica.folder)
        states = [starting.started(found, own) for own in program.seeds.split(state)]
        return program.seeds.joined(states)
    if experiment.config.model.init != "lsuv":
        return state
    states = [
        dataclasses.replace(
            own, params=scaled_by_data(experiment.with_seeds([replica.seed]), own)
        )
        for replica, own in zip(replicas, program.seeds.split(state), strict=True)
    ]
    return program.seeds.joined(states)


def write_final(
    run: Run, experiment: Experiment, state: TrainState, check: Check
) -> None:
    """Write slopes.json of every seed, and rows of precise statistics."""
    if jax.process_index() == 0:
        net, shape = experiment.net.build(), experiment.pipeline.image_shape
        params = jax.device_get(state.eval_variables["params"])
        for replica, own in run.slices(params):
            learned = learned_slopes(net, own, image_shape=shape)
            folder = replica.log.path.parent
            slopes.write(folder, learned, step=loop.at_step(state))
    norm = experiment.config.model.norm
    if norm and norm.precise:
        precise_rows(run, experiment.loop, state, batches=norm.precise, check=check)


def precise_rows(
    run: Run, spec: LoopSpec, state: TrainState, *, batches: int, check: Check
) -> None:
    """Log scores with BatchNorm statistics recomputed over a number of batches."""
    step, seeds = loop.at_step(state), run.program.seeds
    read = (seeds.spread(run.batches(step + i), axis=0) for i in range(batches))
    variables = state.eval_variables
    stats = precise_statistics(run.program, variables, run.data, read, check)
    scores = run.evaluate(variables | {"batch_stats": stats}, check)
    place = {"step": step, "stats": "precise", "stats_batches": batches}
    for replica, own in run.slices(scores):
        for split in scores:
            row = {"split": split, **place, **errors(own[split], top5=spec.top5)}
            replica.log.write({**row, **spec.scored})


def _check_same_config(
    place: Folder, own: Config, derived: Tree | None, allowed: bool
) -> None:
    """Raise CheckpointError where the folder holds a run of another config."""
    check_same_config(
        place,
        own.to_dict(),
        derived,
        allow_data_change=allowed,
        consequences=functools.partial(stored.parameter_changes, own),
    )


def _results(
    configs: Mapping[Folder, Config],
    found: Mapping[Folder, Result | str],
    config: Config,
) -> dict[Folder, Result]:
    """Results by folder; DivergedError where some runs have failed."""
    reasons = {
        configs[place].seed: reason
        for place, reason in found.items()
        if isinstance(reason, str)
    }
    if reasons:
        raise DivergedError(divergence_message(reasons, config))
    return {place: cast(Result, found[place]) for place in configs}


def final_line(result: Result, folder: Folder) -> str:
    """Summarise a run in one line: test errors, and the locations of its files."""
    scores = f"test error {result['test_top1_err']:.2f} %"
    if result["test_top1_err_precise"] is not None:
        scores += f" (precise statistics {result['test_top1_err_precise']:.2f} %)"
    if best := result["best_on_val"]:
        scores += f", {best['test_top1_err']:.2f} % at the best validation step"
    return (
        f"done: {scores} on n={result['n']} after {result['step']} steps in "
        f"{result['wall_s']:.0f} s; logs {folder}/metrics.jsonl, checkpoint "
        f"{folder}/checkpoints/{result['step']}"
    )
