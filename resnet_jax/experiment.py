"""One run: from a valid config to a trained network, its logs and its checkpoints."""

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp

from resnet_jax import build, workdir
from resnet_jax.config import Config
from resnet_jax.errors import ConfigError, DataError
from resnet_jax.feeds import Feeds, open_feeds
from resnet_jax.modules import cost
from resnet_jax.modules.lsuv import lsuv
from resnet_jax.modules.resnet import ResNetSpec
from resnet_jax.resume import refuse_end_behind, refuse_other_config
from resnet_jax.spec import replaced
from resnet_jax.train import loop, parallel
from resnet_jax.train.checkpoint import Checkpoints
from resnet_jax.train.log import Log, lock, read
from resnet_jax.train.optim import OptimSpec
from resnet_jax.train.precise import over_groups, precise_statistics
from resnet_jax.train.state import TrainState
from resnet_jax.train.step import StepSpec, Task

Folder = pathlib.Path


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A config with its data open and all derived values computed."""

    config: Config
    feeds: Feeds
    net: ResNetSpec
    optim: OptimSpec
    devices: parallel.Devices

    @property
    def loop(self) -> loop.LoopSpec:
        train, batch = self.config.train, self.config.data.batch_size
        steps_per_epoch = len(self.feeds.splits["train"]) / batch
        eval_every = train.eval_every or max(1, round(steps_per_epoch))
        total = self.optim.total_steps
        return loop.LoopSpec(
            steps=min(train.steps or total, total),
            eval_every=eval_every,
            checkpoint_every=train.checkpoint_every or eval_every,
            batch_size=batch,
            steps_per_epoch=steps_per_epoch,
            steps_per_call=train.steps_per_call,
            max_skips=train.max_skips,
        )

    def abstract_state(self, program: parallel.Program) -> TrainState:
        """Shapes, dtypes and placement of the state, for a checkpoint to fill."""
        same = self.devices.replicated
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=same),
            jax.eval_shape(program.init, jnp.uint32(self.config.seed)),
        )

    def derived(self) -> dict[str, Any]:
        """What was computed from the config and the data, for config.json."""
        return {
            "data": self.feeds.splits["train"].fingerprint,
            "description": self.feeds.splits["train"].description,
            "examples": {name: len(s) for name, s in self.feeds.splits.items()},
            "image_shape": list(self.feeds.image_shape),
            "num_classes": self.net.num_classes,
            "num_params": cost.num_params(self.net.build(), self.feeds.image_shape),
            "total_steps": self.optim.total_steps,
            "boundaries": list(self.optim.boundaries),
            "warmup_steps": self.optim.warmup_steps,
            "eval_every": self.loop.eval_every,
        }

    def to_dict(self) -> dict[str, Any]:
        return self.config.to_dict() | {"derived": self.derived()}


def prepare(
    config: Config, *, progress: Callable[..., Any] | None = None
) -> Experiment:
    """Checks all that can be checked, and opens the data; writes nothing of the run."""
    devices = parallel.Devices.all()
    count = devices.mesh.size
    if config.data.batch_size % (count * config.train.accumulate):
        raise ConfigError(
            f"data.batch_size={config.data.batch_size}: is not divisible by {count} "
            f"devices times train.accumulate={config.train.accumulate}"
        )
    if config.train.dtype == "float64" and not jax.config.jax_enable_x64:
        raise ConfigError("train.dtype='float64': needs JAX_ENABLE_X64=1")
    if config.train.tensorboard == "on" and not find_spec("tensorboardX"):
        raise ConfigError(
            "train.tensorboard='on': tensorboardX is not installed; "
            'pip install "resnet_jax[tensorboard]"'
        )
    axis_name = parallel.AXIS if config.train.spmd == "pmap" else None
    make = functools.partial(build.network, config, devices=count, axis_name=axis_name)
    make(num_classes=config.model.num_classes or 10)  # its errors, ahead of the data
    feeds = open_feeds(config, progress=progress)
    classes = feeds.splits["train"].num_classes
    if config.model.num_classes not in (None, classes):
        raise DataError(
            f"model.num_classes={config.model.num_classes}: {config.data.name} has "
            f"{classes} classes; leave it out, or name another data set"
        )
    steps = build.schedule_steps(config, examples=len(feeds.splits["train"]))
    optim = build.optimizer(config, total_steps=steps)
    return Experiment(config, feeds, make(num_classes=classes), optim, devices)


def run(
    config: Config,
    folder: Folder,
    *,
    bar: Callable[..., Any],
    allow_data_change: bool = False,
) -> dict[str, Any]:
    """Trains one config in a folder, or goes on there; returns its result.json."""
    folder = Folder(folder)
    workdir.check_writable(folder)
    refuse_other_config(folder, config.to_dict(), allow_data_change=allow_data_change)
    experiment = prepare(config)
    resolved = experiment.to_dict()
    refuse_other_config(folder, resolved, allow_data_change=allow_data_change)
    number = jax.process_index()
    with contextlib.ExitStack() as stack:
        if number == 0:
            stack.enter_context(lock(folder))
        done = workdir.read_json(folder / "DONE")
        result = workdir.read_json(folder / "result.json")
        if done and result and done["step"] >= experiment.loop.steps:
            return result
        if number == 0:
            for end in ("DONE", "FAILED"):
                (folder / end).unlink(missing_ok=True)
            workdir.write_json(folder / "config.json", resolved)
            workdir.keep_environment(folder)
        board = config.train.tensorboard == "on" and number == 0
        events = folder / "tensorboard" if board else None
        name = f"metrics.process{number}.jsonl" if number else "metrics.jsonl"
        log = stack.enter_context(Log(folder / name, tensorboard=events))
        saved = stack.enter_context(Checkpoints(folder / "checkpoints"))
        best = stack.enter_context(Checkpoints(folder / "best"))
        progress = stack.enter_context(bar(total=experiment.loop.steps))
        meta = train(experiment, log=log, saved=saved, best=best, progress=progress)
        result = summary(log, meta)
        if number == 0:
            workdir.write_json(folder / "result.json", result)
            done = {"step": result["step"], "wall_s": result["wall_s"]}
            workdir.write_json(folder / "DONE", done)
    return result


def train(
    experiment: Experiment,
    *,
    log: Log,
    saved: Checkpoints,
    best: Checkpoints,
    progress: loop.Progress,
) -> dict[str, Any]:
    """Restores or initialises a state and trains it to the end; returns its meta."""
    config, feeds, devices = experiment.config, experiment.feeds, experiment.devices
    program = make_program(experiment)
    data = feeds.resident and devices.copied(feeds.resident)
    state, meta = start(experiment, program, saved)
    refuse_end_behind(log, step=int(state.step), end=experiment.loop.steps)
    log.cut(int(state.step))
    best.discard_after(int(state.step))
    run = loop.Run(
        program=program,
        data=data and data["train"],
        feeds=feeds.train(),
        evaluate=feeds.evaluations(program, devices, data),
        rate=experiment.optim.schedule_fn(),
        log=log,
        checkpoints=saved,
        best=best,
        progress=progress,
    )
    batches = config.model.norm.precise
    finish = functools.partial(precise_rows, run, batches=batches, devices=devices)
    return loop.fit(
        run, experiment.loop, state=state, meta=meta, finish=finish if batches else None
    )


def make_program(experiment: Experiment) -> parallel.Program:
    """The functions of a run, compiled when they are first called."""
    train = experiment.config.train
    spec = StepSpec(
        label_smoothing=train.label_smoothing,
        accumulate=train.accumulate,
        ema=train.ema,
        max_skips=train.max_skips,
    )
    task = make_task(experiment)
    return parallel.compiled(task, spec, spmd=train.spmd, devices=experiment.devices)


def make_task(experiment: Experiment) -> Task:
    """The network and its data as functions."""
    net = experiment.net.build()
    image = jax.ShapeDtypeStruct((1, *experiment.feeds.image_shape), jnp.float32)
    norm = experiment.net.layers.norm
    changed = {"layers.norm": norm and norm.of_one_batch()}
    batch_net = replaced(experiment.net, changed).build()

    def init(key):
        return net.init(key, jnp.zeros(image.shape, image.dtype), train=False)

    def apply(variables, images, *, train, rngs, net=net):
        if not train:
            return net.apply(variables, images, train=False), variables["batch_stats"]
        logits, new = net.apply(
            variables, images, train=True, mutable=["batch_stats"], rngs=rngs
        )
        return logits, new.get("batch_stats", {})

    def statistics(variables, images, *, rngs):
        return apply(variables, images, train=True, rngs=rngs, net=batch_net)[1]

    if norm and norm.group:
        statistics = over_groups(statistics, size=norm.group)
    return Task(
        init=init,
        apply=apply,
        preprocess=experiment.feeds.preprocess,
        tx=experiment.optim.build(),
        statistics=statistics,
    )


def start(
    experiment: Experiment, program: parallel.Program, saved: Checkpoints
) -> tuple[TrainState, dict[str, Any]]:
    """The newest checkpoint that is whole, or the initial state."""
    seed = jnp.uint32(experiment.config.seed)
    if found := saved.restore(experiment.abstract_state(program)):
        return found
    state = program.init(seed)
    if experiment.config.model.init == "lsuv":
        state = state.replace(params=scaled_by_data(experiment, state))
    return state, {"wall_s": 0.0, "best": None}


def scaled_by_data(experiment: Experiment, state: TrainState) -> Any:
    """Parameters after layer-sequential unit-variance scaling on the first batch."""
    feed = jax.tree.map(lambda x: x[0], experiment.feeds.train()(0, 1))
    data = experiment.feeds.resident
    batch = parallel.gathered(data and data["train"], feed)
    images = experiment.feeds.preprocess(None, batch, train=False)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    return lsuv(experiment.net.build(), variables, images)["params"]


def precise_rows(
    run: loop.Run, state: TrainState, *, batches: int, devices: parallel.Devices
) -> None:
    """Rows of the same parameters under statistics recomputed over so many batches."""
    step = int(state.step)
    feeds = (
        devices.spread(jax.tree.map(lambda x: x[0], run.feeds(step + i, 1)), axis=0)
        for i in range(batches)
    )
    variables = loop.variables_of(state)
    stats = precise_statistics(run.program, variables, run.data, feeds)
    for split, sums in run.evaluate(variables | {"batch_stats": stats}).items():
        row = {"split": split, "step": step, "stats": "precise"}
        run.log.write(row | {"stats_batches": batches} | loop.errors(sums))


def summary(log: Log, meta: dict[str, Any]) -> dict[str, Any]:
    """What a run came to, as its log tells it."""
    rows, _ = read(log.path)
    tests = [row for row in rows if row["split"] == "test"]
    moving = [row for row in tests if row.get("stats") != "precise"]
    precise = [row for row in tests if row.get("stats") == "precise"]
    return {
        "step": moving[-1]["step"],
        "n": moving[-1]["n"],
        "test_top1_err": moving[-1]["top1_err"],
        "test_top1_err_precise": precise[-1]["top1_err"] if precise else None,
        "best_on_val": meta["best"],
        "wall_s": meta["wall_s"],
    }
