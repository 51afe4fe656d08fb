"""Train step of resnet_jax: the program that resnet_jax.main compiles for a config.

It takes uint8 images and normalises them, sums losses and errors for the log and checks
that all is finite; the peers are handed float images and do neither.
"""

import os
from collections.abc import Sequence
from typing import Any

import jax
import jitted
import numpy as np
from cases import EXPERIMENTS, Case, Way
from work import Sample, Training

from resnet_jax.config import experiment_file
from resnet_jax.config.schema import Config
from resnet_jax.sweep import estimate
from resnet_jax.train.experiment import Experiment
from resnet_jax.train.task import make_program

# As the peers train: no augmentation, BatchNorm statistics of the whole batch.
PLAIN = ("data.augment=none", "data.normalize=none", "model.norm.group=global")


def config_of(row: str, fields: Sequence[str]) -> Config:
    """Config of FILE:ROW under experiments/ with changed fields, each `x.y=value`."""
    file, name = experiment_file.parts(row)
    experiment = experiment_file.load(os.path.relpath(EXPERIMENTS / file))
    return experiment.config(name, [f"--config.{field}" for field in fields])


def config(case: Case, way: Way) -> Config:
    """Config of one way of a case; ConfigError for an unknown row or field."""
    fields = [f"data.batch_size={case.batch}", f"train.dtype={case.dtype}", *PLAIN]
    if way.seeds == 1:
        fields.append("data.feed=streaming")  # images are an argument of the step
    return config_of(case.row, [*fields, *case.fields, *way.fields])


def training(case: Case, way: Way) -> Training:
    """Compile the train step and initialise its state, on random images."""
    experiment = estimate.prepared(config(case, way))
    program = make_program(experiment)
    shapes = estimate.arguments(experiment, program)
    data, batches = jax.tree_util.tree_map_with_path(
        _filled, (shapes.data, shapes.batches)
    )
    return jitted.training(
        program.steps,
        program.init(experiment.seeds),
        data,
        batches,
        per_call=shapes.num_updates,
        **counts(experiment),
    )


def counts(experiment: Experiment) -> dict[str, float | None]:
    """Parameters, multiply-adds and, where known, images per second at the peak."""
    parts, multiply_adds = experiment.counts
    return {
        "params": parts.params,
        "multiply_adds": multiply_adds,
        "peak_images_per_s": experiment.peak(),
    }


def _filled(path: Any, leaf: jax.ShapeDtypeStruct) -> jax.Array:
    """Fill an argument of the train step with valid numbers, chosen by its name."""
    rng, shape = np.random.default_rng(0), leaf.shape
    name = jax.tree_util.keystr(path[-1:], simple=True)
    if name == "image":
        value = rng.integers(0, 256, shape, leaf.dtype)
    elif name == "mask":
        value = np.ones(shape)
    elif name == "label":
        value = rng.integers(0, 10, shape)
    else:  # "row", "index": positions in the batch and in the data set
        value = np.broadcast_to(np.arange(shape[-1]), shape)
    return jax.device_put(value.astype(leaf.dtype), leaf.sharding)


class Compilation:
    """Compilation of the train step for shapes, repeated per turn; no step is run."""

    def __init__(self, case: Case, way: Way):
        experiment = estimate.prepared(config(case, way))
        program = make_program(experiment)
        self._step = program.steps
        self._arguments = estimate.arguments(experiment, program)
        _, measured = jitted.compiled(self._step, *self._arguments)
        sizes = ("program_lines", "program_bytes", "temporary_bytes")
        self.facts = {name: measured[name] for name in sizes} | counts(experiment)

    def turn(self, steps: int) -> Sample:
        """Mean seconds to trace and to compile, over `steps` compilations."""
        seconds = {"trace_s": 0.0, "compile_s": 0.0}
        for _ in range(steps):
            jax.clear_caches()
            measured = jitted.compiled(self._step, *self._arguments)[1]
            seconds = {name: seconds[name] + measured[name] / steps for name in seconds}
        return seconds

    def device_peak(self) -> int | None:
        return jitted.device_peak()
