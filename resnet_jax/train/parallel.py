"""Where a step runs: jit over a mesh of devices, or pmap.

Both see one logical state, equal on all devices, and a batch that is cut along its
first axis. Under jit BatchNorm may normalise over any group of examples, under pmap
over those of one device or of all.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from resnet_jax.train.state import TrainState, create
from resnet_jax.train.step import Batch, StepSpec, Task, make_eval_step, make_train_step

AXIS = "data"


@dataclasses.dataclass(frozen=True)
class Devices:
    """All devices of all processes, in one row."""

    mesh: jax.sharding.Mesh

    @classmethod
    def all(cls) -> "Devices":
        count = jax.device_count()
        return cls(jax.make_mesh((count,), (AXIS,), axis_types=(AxisType.Auto,)))

    @property
    def replicated(self) -> NamedSharding:
        return NamedSharding(self.mesh, P())

    def spread(self, tree: Any, *, axis: int) -> Any:
        """This process's share of arrays, as global arrays cut along `axis`."""
        sharding = NamedSharding(self.mesh, P(*(None,) * axis, AXIS))
        put = jax.make_array_from_process_local_data
        return jax.tree.map(lambda x: put(sharding, np.asarray(x)), tree)

    def dealt(self, feeds: Any) -> Any:
        """[k b ...] -> [k devices b/devices ...], as pmap takes it."""
        count = jax.local_device_count()
        return jax.tree.map(lambda x: x.reshape(len(x), count, -1, *x.shape[2:]), feeds)

    def copied(self, tree: Any) -> Any:
        """Host arrays, whole on every device."""
        return jax.device_put(tree, self.replicated)


@dataclasses.dataclass(frozen=True)
class Program:
    """The compiled functions of a run.

    init(seed) -> state
    steps(state, data, feeds) -> (state, {"loss" [k], "ok" [k], "skipped" [k]}): k
        updates, one for each entry of the leading axis of `feeds`; `data` are the
        resident arrays, or None
    evaluate(variables, data, feed) -> sums
    statistics(variables, data, feed, number) -> the batch_stats of this batch alone;
        noise and augmentation are drawn for each number anew
    place(feeds) puts host arrays [k b ...] where `steps` wants them
    """

    init: Callable[..., TrainState]
    steps: Callable[..., Any]
    evaluate: Callable[..., Any]
    statistics: Callable[..., Any]
    place: Callable[..., Any]


def compiled(
    task: Task, spec: StepSpec, *, spmd: Literal["jit", "pmap"], devices: Devices
) -> Program:
    """jit or pmap around the functions of a task."""
    axis_name = AXIS if spmd == "pmap" else None
    steps = _many(make_train_step(task, dataclasses.replace(spec, axis_name=axis_name)))
    evaluate, same = make_eval_step(task), devices.replicated

    def init(seed):
        variables = task.init(jax.random.key(seed))
        return create(variables, task.tx, seed=seed, ema=spec.ema)

    def statistics(variables, data, feed, number):
        batch = gathered(data, feed)
        key = jax.random.fold_in(jax.random.key(0), number)
        images = task.preprocess(key, batch, train=True)
        return task.statistics(variables, images, rngs={"drop_path": key, "noise": key})

    if spmd == "pmap":
        mapped = {"axis_name": AXIS, "in_axes": (None, None, 1), "out_axes": None}
        run, place = jax.pmap(steps, **mapped), devices.dealt
    else:
        run = jax.jit(steps, donate_argnums=0, out_shardings=(same, same))
        place = functools.partial(devices.spread, axis=1)
    return Program(
        init=jax.jit(init, out_shardings=same, compiler_options=_run_once()),
        steps=run,
        evaluate=jax.jit(
            lambda variables, data, feed: evaluate(variables, gathered(data, feed)),
            out_shardings=same,
        ),
        statistics=jax.jit(statistics, out_shardings=same),
        place=place,
    )


def gathered(data: Batch | None, feed: Batch) -> Batch:
    """A batch: taken from resident arrays by `index`, or as it was streamed."""
    batch = {"mask": jnp.ones(len(feed["row"]))} | feed
    if data is None:
        return batch
    index = batch.pop("index")
    return batch | {name: array[index] for name, array in data.items()}


def _run_once() -> dict[str, int] | None:
    """For a program that runs once: a CPU compiles its random draws 5 times faster."""
    on_cpu = jax.default_backend() == "cpu"
    return {"xla_backend_optimization_level": 0} if on_cpu else None


def _many(step):
    """k updates in one call."""

    def steps(state, data, feeds):
        def one(state, feed):
            return step(state, gathered(data, feed))

        if len(feeds["row"]) > 1:
            return jax.lax.scan(one, state, feeds)
        # A single update stays outside a loop: compilers treat it better there.
        state, seen = one(state, jax.tree.map(lambda x: x[0], feeds))
        return state, jax.tree.map(lambda x: x[None], seen)

    return steps
