"""What one run would cost: counted from its config, measured by compiling its step.

No image is read: sizes are those of the data set, and the train step is compiled for
shapes.
"""

import dataclasses
import math
import statistics
import time
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from resnet_jax.analysis.audit_values import DATASETS, Row
from resnet_jax.config.schema import Config
from resnet_jax.data import crops
from resnet_jax.data.pipeline import Pipeline, is_resident
from resnet_jax.data.preprocessing import image_shape, preprocessing
from resnet_jax.data.sources.records import Records
from resnet_jax.data.sources.source import Source
from resnet_jax.data.sources.splits import open_splits
from resnet_jax.data.sources.tfds import TfdsSource
from resnet_jax.data.sources.tfrecord import TFRecords
from resnet_jax.models import complexity as cost
from resnet_jax.train import program as parallel
from resnet_jax.train import run as experiment
from resnet_jax.train.update import temporary_bytes

Level = Literal["shapes", "compile", "time"]
TIMED = 5  # steps, after one that is not counted


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Costs of one run; None is what was not measured.

    multiply_adds for one image; bytes of parameters with optimizer, of resident data,
    and of temporaries on one device.
    """

    parts: cost.Parts
    multiply_adds: int
    steps: int
    state_bytes: int
    data_bytes: int
    temporary_bytes: int | None = None
    compile_s: float | None = None
    step_s: float | None = None

    @property
    def hours(self) -> float | None:
        """Of all training steps; evaluation and checkpoints come on top."""
        return None if self.step_s is None else self.steps * self.step_s / 3600


def estimate(config: Config, *, level: Level) -> Estimate:
    """Counts a run and, unless only shapes are asked for, compiles its train step."""
    made = prepared(config)
    parts, multiply_adds = made.counts
    program = experiment.make_program(made)
    state, data, feeds, k = arguments(made, program)
    counted = Estimate(
        parts=parts,
        multiply_adds=multiply_adds,
        steps=made.loop.steps,
        state_bytes=size_of(state),
        data_bytes=size_of(data),
    )
    if level == "shapes":
        return counted
    start = time.perf_counter()
    updates = experiment.updates(made, program)
    for update in updates.values():
        update.compile(state, data, feeds, k)
    measured = dataclasses.replace(
        counted,
        compile_s=time.perf_counter() - start,
        temporary_bytes=temporary_bytes(updates.values()),
    )
    if level == "compile":
        return measured
    seconds = statistics.fmean(
        timed(updates[size], program.init(made.seeds), data, feeds, k)
        for size in config.data.sizes or (None,)
    )
    return dataclasses.replace(measured, step_s=seconds)


def prepared(config: Config) -> experiment.Experiment:
    """An experiment with data of the right shape that holds one black image."""
    return experiment.prepare(config, feeds=black_feeds)


def black_feeds(config: Config, *, progress: Any = None) -> Pipeline:
    """Resident or streamed as a run would be, with one black image for all."""
    data, splits = config.data, sizes(config)
    shape = image_shape(data, splits["train"])
    image = {"image": np.zeros((1, *shape), np.uint8), "label": np.zeros(1, np.int32)}
    known = {"train": image} if crops.preset(data.augment).crop == "none" else None
    preprocess = preprocessing(data, splits["train"], known, shape)
    resident = known if is_resident(data, splits) else None
    return Pipeline(config, splits, resident, shape, preprocess)


def sizes(config: Config) -> dict[str, Source]:
    """The splits of a data set without its records; from its folder where unknown."""
    data = config.data
    name = data.name.partition(":")[0]
    if name not in DATASETS:
        return open_splits(data.name, directory=data.dir, split=data.split)
    known = DATASETS[name]
    lengths = {"train": Row(config).train_images, "test": known.test}
    return {
        split: TfdsSource(
            name=name,
            version="",
            split=split,
            num_classes=known.classes,
            image_shape=known.image,
            description="",
            records=Records(split, (), (length,), TFRecords((), ())),
            start=0,
            length=length,
        )
        for split, length in lengths.items()
    }


def arguments(made: experiment.Experiment, program: parallel.Program) -> Any:
    """What a call takes: shapes of state, resident arrays, k batches; and k."""
    same, own = made.devices.replicated, program.seeds.sharding
    whole = jax.eval_shape(program.init, made.seeds)
    state = jax.tree.map(lambda x: _shape(x.shape, x.dtype, own), whole)
    k, shape = made.loop.steps_per_call, made.feeds.image_shape
    batch = (*made.seeds.shape, k, made.config.data.batch_size)
    feeds = {"row": (batch, np.int32)}
    if made.feeds.resident:
        feeds |= {"index": (batch, np.int32)}
        length = len(made.feeds.splits["train"])
        data = {
            "image": _shape((length, *shape), np.uint8, same),
            "label": _shape((length,), np.int32, same),
        }
    else:
        feeds |= {"image": ((*batch, *shape), np.uint8), "label": (batch, np.int32)}
        feeds |= {"mask": (batch, np.float32)}
        data = None
    placed = program.place({k: jnp.zeros(*spec) for k, spec in feeds.items()})
    feeds = jax.tree.map(
        lambda x: _shape(x.shape, x.dtype, getattr(x, "sharding", None)), placed
    )
    return state, data, feeds, k


def _shape(shape, dtype, sharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)


def timed(step: Any, state: Any, data: Any, feeds: Any, k: int) -> float:
    """Seconds a step of a compiled call, on images that are all black."""
    data, feeds = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype, device=x.sharding), (data, feeds)
    )
    state, _ = jax.block_until_ready(step(state, data, feeds, 1))
    start = time.perf_counter()
    for done in range(0, TIMED, k):
        state, _ = step(state, data, feeds, min(k, TIMED - done))
    jax.block_until_ready(state)
    return (time.perf_counter() - start) / TIMED


def size_of(tree: Any) -> int:
    """Bytes of all arrays."""
    leaves = jax.tree.leaves(tree)
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in leaves)
