"""Where a step runs: jit over a mesh of devices, or pmap; for one seed or several.

Both see one logical state, equal on all devices, and a batch that is cut along its
first axis. Under jit BatchNorm may normalise over any group of examples, under pmap
over those of one device or of all. Under jit one program may train several seeds.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from resnet_jax.train.state import TrainState, create
from resnet_jax.train.step import (
    Batch,
    StepSpec,
    Task,
    make_eval_step,
    make_train_step,
    room,
)

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

    @property
    def on_cpu(self) -> bool:
        return self.mesh.devices.flat[0].platform == "cpu"

    @property
    def steps_per_call(self) -> int:
        """How many are fast: on a CPU each call's temporaries lie in fresh memory."""
        return 8 if self.on_cpu else 1

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
class Seeds:
    """The seeds of one program: several have a leading axis on all that differs.

    Where their number divides by that of the devices, each device trains some of them
    whole and no device waits for another; else all devices share every batch.
    """

    devices: Devices
    count: int = 1

    @property
    def apart(self) -> bool:
        return self.count > 1 and self.count % self.devices.mesh.size == 0

    @property
    def sharding(self) -> NamedSharding:
        """Of arrays with a leading axis of seeds."""
        return NamedSharding(self.devices.mesh, P(AXIS) if self.apart else P())

    def each(self, function: Callable, *, axes: Sequence[int | None]) -> Callable:
        """A function of one seed for all of them.

        `axes` names the axis of seeds, 0 or none, of each argument.
        """
        if self.count == 1:
            return function
        # XLA:CPU is slow at the grouped convolutions that vmap makes of kernels.
        on_cpu = self.devices.on_cpu
        mapped = (_one_by_one if on_cpu else jax.vmap)(function, tuple(axes))
        if not self.apart:
            return mapped
        parts = tuple(P() if axis is None else P(AXIS) for axis in axes)
        places = {"mesh": self.devices.mesh, "in_specs": parts, "out_specs": P(AXIS)}
        return jax.shard_map(mapped, **places, check_vma=False)

    def spread(self, tree: Any, *, axis: int) -> Any:
        """Host arrays, cut along the axis of seeds or, but for it, along `axis`."""
        return self.devices.spread(
            tree, axis=0 if self.apart else axis + (self.count > 1)
        )

    def shared(self, batch: Any) -> Any:
        """A batch [b ...] that all seeds see."""
        if self.apart:
            return self.devices.copied(batch)
        return self.devices.spread(batch, axis=0)

    def own(self, tree: Any) -> list[Any]:
        """What each seed has of host arrays."""
        if self.count == 1:
            return [tree]
        return [jax.tree.map(lambda x, i=i: x[i], tree) for i in range(self.count)]

    def split(self, state: TrainState) -> Iterator[TrainState]:
        """The state of each seed, as a program of this seed alone has it."""
        if self.count == 1:
            return iter([state])
        return map(self.devices.copied, self.own(jax.device_get(state)))

    def joined(self, states: Sequence[TrainState]) -> TrainState:
        """The states of all seeds as one."""
        if self.count == 1:
            return states[0]
        stacked = jax.tree.map(lambda *x: np.stack(x), *jax.device_get(states))
        return jax.device_put(stacked, self.sharding)


def _one_by_one(function, axes):
    """What vmap computes, in a loop."""

    def mapped(*args):
        def one(own):
            left = iter(own)
            pairs = zip(args, axes, strict=True)
            return function(*(x if axis is None else next(left) for x, axis in pairs))

        pairs = zip(args, axes, strict=True)
        return jax.lax.map(one, [x for x, axis in pairs if axis is not None])

    return mapped


