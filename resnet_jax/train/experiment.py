"""Experiment: a validated config, its open data and its derived values."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from resnet_jax.config.rules import norm_group, part_size, schedule_steps
from resnet_jax.config.schema import Config
from resnet_jax.data.pipeline import Pipeline, open_pipeline
from resnet_jax.data.preprocessing import scaled_shape
from resnet_jax.data.sources.source import Progress
from resnet_jax.errors import ConfigError, DataError
from resnet_jax.models import complexity
from resnet_jax.models.nets.spec import NetSpec
from resnet_jax.models.network import network
from resnet_jax.paths import Tree, flat, replaced
from resnet_jax.runs.result import TOP5_CLASSES
from resnet_jax.train import device_peaks
from resnet_jax.train.by_name import check_layers
from resnet_jax.train.mesh import AXIS, Devices
from resnet_jax.train.optim import OptimSpec, optimizer
from resnet_jax.train.program import Program
from resnet_jax.train.schedule import LoopSpec, SizeSchedule
from resnet_jax.train.state import TrainState, Variables

MOST_PARAMS = 2**40  # more fit no machine, and not the sizes of an array


class Beginning(NamedTuple):
    """Variables that a cut network begins with, and a record of what was cut."""

    variables: Variables
    record: Tree


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Config with its data open and all derived values computed."""

    config: Config
    pipeline: Pipeline
    net: NetSpec
    optim: OptimSpec
    devices: Devices
    begin: Beginning | None = None  # of `train.prune`; None: drawn, or of start_from

    @property
    def loop(self) -> LoopSpec:
        """Length and intervals of the run in steps."""
        train, batch = self.config.train, self.config.data.batch_size
        sizes, examples = self.config.data.sizes, len(self.pipeline.splits["train"])
        steps_per_epoch = examples / batch
        eval_every = train.eval_every or max(1, round(steps_per_epoch))
        total = self.optim.total_steps
        return LoopSpec(
            steps=min(train.steps or total, total),
            eval_every=eval_every,
            checkpoint_every=train.checkpoint_every or eval_every,
            batch_size=batch,
            steps_per_epoch=steps_per_epoch,
            # No room is kept for more updates than the run has.
            steps_per_call=min(
                train.steps_per_call or self.devices.steps_per_call, max(total, 2)
            ),
            max_nonfinite=train.max_nonfinite_updates,
            sizes=SizeSchedule(sizes, examples, batch) if sizes else None,
            protocol=self.config.data.protocol.name,
            top5=self.net.num_classes >= TOP5_CLASSES,
            params="ema" if train.ema else "last",
        )

    @property
    def seeds(self) -> jax.Array:
        """Seed [], or several seeds [seeds]."""
        first, *others = self.config.seeds
        return jnp.asarray([first, *others] if others else first, jnp.uint32)

    def with_net(self, net: NetSpec, begin: Beginning | None = None) -> "Experiment":
        """The experiment with a cut network, its layers those of the config."""
        net = dataclasses.replace(net, layers=self.net.layers)
        if self.optim.factors:
            shapes = complexity.shapes(net.build(), self.pipeline.image_shape)
            check_layers(self.optim.factors, shapes["params"])
        return dataclasses.replace(self, net=net, begin=begin)

    def with_seeds(self, seeds: Sequence[int]) -> "Experiment":
        """Replace the seeds of the experiment."""
        config = replaced(self.config, {"train.seeds": tuple(seeds)})
        pipeline = dataclasses.replace(self.pipeline, config=config)
        return dataclasses.replace(self, config=config, pipeline=pipeline)

    def abstract_state(self, program: Program) -> TrainState:
        """Shapes, dtypes and shardings of one seed's state, to restore a checkpoint."""
        whole, axes = self.devices.replicated, self.seeds.ndim
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape[axes:], x.dtype, sharding=whole),
            jax.eval_shape(program.init, self.seeds),
        )

    def peak(self) -> float | None:
        """Upper bound on images per second of all devices; None: unknown."""
        kinds = [device.device_kind for device in self.devices.mesh.devices.flat]
        flops = device_peaks.peak(kinds[0], dtype=self.config.train.dtype)
        if flops is None or self.config.data.sizes:
            return None
        _, multiply_adds = self.counts
        return device_peaks.images_per_s(multiply_adds, flops=flops * len(kinds))

    @functools.cached_property
    def counts(self) -> tuple[complexity.Parts, int]:
        """Parameters by kind, and multiply-adds per image; ConfigError for too many."""
        with _representable(self.config):
            found = complexity.counts(self.net.build(), self.pipeline.image_shape)
        if (params := found[0].params) > MOST_PARAMS:
            raise ConfigError(
                f"model.name={self.config.model.name!r}: would have {params:.0e} "
                "parameters; make it smaller"
            )
        return found

    def derived(self) -> Tree:
        """Values computed from the config and the data, for config.json."""
        parts, multiply_adds = self.counts
        splits = self.pipeline.splits
        return {
            "data": splits["train"].fingerprint,
            "description": splits["train"].description,
            "examples": {name: len(split) for name, split in splits.items()},
            "image_shape": list(self.pipeline.image_shape),
            "num_classes": self.net.num_classes,
            "num_params": parts.params,
            "multiply_adds": multiply_adds,
            "total_steps": self.optim.total_steps,
            "boundaries": list(self.optim.boundaries),
            "warmup_steps": self.optim.warmup_steps,
            "eval_every": self.loop.eval_every,
        }


