"""Compiled functions of a run: jit over a mesh, or pmap; for one or several seeds.

Both keep one logical state, equal on all devices, and shard batches along their first
axis. Under jit BatchNorm may normalise over any group of examples, under pmap over
those of one device or of all. Under jit one program may train several seeds.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Literal, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from resnet_jax.train.mesh import AXIS, Devices, Seeds
from resnet_jax.train.state import Sums, TrainState, create
from resnet_jax.train.step import (
    DeviceBatch,
    StepSpec,
    Task,
    make_eval_step,
    make_train_step,
    output_buffers,
)


@runtime_checkable
class Steps(Protocol):
    """`Program.steps`, made by jit or pmap."""

    def __call__(self, *arguments: PyTree) -> tuple[TrainState, Sums]: ...
    def lower(self, *arguments: PyTree) -> jax.stages.Lowered: ...


@dataclasses.dataclass(frozen=True)
class Program:
    """Compiled functions of a run; several seeds have a leading axis.

    init(seed) -> state
    steps(state, data, feeds, count) -> (state, {"loss", "ok", "skipped"}, [k] each):
        updates by the first `count` of the k batches of `feeds`, with results that do
        not depend on the number of calls; `data`: resident arrays, or None
    evaluate(variables, data, feed) -> sums; data and feed are common to all seeds
    statistics(variables, data, feed, number) -> batch_stats of this batch alone;
        noise and augmentation are drawn per `number`
    place(feeds) -> host arrays [k b ...] on the devices of `steps`
    """

    init: Callable[..., TrainState]
    steps: Steps
    evaluate: Callable[..., Sums]
    statistics: Callable[..., PyTree]
    place: Callable[[DeviceBatch], DeviceBatch]
    seeds: Seeds

    def padded(self, feeds: DeviceBatch, k: int) -> DeviceBatch:
        """Pad fewer than k batches with zeros, so that all calls have one shape."""
        axis = int(self.seeds.count > 1)
        missing = k - feeds["row"].shape[axis]

        def pad(x):
            return np.pad(x, [(0, missing * (at == axis)) for at in range(x.ndim)])

        return jax.tree.map(pad, feeds) if missing else feeds


def compiled(
    task: Task,
    spec: StepSpec,
    *,
    spmd: Literal["jit", "pmap"],
    devices: Devices,
    seeds: int = 1,
) -> Program:
    """Compile the functions of a task by jit or pmap; several seeds need jit."""
    axis_name = AXIS if spmd == "pmap" else None
    spec = dataclasses.replace(spec, axis_name=axis_name)
    steps = _repeated(make_train_step(task, spec))
    score, several = make_eval_step(task), Seeds(devices, seeds)
    sharding = several.sharding
    # A CPU compiles random draws 5 times faster without optimisation; init runs once.
    once = {"xla_backend_optimization_level": 0} if devices.on_cpu else None

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
        run, place = jax.pmap(steps, **mapped), devices.split_for_pmap
    else:
        steps = several.mapped(steps, axes=(0, None, 0, None))
        run = jax.jit(steps, donate_argnums=0, out_shardings=(sharding, sharding))
        place = functools.partial(several.spread, axis=1)
    init = several.mapped(init, axes=(0,))
    evaluate = several.mapped(evaluate, axes=(0, None, None))
    statistics = several.mapped(statistics, axes=(0, None, 0, None))
    return Program(
        init=jax.jit(init, out_shardings=sharding, compiler_options=once),
        steps=run,
        evaluate=_blocking(jax.jit(evaluate, out_shardings=sharding), devices),
        statistics=_blocking(jax.jit(statistics, out_shardings=sharding), devices),
        place=place,
        seeds=several,
    )


def _blocking(function: Callable, devices: Devices) -> Callable:
    """Make a function on several CPU devices return only when it is done.

    CPU devices share threads. Calls that do not wait for each other, as steps do, run
    concurrently; each may hold the thread that another's sum over devices waits for,
    and after a minute XLA aborts the process.
    """
    if devices.mesh.size == 1 or not devices.on_cpu:
        return function

    def call(*arguments):
        return jax.block_until_ready(function(*arguments))

    return call


def gathered(data: DeviceBatch | None, feed: DeviceBatch) -> DeviceBatch:
    """Gather a batch from resident arrays by `index`; a streamed batch is complete."""
    batch = {"mask": jnp.ones(len(feed["row"])), **feed}
    if data is None:
        return batch
    index = batch.pop("index")
    return batch | {name: array[index] for name, array in data.items()}


def _repeated(step):
    """Make a function of up to k updates per call."""

    def steps(state, data, feeds, count):
        def one(i, carry):
            state, outputs = carry
            batch = gathered(data, jax.tree.map(lambda x: x[i], feeds))
            state, new = step(state, batch)
            return state, jax.tree.map(
                lambda rows, row: rows.at[i].set(row.astype(rows.dtype)), outputs, new
            )

        k = len(feeds["row"])
        carry = state, output_buffers(state, k)
        # Compilers optimise a single update better outside a loop.
        return one(0, carry) if k == 1 else jax.lax.fori_loop(0, count, one, carry)

    return steps


class Update:
    """`Program.steps` for one shape of arguments, compiled at its first call.

    temporary_bytes: memory of a call's temporaries on one device; None before it is
    compiled, and where the compiler does not report it
    """

    def __init__(self, steps: Steps):
        self._steps = steps
        self._compiled: jax.stages.Compiled | None = None
        self.temporary_bytes: int | None = None

    def compile(self, *arguments: PyTree) -> jax.stages.Compiled:
        """Compile before the first call; `arguments` may be shapes."""
        self._compiled = self._steps.lower(*arguments).compile()
        found = self._compiled.memory_analysis()
        self.temporary_bytes = found and found.temp_size_in_bytes
        return self._compiled

    def __call__(self, *arguments: PyTree) -> tuple[TrainState, Sums]:
        compiled = self._compiled or self.compile(*arguments)
        return compiled(*arguments)


def temporary_bytes(updates: Iterable[Update]) -> int | None:
    """Temporary bytes of the largest program, as programs run one after another."""
    found = [update.temporary_bytes for update in updates]
    return max((size for size in found if size is not None), default=None)
