"""From a valid config to trained networks, one a seed, with logs and checkpoints."""

import contextlib
import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from resnet_jax.config.schema import Config
from resnet_jax.data.pipeline import mixing
from resnet_jax.models.lsuv import lsuv
from resnet_jax.models.nets.auxiliary_loss import every_loss
from resnet_jax.paths import replaced
from resnet_jax.runs import directory as workdir
from resnet_jax.runs.compatibility import refuse_end_behind, refuse_other_config
from resnet_jax.train import loop, slopes
from resnet_jax.train import program as parallel
from resnet_jax.train import seed_runs as runs
from resnet_jax.train.experiment import Experiment, prepare
from resnet_jax.train.precise_statistics import over_groups, precise_statistics
from resnet_jax.train.profiler import Trace
from resnet_jax.train.replicas import Lane, restored
from resnet_jax.train.state import TrainState
from resnet_jax.train.step import StepSpec, Task
from resnet_jax.train.update import Update

Folder = pathlib.Path


def run(config: Config, folder: Folder, **options: Any) -> runs.Result:
    """Trains one seed in a folder, or goes on there; returns its result.json.

    Options as of `run_all`.
    """
    (result,) = run_all(config, folder, **options).values()
    return result


def run_all(
    config: Config,
    folder: Folder,
    *,
    bar: Callable[..., Any],
    allow_data_change: bool = False,
    trace: Trace | None = None,
) -> dict[Folder, runs.Result]:
    """Trains a config; of several seeds, each as a run in FOLDER/seed<k>.

    Their results, by folder. Those that are done already are left alone. DivergedError,
    once all others are done, where the loss of some is not finite: among several they
    are not tried again.
    """
    configs = runs.alone(config, Folder(folder))
    refuse = functools.partial(refuse_other_config, allow_data_change=allow_data_change)
    for place, own in configs.items():
        workdir.check_writable(place)
        refuse(place, own.to_dict())
    experiment = prepare(config)
    derived = {"derived": experiment.derived()}
    resolved = {place: own.to_dict() | derived for place, own in configs.items()}
    for place, tree in resolved.items():
        refuse(place, tree)
    with runs.locked(configs):
        left, found = runs.sorted_out(configs, steps=experiment.loop.steps)
        if left:
            runs.refuse_apart(left)
        with contextlib.ExitStack() as stack:
            lanes = {
                place: stack.enter_context(runs.begun(place, resolved[place]))
                for place in left
            }
            if lanes:
                experiment = experiment.of([lane.seed for lane in lanes.values()])
                progress = stack.enter_context(bar(total=experiment.loop.steps))
                train(experiment, tuple(lanes.values()), progress=progress, trace=trace)
            found |= {place: runs.ended(place, lane) for place, lane in lanes.items()}
    if reasons := {configs[k].seed: v for k, v in found.items() if isinstance(v, str)}:
        raise runs.divergence(reasons, config)
    return {place: found[place] for place in configs}


def train(
    experiment: Experiment,
    lanes: tuple[Lane, ...],
    *,
    progress: loop.Progress,
    trace: Trace | None = None,
) -> None:
    """Restores or initialises the state of all lanes and trains it to the end."""
    feeds, devices = experiment.feeds, experiment.devices
    program = make_program(experiment)
    data = feeds.resident and devices.copied(feeds.resident)
    state = start(experiment, program, lanes)
    step = loop.at_step(state)
    for lane in lanes:
        refuse_end_behind(lane.log, step=step, end=experiment.loop.steps)
    for lane in lanes:
        lane.cut(step)
    run = loop.Run(
        program=program,
        updates=updates(experiment, program),
        data=data and data["train"],
        feeds=feeds.train(),
        evaluate=feeds.evaluations(program, data),
        rate=experiment.optim.schedule_fn(),
        lanes=lanes,
        progress=progress,
        trace=trace,
        peak=experiment.peak(),
    )
    finish = functools.partial(finished, run, experiment)
    loop.fit(run, experiment.loop, state=state, finish=finish)


def finished(run: loop.Run, experiment: Experiment, state: TrainState) -> None:
    """What is told of the last state: its slopes, and rows of precise statistics."""
    net, shape = experiment.net.build(), experiment.feeds.image_shape
    slopes.keep(run, state, net=net, image_shape=shape)
    if batches := experiment.config.model.norm.precise:
        precise_rows(run, state, batches=batches)