@dataclasses.dataclass(frozen=True)
class Program:
    """The compiled functions of a run; of several seeds, with their axis first.

    init(seed) -> state
    steps(state, data, feeds, count) -> (state, {"loss", "ok", "skipped"}, [k] each):
        updates by the first `count` of the k batches of `feeds`, alike however many
        there are to a call; `data` are the resident arrays, or None
    evaluate(variables, data, feed) -> sums; data and feed are the same for all seeds
    statistics(variables, data, feed, number) -> the batch_stats of this batch alone;
        noise and augmentation are drawn for each number anew
    place(feeds) puts host arrays [k b ...] where `steps` wants them
    """

    init: Callable[..., TrainState]
    steps: Callable[..., Any]
    evaluate: Callable[..., Any]
    statistics: Callable[..., Any]
    place: Callable[..., Any]
    seeds: Seeds

    def filled(self, feeds: Batch, k: int) -> Batch:
        """With zeros behind fewer than k batches, so that all calls have one shape."""
        axis = int(self.seeds.count > 1)
        short = k - feeds["row"].shape[axis]

        def longer(x):
            return np.pad(x, [(0, short * (at == axis)) for at in range(x.ndim)])

        return jax.tree.map(longer, feeds) if short else feeds


def compiled(
    task: Task,
    spec: StepSpec,
    *,
    spmd: Literal["jit", "pmap"],
    devices: Devices,
    seeds: int = 1,
) -> Program:
    """jit or pmap around the functions of a task; under jit, of several seeds."""
    axis_name = AXIS if spmd == "pmap" else None
    steps = _many(make_train_step(task, dataclasses.replace(spec, axis_name=axis_name)))
    score, several = make_eval_step(task), Seeds(devices, seeds)
    same = several.sharding

    def init(seed):
        variables = task.init(jax.random.key(seed))
        return create(variables, task.tx, seed=seed, ema=spec.ema)

    def statistics(variables, data, feed, number):
        batch = gathered(data, feed)
        key = jax.random.fold_in(jax.random.key(0), number)
        images = task.preprocess(key, batch, train=True)
        return task.statistics(variables, images, rngs={"drop_path": key, "noise": key})

    def evaluate(variables, data, feed):
        return score(variables, gathered(data, feed))

    if spmd == "pmap":
        axes = (None, None, 1, None)
        mapped = {"axis_name": AXIS, "in_axes": axes, "out_axes": None}
        run, place = jax.pmap(steps, **mapped), devices.dealt
    else:
        steps = several.each(steps, axes=(0, None, 0, None))
        run = jax.jit(steps, donate_argnums=0, out_shardings=(same, same))
        place = functools.partial(several.spread, axis=1)
    init = several.each(init, axes=(0,))
    evaluate = several.each(evaluate, axes=(0, None, None))
    statistics = several.each(statistics, axes=(0, None, 0, None))
    return Program(
        init=jax.jit(init, out_shardings=same, compiler_options=_run_once(devices)),
        steps=run,
        evaluate=_finished(jax.jit(evaluate, out_shardings=same), devices),
        statistics=_finished(jax.jit(statistics, out_shardings=same), devices),
        place=place,
        seeds=several,
    )


def _finished(function: Callable, devices: Devices) -> Callable:
    """On several devices of a CPU, a function that returns when it is done.

    They share their threads. Calls that do not wait for each other, as steps do, run at
    once; each may then hold the thread that another's sum over devices is waiting for,
    and after a minute XLA aborts the process.
    """
    if devices.mesh.size == 1 or not devices.on_cpu:
        return function

    def call(*arguments):
        return jax.block_until_ready(function(*arguments))

    return call


def gathered(data: Batch | None, feed: Batch) -> Batch:
    """A batch: taken from resident arrays by `index`, or as it was streamed."""
    batch = {"mask": jnp.ones(len(feed["row"]))} | feed
    if data is None:
        return batch
    index = batch.pop("index")
    return batch | {name: array[index] for name, array in data.items()}


def _run_once(devices: Devices) -> dict[str, int] | None:
    """For a program that runs once: a CPU compiles its random draws 5 times faster."""
    return {"xla_backend_optimization_level": 0} if devices.on_cpu else None


def _many(step):
    """Up to k updates in one call."""

    def steps(state, data, feeds, count):
        def one(i, carry):
            state, seen = carry
            batch = gathered(data, jax.tree.map(lambda x: x[i], feeds))
            state, new = step(state, batch)
            return state, jax.tree.map(
                lambda rows, row: rows.at[i].set(row.astype(rows.dtype)), seen, new
            )

        k = len(feeds["row"])
        carry = state, room(state, k)
        # A single update stays outside a loop: compilers treat it better there.
        return one(0, carry) if k == 1 else jax.lax.fori_loop(0, count, one, carry)

    return steps
