"""From a valid config to trained networks, one per seed, with logs and checkpoints."""

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

import jax
import numpy as np

from resnet_jax.config.resolve import validated
from resnet_jax.config.schema import Config
from resnet_jax.errors import DivergedError
from resnet_jax.models import complexity
from resnet_jax.models.network import network
from resnet_jax.paths import Tree, flat
from resnet_jax.runs.compatibility import refuse_end_behind, refuse_other_config
from resnet_jax.runs.directory import Stored, check_writable
from resnet_jax.runs.result import Result
from resnet_jax.train import loop, slopes
from resnet_jax.train.evaluate import errors, evaluations, precise_statistics
from resnet_jax.train.experiment import Experiment, prepare
from resnet_jax.train.profiler import Trace
from resnet_jax.train.program import Program
from resnet_jax.train.replicas import (
    Replica,
    configs_by_folder,
    divergence,
    ended,
    locked,
    opened,
    refuse_apart,
    restored,
    split_finished,
)
from resnet_jax.train.state import TrainState
from resnet_jax.train.task import make_program, scaled_by_data, updates

Folder = pathlib.Path


def run_all(
    config: Config,
    folder: Folder | str,
    *,
    bar: Callable[..., AbstractContextManager[loop.Progress]],
    allow_data_change: bool = False,
    trace: Trace | None = None,
) -> dict[Folder, Result]:
    """Train a config; of several seeds, each as a run in FOLDER/seed<k>.

    Their results, by folder. Those that are done already are left alone. DivergedError,
    once all others are done, where the loss of some is not finite: among several they
    are not tried again.
    """
    configs = configs_by_folder(config, Folder(folder))
    for place, own in configs.items():
        check_writable(place)
        _refuse_other(place, own, None, allow_data_change)
    experiment = prepare(config)
    derived = experiment.derived()
    for place, own in configs.items():
        _refuse_other(place, own, derived, allow_data_change)
    with locked(configs):
        left, found = split_finished(configs, steps=experiment.loop.steps)
        if left:
            refuse_apart(left)
        with contextlib.ExitStack() as stack:
            replicas = {
                place: stack.enter_context(opened(place, own, derived))
                for place, own in left.items()
            }
            if replicas:
                seeds = [replica.seed for replica in replicas.values()]
                experiment = experiment.of(seeds)
                progress = stack.enter_context(bar(total=experiment.loop.steps))
                train(
                    experiment, tuple(replicas.values()), progress=progress, trace=trace
                )
            for place, replica in replicas.items():
                found[place] = ended(place, replica, protocol=experiment.loop.protocol)
    return _results(configs, found, config)


def train(
    experiment: Experiment,
    replicas: tuple[Replica, ...],
    *,
    progress: loop.Progress,
    trace: Trace | None = None,
) -> None:
    """Restore or initialise the state of all seeds and train it to the end."""
    pipeline, devices = experiment.pipeline, experiment.devices
    program = make_program(experiment)
    data = devices.copied(pipeline.resident) if pipeline.resident else None
    state = start(experiment, program, replicas)
    step = loop.at_step(state)
    for replica in replicas:
        refuse_end_behind(replica.log, step=step, end=experiment.loop.steps)
    for replica in replicas:
        replica.cut(step)
    run = loop.Run(
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
    finish = functools.partial(finished, run, experiment)
    loop.fit(run, experiment.loop, state=state, finish=finish)


def start(
    experiment: Experiment, program: Program, replicas: Sequence[Replica]
) -> TrainState:
    """The newest checkpoints that are whole, or the initial state."""
    if states := restored(replicas, experiment.abstract_state(program)):
        return program.seeds.joined(states)
    state = program.init(experiment.seeds)
    if experiment.config.model.init != "lsuv":
        return state
    states = [
        dataclasses.replace(
            own, params=scaled_by_data(experiment.of([replica.seed]), own)
        )
        for replica, own in zip(replicas, program.seeds.split(state), strict=True)
    ]
    return program.seeds.joined(states)


def finished(run: loop.Run, experiment: Experiment, state: TrainState) -> None:
    """Write what belongs to the last state: slopes, rows of precise statistics."""
    net, shape = experiment.net.build(), experiment.pipeline.image_shape
    slopes.keep(run, state, net=net, image_shape=shape)
    norm = experiment.config.model.norm
    if norm and norm.precise:
        precise_rows(run, experiment.loop.protocol, state, batches=norm.precise)


def precise_rows(
    run: loop.Run, protocol: str, state: TrainState, *, batches: int
) -> None:
    """Log scores under BatchNorm statistics recomputed over so many batches."""
    step, seeds = loop.at_step(state), run.program.seeds
    axis = int(seeds.count > 1)  # that of the calls' steps
    read = (
        seeds.spread(
            jax.tree.map(lambda x: np.take(x, 0, axis), run.batches(step + i, 1)),
            axis=0,
        )
        for i in range(batches)
    )
    variables = loop.variables_of(state)
    stats = precise_statistics(run.program, variables, run.data, read)
    scores = run.evaluate(variables | {"batch_stats": stats})
    place = {"step": step, "stats": "precise", "stats_batches": batches}
    for replica, own in run.slices(scores):
        for split in scores:
            row = {"split": split, **place, **errors(own[split])}
            replica.log.write({**row, "protocol": protocol})


def parameter_changes(new: Config, old: Stored) -> list[str]:
    """Every parameter whose shape or dtype a changed config changes."""
    before = _parameters(validated(old.tree), old.derived)
    after = _parameters(new, old.derived)
    return [
        f"{path}: checkpoint {before.get(path)} vs model {after.get(path)}"
        for path in sorted({**before, **after})
        if before.get(path) != after.get(path)
    ]


def _parameters(config: Config, derived: Tree) -> dict[str, str]:
    """Path -> shape and dtype, on the data that `derived` was computed from."""
    classes = config.model.num_classes or derived["num_classes"]
    net = network(config, num_classes=classes, devices=1).build()
    leaves = flat(complexity.shapes(net, tuple(derived["image_shape"]))["params"])
    return {
        path.replace(".", "/"): f"{leaf.shape} {leaf.dtype}"
        for path, leaf in leaves.items()
    }


def _refuse_other(
    place: Folder, own: Config, derived: Tree | None, allowed: bool
) -> None:
    """CheckpointError where the folder holds a run of another config."""
    refuse_other_config(
        place,
        own.to_dict(),
        derived,
        allow_data_change=allowed,
        consequences=functools.partial(parameter_changes, own),
    )


def _results(
    configs: Mapping[Folder, Config],
    found: Mapping[Folder, Result | str],
    config: Config,
) -> dict[Folder, Result]:
    """The results by folder; DivergedError where some have a reason instead."""
    reasons = {
        configs[place].seed: reason
        for place, reason in found.items()
        if isinstance(reason, str)
    }
    if reasons:
        raise DivergedError(divergence(reasons, config))
    return {
        place: result
        for place in configs
        if not isinstance(result := found[place], str)
    }


def final_line(result: Result, folder: Folder) -> str:
    """One line: the test error, and where everything lies."""
    shown = f"test error {result['test_top1_err']:.2f} %"
    if result["test_top1_err_precise"] is not None:
        shown += f" (precise statistics {result['test_top1_err_precise']:.2f} %)"
    if best := result["best_on_val"]:
        shown += f", {best['test_top1_err']:.2f} % at the best validation step"
    return (
        f"done: {shown} on n={result['n']} after {result['step']} steps in "
        f"{result['wall_s']:.0f} s; logs {folder}/metrics.jsonl, checkpoint "
        f"{folder}/checkpoints/{result['step']}"
    )