def updates(
    experiment: Experiment, program: parallel.Program
) -> dict[int | None, Update]:
    """`steps` by the size of training images, if several take turns, else by None."""
    sizes = dict.fromkeys(experiment.config.data.sizes)
    own = {size: Update(make_program(experiment, size=size).steps) for size in sizes}
    return own or {None: Update(program.steps)}


def make_program(
    experiment: Experiment, *, size: int | None = None
) -> parallel.Program:
    """The functions of a run, compiled when they are first called.

    With `size`, trained on images of so many pixels.
    """
    train = experiment.config.train
    spec = StepSpec(
        label_smoothing=train.label_smoothing,
        accumulate=train.accumulate,
        ema=train.ema,
        max_skips=train.max_skips,
        relay_weight=train.relay_weight,
    )
    task = make_task(experiment, size=size)
    return parallel.compiled(
        task,
        spec,
        spmd=train.spmd,
        devices=experiment.devices,
        seeds=len(experiment.config.seeds),
    )


def make_task(experiment: Experiment, *, size: int | None = None) -> Task:
    """The network and its data as functions."""
    spec = experiment.net
    relays = every_loss(spec) if getattr(spec, "relays", ()) else ()
    net = spec.build()
    image = jax.ShapeDtypeStruct((1, *experiment.feeds.image_shape), jnp.float32)
    norm = spec.layers.norm
    changed = {"layers.norm": norm and norm.of_one_batch()}
    batch_net = replaced(spec, changed).build()

    def init(key):
        return net.init(key, jnp.zeros(image.shape, image.dtype), train=False)

    def apply(variables, images, *, train, rngs, net=net):
        if not train:
            return net.apply(variables, images, train=False), variables["batch_stats"]
        logits, new = net.apply(
            variables, images, train=True, mutable=["batch_stats", "relays"], rngs=rngs
        )
        if relays:  # the order of all losses
            inside = (new["relays"][f"relay{relay.stage}"] for relay in relays[:-1])
            logits = (*(sown["logits"][0] for sown in inside), logits)
        return logits, new.get("batch_stats", {})

    def statistics(variables, images, *, rngs):
        return apply(variables, images, train=True, rngs=rngs, net=batch_net)[1]

    if norm and norm.group:
        statistics = over_groups(statistics, size=norm.group)
    return Task(
        init=init,
        apply=apply,
        preprocess=experiment.feeds.scaled(size),
        tx=experiment.optim.build(),
        statistics=statistics,
        mix=mixing(experiment.config.data),
        keeps=tuple(
            functools.partial(relay.kept, stage_of=spec.stage_of) for relay in relays
        ),
    )


def start(
    experiment: Experiment, program: parallel.Program, lanes: Sequence[Lane]
) -> TrainState:
    """The newest checkpoints that are whole, or the initial state."""
    if states := restored(lanes, experiment.abstract_state(program)):
        return program.seeds.joined(states)
    state = program.init(experiment.seeds)
    if experiment.config.model.init != "lsuv":
        return state
    states = [
        own.replace(params=scaled_by_data(experiment.of([lane.seed]), own))
        for lane, own in zip(lanes, program.seeds.split(state), strict=True)
    ]
    return program.seeds.joined(states)


def scaled_by_data(experiment: Experiment, state: TrainState) -> Any:
    """Parameters after layer-sequential unit-variance scaling on the first batch."""
    feed = jax.tree.map(lambda x: x[0], experiment.feeds.train()(0, 1))
    data = experiment.feeds.resident
    batch = parallel.gathered(data and data["train"], feed)
    images = experiment.feeds.preprocess(None, batch, train=False)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    return lsuv(experiment.net.build(), variables, images)["params"]


def precise_rows(run: loop.Run, state: TrainState, *, batches: int) -> None:
    """Rows of the same parameters under statistics recomputed over so many batches."""
    step, seeds = loop.at_step(state), run.program.seeds
    axis = int(seeds.count > 1)  # that of the calls' steps
    feeds = (
        seeds.spread(
            jax.tree.map(lambda x: np.take(x, 0, axis), run.feeds(step + i, 1)), axis=0
        )
        for i in range(batches)
    )
    variables = loop.variables_of(state)
    stats = precise_statistics(run.program, variables, run.data, feeds)
    scores = run.evaluate(variables | {"batch_stats": stats})
    for lane, own in run.own(scores):
        for split in scores:
            row = {"split": split, "step": step, "stats": "precise"}
            lane.log.write(row | {"stats_batches": batches} | loop.errors(own[split]))
