"""Cost of one run: counts from its config, measurements of its compiled train step.

No image is read: the train step is compiled for the shapes of the data set.
"""

import dataclasses
import math
import statistics
import time
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from resnet_jax.config.datasets import DATASETS, train_images
from resnet_jax.config.schema import Config, DataConfig
from resnet_jax.data import crops
from resnet_jax.data.inputs import inputs_of
from resnet_jax.data.pipeline import Pipeline, is_resident
from resnet_jax.data.preprocessing import image_shape
from resnet_jax.data.sources.source import Example, ImageShape, Progress, Source
from resnet_jax.data.sources.splits import open_splits
from resnet_jax.models.complexity import Parts
from resnet_jax.train.experiment import Experiment, prepare
from resnet_jax.train.program import Program, Update, temporary_bytes
from resnet_jax.train.state import TrainState
from resnet_jax.train.task import make_program, updates

Level = Literal["shapes", "compile", "time"]
Shape = jax.ShapeDtypeStruct
TIMED = 5  # steps, after one to warm up


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Cost of one run; None: not measured.

    `multiply_adds` per image; bytes per device: parameters with optimizer, resident
    data, temporaries.
    """

    parts: Parts
    multiply_adds: int
    steps: int
    state_bytes: int
    data_bytes: int
    temporary_bytes: int | None = None
    compile_s: float | None = None
    step_s: float | None = None

    @property
    def hours(self) -> float | None:
        """Hours of all training steps, without evaluation and checkpoints."""
        return None if self.step_s is None else self.steps * self.step_s / 3600


class Arguments(NamedTuple):
    """Shapes of the arguments of `Program.steps`, and the updates per call."""

    state: TrainState
    data: dict[str, Shape] | None  # resident arrays
    batches: dict[str, Shape]
    num_updates: int


def estimate(config: Config, *, level: Level) -> Estimate:
    """Count; from level "compile" on, compile the train step; with "time", run it."""
    experiment = prepared(config)
    parts, multiply_adds = experiment.counts
    program = make_program(experiment)
    shapes = arguments(experiment, program)
    counted = Estimate(
        parts=parts,
        multiply_adds=multiply_adds,
        steps=experiment.loop.steps,
        state_bytes=size_in_bytes(shapes.state),
        data_bytes=size_in_bytes(shapes.data),
    )
    if level == "shapes":
        return counted
    start = time.perf_counter()
    by_size = updates(experiment, program)
    for update in by_size.values():
        update.compile(*shapes)
    measured = dataclasses.replace(
        counted,
        compile_s=time.perf_counter() - start,
        temporary_bytes=temporary_bytes(by_size.values()),
    )
    if level == "compile":
        return measured
    seconds = statistics.fmean(
        seconds_per_step(
            by_size[size], shapes._replace(state=program.init(experiment.seeds))
        )
        for size in config.data.sizes or (None,)
    )
    return dataclasses.replace(measured, step_s=seconds)


def prepared(config: Config) -> Experiment:
    """Prepare an experiment with data of the right shapes, but without images."""
    return prepare(config, open_data=imageless_pipeline)


def imageless_pipeline(config: Config, *, progress: Progress | None = None) -> Pipeline:
    """Pipeline of a config, resident or streamed as in a run, of one black image."""
    data, splits = config.data, sized_splits(config.data)
    shape = image_shape(data, splits["train"])
    dtype = splits["train"].dtype
    image = {"image": np.zeros((1, *shape), dtype), "label": np.zeros(1, np.int32)}
    known = {"train": image} if crops.preset(data.augment).crop == "none" else None
    inputs = inputs_of(data, splits["train"], known, shape)
    resident = known if is_resident(data, splits) else None
    return Pipeline(config, splits, resident, inputs)


@dataclasses.dataclass(frozen=True)
class SizedSource:
    """A split with its sizes, but without examples."""

    name: str
    num_classes: int
    image_shape: ImageShape
    length: int
    dtype: np.dtype = np.dtype(np.uint8)
    classes: tuple[str, ...] = ()
    description: str = ""
    fingerprint: str = ""

    def where(self, index: int) -> str:
        return f"{self.name}[{index}]"

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Example:
        raise IndexError(f"{self.where(index)}: only its sizes are known")

    def __getitems__(self, indices: Sequence[int]) -> list[Example]:
        return [self[index] for index in indices]


def sized_splits(data: DataConfig) -> dict[str, Source]:
    """Splits of a data set by its known sizes, else by those in its folder."""
    name = data.name.partition(":")[0]
    if name not in DATASETS or data.test_split:
        found = open_splits(
            data.name, directory=data.dir, split=data.split, test_split=data.test_split
        )
        return dict(found)
    known = DATASETS[name]
    lengths = {"train": train_images(data), "test": known.test}
    return {
        split: SizedSource(name, known.classes, known.image, length or 0)
        for split, length in lengths.items()
    }


def arguments(experiment: Experiment, program: Program) -> Arguments:
    """Shapes and shardings of the arguments of the train step."""
    pipeline, seeds = experiment.pipeline, experiment.seeds
    whole = jax.eval_shape(program.init, seeds)
    own = program.seeds.sharding
    state = jax.tree.map(lambda x: Shape(x.shape, x.dtype, sharding=own), whole)
    count, shape = experiment.loop.steps_per_call, pipeline.image_shape
    train = pipeline.splits["train"]
    batch = (*seeds.shape, count, experiment.config.data.batch_size)
    batches: dict[str, tuple[tuple[int, ...], Any]] = {"row": (batch, np.int32)}
    data = None
    if pipeline.resident:
        batches["index"] = (batch, np.int32)
        length = len(train)
        everywhere = experiment.devices.replicated
        data = {
            "image": Shape((length, *shape), train.dtype, sharding=everywhere),
            "label": Shape((length,), np.int32, sharding=everywhere),
        }
    else:
        batches["image"] = ((*batch, *shape), train.dtype)
        batches["label"] = (batch, np.int32)
        batches["mask"] = (batch, np.float32)
    placed = program.place({name: np.zeros(*each) for name, each in batches.items()})
    # Batches for pmap are host arrays, without sharding.
    placed = jax.tree.map(
        lambda x: Shape(x.shape, x.dtype, sharding=getattr(x, "sharding", None)), placed
    )
    return Arguments(state, data, placed, count)


def seconds_per_step(update: Update, given: Arguments) -> float:
    """Time per compiled step, on black images."""
    state, most = given.state, given.num_updates
    data, batches = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype, device=x.sharding),
        (given.data, given.batches),
    )
    state, _ = jax.block_until_ready(update(state, data, batches, 1))
    start = time.perf_counter()
    for done in range(0, TIMED, most):
        state, _ = update(state, data, batches, min(most, TIMED - done))
    jax.block_until_ready(state)
    return (time.perf_counter() - start) / TIMED


def size_in_bytes(tree: Any) -> int:
    """Bytes of all arrays of a tree."""
    leaves = jax.tree.leaves(tree)
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in leaves)
