"""A small net on random images, trained without a workdir, and compared."""

import dataclasses
import functools
import zlib

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType

from resnet_jax.config.resolve import configured, validated
from resnet_jax.config.schema import Config
from resnet_jax.data.inputs import Inputs
from resnet_jax.data.pipeline import Pipeline
from resnet_jax.data.statistics import statistics
from resnet_jax.models.network import network
from resnet_jax.paths import replaced
from resnet_jax.train.experiment import Experiment
from resnet_jax.train.mesh import AXIS, Devices
from resnet_jax.train.optim import optimizer
from resnet_jax.train.program import Program
from resnet_jax.train.state import create
from resnet_jax.train.task import make_program, make_task

BASE = {
    "data.batch_size": 16,
    "train.iterations": 100,
    "optim.schedule": "constant",
}
NOISY = {"model.unit.stochastic_depth": "drop", "data.augment": "crop_flip"}
# One stage of so many units: there is little to compile.
NET = {"widths": (8,), "stem_width": 8}
# Compiler options of a program as users run it; the tests' own compile faster.
OPTIMISED = {"xla_backend_optimization_level": 3}


def config(changes) -> Config:
    """The defaults, an epoch long, with changes by dotted path."""
    length = {} if "train.iterations" in changes else {"train.epochs": 1.0}
    return validated(configured(length | dict(changes), {"": {}}, "").to_dict())


def images(n=64, shape=(8, 8, 1), seed=0):
    """Random images with random labels, as the resident arrays of a split."""
    rng = np.random.default_rng(seed)
    return {
        "image": rng.integers(0, 256, (n, *shape), dtype=np.uint8),
        "label": rng.integers(0, 10, n).astype(np.int32),
    }


def devices(count):
    """The first so many devices in one row."""
    mesh = jax.make_mesh(
        (count,),
        (AXIS,),
        devices=jax.devices()[:count],
        axis_types=(AxisType.Auto,),
    )
    return Devices(mesh)


def experiment(changes, *, count=1, units=2):
    """The experiment of a config on so many devices, on random images."""
    tiny = config(BASE | changes)
    axis_name = AXIS if tiny.train.spmd == "pmap" else None
    net = network(tiny, num_classes=10, devices=count, axis_name=axis_name)
    arrays = images()
    shape, known = arrays["image"].shape[1:], statistics(arrays["image"])
    pipeline = Pipeline(
        config=tiny,
        splits={},
        resident={"train": arrays},
        inputs=Inputs(tiny.data, shape, np.dtype(np.uint8), known, ()),
    )
    optim = optimizer(tiny, total_steps=tiny.train.iterations)
    net = dataclasses.replace(net, depths=(units,), **NET)
    return Experiment(tiny, pipeline, net, optim, devices(count))


def begin(task, config):
    """The state before the first step, drawn by NumPy: there is nothing to compile.

    A parameter is drawn by its path: nets have the same where they share one.
    """
    shapes = jax.eval_shape(task.init, jax.random.key(0))

    def draw(path, leaf):
        name = jax.tree_util.keystr(path).encode()
        rng = np.random.default_rng([config.seed, zlib.crc32(name)])
        match path[-1].key:
            case "kernel":
                scale = (2 / np.prod(leaf.shape[-4:-1])) ** 0.5
                return jnp.asarray(scale * rng.normal(size=leaf.shape), leaf.dtype)
            case "scale" | "var":
                return jnp.ones(leaf.shape, leaf.dtype)
            case _:
                return jnp.zeros(leaf.shape, leaf.dtype)

    variables = jax.tree_util.tree_map_with_path(draw, shapes)
    return create(
        variables, task.tx, seed=jnp.uint32(config.seed), ema=config.train.ema
    )


@dataclasses.dataclass(frozen=True)
class Trainer:
    """The program of an experiment with its data and its first state."""

    experiment: Experiment
    program: Program
    data: dict
    state: object

    @functools.cached_property
    def batches(self):
        return self.experiment.pipeline.train_batches()

    def run(self, steps, *, k=1, state=None):
        """(state after so many steps, k a call; what they said), as host arrays."""
        start = self.state if state is None else state
        start = jax.tree.map(jnp.copy, start)
        state = jax.device_put(start, self.program.seeds.sharding)
        seen = []
        for step in range(0, steps, k):
            batches = self.program.place(self.batches(step, k))
            state, last = self.program.steps(state, self.data, batches, k)
            seen.append(last)
        seen = jax.device_get(seen)
        seen = jax.tree.map(lambda *x: np.concatenate(x, axis=-1), *seen)
        return jax.device_get(state), seen


def trainer(changes, *, count=1, units=2):
    made = experiment(changes, count=count, units=units)
    program = make_program(made)
    data = made.devices.replicate(made.pipeline.resident["train"])
    task = make_task(made)
    states = [
        begin(task, replaced(made.config, {"seed": seed})) for seed in made.config.seeds
    ]
    state = jax.device_put(program.seeds.joined(states), program.seeds.sharding)
    return Trainer(made, program, data, state)


def assert_equal(a, b):
    """Equal trees, bit for bit."""
    assert_close(a, b, rtol=0)


def assert_close(a, b, *, rtol):
    """Equal trees but for rounding, each leaf measured by its largest number."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    paths = jax.tree_util.tree_leaves_with_path(a)
    for (path, x), y in zip(paths, jax.tree.leaves(b), strict=True):
        bound = rtol * np.max(np.abs(np.asarray(y, np.float64)), initial=0.0)
        name = jax.tree_util.keystr(path)
        np.testing.assert_allclose(x, y, rtol=0, atol=bound, err_msg=name)