def prepare(
    config: Config,
    *,
    open_data: Callable[..., Pipeline] = open_pipeline,
    progress: Progress | None = None,
) -> Experiment:
    """Check a config against machine and data, and open the data; write no files.

    Its network is that of the config, also where `train.prune` cuts it.
    """
    with _representable(config):
        return _prepared(config, open_data, progress)


def _prepared(
    config: Config, open_data: Callable[..., Pipeline], progress: Progress | None
) -> Experiment:
    """The experiment of a config, its numbers as they are."""
    devices = Devices.all()
    _check(config, devices)
    axis_name = AXIS if config.train.spmd == "pmap" else None
    make = functools.partial(
        network, config, devices=devices.mesh.size, axis_name=axis_name
    )
    make(num_classes=config.model.num_classes or 10)  # raises before data is opened
    pipeline = open_data(config, progress=progress)
    train = pipeline.splits["train"]
    classes = train.num_classes
    if config.model.num_classes not in (None, classes):
        raise DataError(
            f"model.num_classes={config.model.num_classes}: {config.data.name} has "
            f"{classes} classes; leave it out, or name another data set"
        )
    steps = schedule_steps(config, examples=len(train))
    if steps >= 2**31:
        raise ConfigError(
            f"train.epochs={config.train.epochs}: gives {steps:.3g} iterations; name "
            "fewer than 2**31"
        )
    if (config.train.steps or 0) > steps:
        raise ConfigError(
            f"train.steps={config.train.steps}: the schedule ends at {steps}; "
            "leave it out, or make the schedule longer"
        )
    optim = optimizer(config, total_steps=steps)
    net = make(num_classes=classes)
    _check_sizes(config, net, image_shape=pipeline.image_shape)
    _check_norms(config, net, devices, image_shape=pipeline.image_shape)
    if optim.factors:
        shapes = complexity.shapes(net.build(), pipeline.image_shape)
        check_layers(optim.factors, shapes["params"])
    return Experiment(config, pipeline, net, optim, devices)


@contextlib.contextmanager
def _representable(config: Config) -> Iterator[None]:
    """Turn an overflow into ConfigError with the largest number of the config."""
    try:
        yield
    except OverflowError as error:
        sizes = {
            path: abs(value)
            for path, value in flat(config.to_dict()).items()
            if isinstance(value, int | float)
        }
        path = max(sizes, key=lambda name: sizes[name])
        raise ConfigError(f"{path}: is too large to compute with") from error


def _check(config: Config, devices: Devices) -> None:
    """Raise ConfigError where fields contradict the machine or each other."""
    count, train = devices.mesh.size, config.train
    if config.data.batch_size % (count * train.accumulate):
        raise ConfigError(
            f"data.batch_size={config.data.batch_size}: is not divisible by {count} "
            f"devices times train.accumulate={train.accumulate}"
        )
    x64 = jax.config.jax_enable_x64  # type: ignore
    if train.dtype == "float64" and not x64:
        raise ConfigError("train.dtype='float64': needs JAX_ENABLE_X64=1")
    trackers = {"tensorboard": "tensorboardX", "wandb": "wandb"}
    for field, library in trackers.items():
        if (value := getattr(train, field)) and not find_spec(library):
            raise ConfigError(
                f"train.{field}={value!r}: {library} is not installed; "
                f'pip install "resnet_jax[{field}]"'
            )
    if len(config.seeds) > 1 and train.spmd == "pmap":
        raise ConfigError(
            f"train.seeds={config.seeds}: train.spmd='pmap' trains one; use 'jit'"
        )
    if len(config.seeds) > 1 and jax.process_count() > 1:
        raise ConfigError(
            f"train.seeds={config.seeds}: several processes train one; start a run for "
            "each seed"
        )


def _check_norms(
    config: Config, net: NetSpec, devices: Devices, *, image_shape: tuple[int, ...]
) -> None:
    """Raise ConfigError where a norm would see a single value per channel."""
    group = norm_group(config, devices=devices.mesh.size)
    if config.model.norm is None or (group or part_size(config)) > 1:
        return
    module, kept = net.build(), ("batch_stats", "relays")
    streams = {name: jax.random.key(0) for name in ("noise", "drop_path")}
    # Not by `init`: units that are skipped would have no variables.
    apply = functools.partial(module.apply, train=True, mutable=kept, rngs=streams)
    sizes = config.data.sizes or (None,)
    for size in sizes:
        shape = scaled_shape(image_shape, size) if size else image_shape
        x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
        jax.eval_shape(apply, complexity.shapes(module, shape), x)


def _check_sizes(config: Config, net: NetSpec, *, image_shape: tuple[int, ...]) -> None:
    """Raise ConfigError where the net does not take training images of all sizes."""

    def params(shape: tuple[int, ...]) -> PyTree:
        return complexity.shapes(net.build(), shape)["params"]

    if not config.data.sizes:
        return
    field, expected = f"data.sizes={config.data.sizes}", params(image_shape)
    for size in config.data.sizes:
        try:
            found = params(scaled_shape(image_shape, size))
        except ConfigError as error:
            raise ConfigError(f"{field}: at {size} pixels {error}") from None
        if found != expected:
            raise ConfigError(
                f"{field}: model.name={config.model.name!r} flattens its last map, "
                "which must be of one size; set model.levels, e.g. (1, 2)"
            )
