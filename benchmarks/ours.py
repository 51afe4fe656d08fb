"""Our train step: the program that resnet_jax.main compiles, from config fields alone.

It takes uint8 images and normalises them, keeps sums for the log and checks that all is
finite; the peers are handed float images and do neither.
"""

import os
import pathlib
from typing import Any

import jax
import jitted
import numpy as np
from cases import Case, Way
from work import Sample, Training

from resnet_jax import cli
from resnet_jax.config.schema import Config
from resnet_jax.sweep import estimate
from resnet_jax.train import peaks
from resnet_jax.train import run as experiment

EXPERIMENTS = pathlib.Path(__file__).parents[1] / "experiments"
# What the peers do as well: no augmentation, statistics of the whole batch.
PLAIN = ("data.augment=none", "data.normalize=none", "model.norm.group=global")


def config(case: Case, way: Way) -> Config:
    """ConfigError where the package has no such row or field (yet)."""
    fields = [f"data.batch_size={case.batch}", f"train.dtype={case.dtype}", *PLAIN]
    if way.seeds == 1:
        fields.append("data.feed=streaming")  # the step is handed its batch
    fields += [*case.fields, *way.fields]
    reference = os.path.relpath(EXPERIMENTS / case.row)
    return cli.changed(reference, [f"--config.{field}" for field in fields])


def training(case: Case, way: Way) -> Training:
    chosen = config(case, way)
    made = estimate.prepared(chosen)
    program = experiment.make_program(made)
    _, *shapes, k = estimate.arguments(made, program)
    batch = jax.tree_util.tree_map_with_path(_filled, shapes)
    state = program.init(made.seeds)
    return jitted.training(program.steps, state, *batch, per_call=k, **_counts(made))


def _counts(made: experiment.Experiment) -> dict[str, float | None]:
    """Parameters, multiply-adds and, where known, the images a second at the peak."""
    parts, multiply_adds = made.counts
    kind = jax.devices()[0].device_kind
    flops = peaks.peak(kind, dtype=made.config.train.dtype)
    return {
        "params": parts.params,
        "multiply_adds": multiply_adds,
        "peak_images_per_s": flops and peaks.images_per_s(multiply_adds, flops=flops),
    }


def _filled(path: Any, leaf: jax.ShapeDtypeStruct) -> jax.Array:
    """Numbers that may stand there, by the name of the array."""
    rng, shape = np.random.default_rng(0), leaf.shape
    name = jax.tree_util.keystr(path[-1:], simple=True)
    if name == "image":
        value = rng.integers(0, 256, shape, leaf.dtype)
    elif name == "mask":
        value = np.ones(shape)
    elif name == "label":
        value = rng.integers(0, 10, shape)
    else:  # rows of the batch, and where they are in the data
        value = np.broadcast_to(np.arange(shape[-1]), shape)
    return jax.device_put(value.astype(leaf.dtype), leaf.sharding)


class Compilation:
    """The train step for shapes, compiled anew in each turn; nothing runs."""

    def __init__(self, case: Case, way: Way):
        made = estimate.prepared(config(case, way))
        program = experiment.make_program(made)
        self._step, self._arguments = program.steps, estimate.arguments(made, program)
        _, took = jitted.compiled(self._step, *self._arguments)
        sizes = ("program_lines", "program_bytes", "temporary_bytes")
        self.facts = {name: took[name] for name in sizes} | _counts(made)

    def turn(self, steps: int) -> Sample:
        seconds = {"trace_s": 0.0, "compile_s": 0.0}
        for _ in range(steps):
            jax.clear_caches()
            took = jitted.compiled(self._step, *self._arguments)[1]
            seconds = {name: seconds[name] + took[name] / steps for name in seconds}
        return seconds

    def device_peak(self) -> int | None:
        return jitted.device_peak()
