"""Small nets on random images, trained without a workdir, and compared."""

import contextlib
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType

from resnet_jax.config import build
from resnet_jax.config.resolve import configured, validated
from resnet_jax.data.augment import standard as augment
from resnet_jax.data.pipeline import Pipeline
from resnet_jax.paths import replaced
from resnet_jax.train import program as parallel
from resnet_jax.train import run as experiment
from resnet_jax.train.state import create

BASE = {"data.batch_size": 16, "train.iterations": 100, "optim.schedule": "constant"}
NOISY = {"model.unit.survival": 0.5, "data.augment": "crop_flip"}
# One stage of so many units: there is little to compile.
NET = {"widths": (8,), "stem_width": 8}


def images(n=64, shape=(8, 8, 1), seed=0):
    """Random images with random labels, as the resident arrays of a split."""
    rng = np.random.default_rng(seed)
    return {
        "image": rng.integers(0, 256, (n, *shape), dtype=np.uint8),
        "label": rng.integers(0, 10, n).astype(np.int32),
    }


@contextlib.contextmanager
def compiled_fast():
    """Nets of a few steps: compiling costs more than running."""
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", False)


def devices(count):
    """The first so many devices in one row."""
    mesh = jax.make_mesh(
        (count,),
        (parallel.AXIS,),
        devices=jax.devices()[:count],
        axis_types=(AxisType.Auto,),
    )
    return parallel.Devices(mesh)


def opened(changes, *, count=1, units=2):
    """The experiment of a config on so many devices, on random images."""
    config = validated(configured(BASE | changes, {"row": {}}, "row").to_dict())
    axis_name = parallel.AXIS if config.train.spmd == "pmap" else None
    net = build.network(config, num_classes=10, devices=count, axis_name=axis_name)
    arrays = images()
    spec = augment.preset(config.data.augment)
    feeds = Pipeline(
        config=config,
        splits={},
        resident={"train": arrays},
        image_shape=arrays["image"].shape[1:],
        preprocess=augment.build(spec, augment.statistics(arrays["image"])),
    )
    optim = build.optimizer(config, total_steps=config.train.iterations)
    net = dataclasses.replace(net, depths=(units,), **NET)
    return experiment.Experiment(config, feeds, net, optim, devices(count))


def begin(task, config):
    """The state before the first step, drawn by NumPy: there is nothing to compile."""
    shapes = jax.eval_shape(task.init, jax.random.key(0))
    rng = np.random.default_rng(config.seed)

    def draw(path, leaf):
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
    """The program of a config with its data and its first state."""

    opening: experiment.Experiment
    program: parallel.Program
    data: dict
    state: object

    @functools.cached_property
    def feeds(self):
        return self.opening.feeds.train_batches()

    def run(self, steps, *, k=1, state=None):
        """(state after so many steps, k a call; what they said), as host arrays."""
        start = self.state if state is None else state
        start = jax.tree.map(jnp.copy, start)
        state = jax.device_put(start, self.program.seeds.sharding)
        seen = []
        for step in range(0, steps, k):
            feeds = self.program.place(self.feeds(step, k))
            state, last = self.program.steps(state, self.data, feeds, k)
            seen.append(last)
        seen = jax.device_get(seen)
        seen = jax.tree.map(lambda *x: np.concatenate(x, axis=-1), *seen)
        return jax.device_get(state), seen


def trainer(changes, *, count=1, units=2):
    opening = opened(changes, count=count, units=units)
    program = experiment.make_program(opening)
    data = opening.devices.copied(opening.feeds.resident["train"])
    task, config = experiment.make_task(opening), opening.config
    states = [begin(task, replaced(config, {"seed": seed})) for seed in config.seeds]
    state = program.seeds.joined(states)
    return Trainer(
        opening, program, data, jax.device_put(state, program.seeds.sharding)
    )


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
