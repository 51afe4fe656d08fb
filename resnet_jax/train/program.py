"""The compiled functions of a run: jit over a mesh, or pmap; for one seed or several.

Both see one logical state, equal on all devices, and a batch that is cut along its
first axis. Under jit BatchNorm may normalise over any group of examples, under pmap
over those of one device or of all. Under jit one program may train several seeds.
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
    room,
)


@runtime_checkable
class Steps(Protocol):
    """Compiled updates: a function made by jit or pmap."""

    def __call__(
        self,
        state: TrainState,
        data: DeviceBatch | None,
        feeds: DeviceBatch,
        count: int,
        /,
    ) -> tuple[TrainState, Sums]: ...

    def lower(self, *arguments: PyTree) -> jax.stages.Lowered: ...


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
    steps: Steps
    evaluate: Callable[..., Sums]
    statistics: Callable[..., PyTree]
    place: Callable[[DeviceBatch], DeviceBatch]
    seeds: Seeds

    def filled(self, feeds: DeviceBatch, k: int) -> DeviceBatch:
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


def gathered(data: DeviceBatch | None, feed: DeviceBatch) -> DeviceBatch:
    """A batch: taken from resident arrays by `index`, or as it was streamed."""
    batch = {"mask": jnp.ones(len(feed["row"])), **feed}
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


class Update:
    """`Program.steps` for one shape of arguments, compiled at its first call.

    temporary_bytes: what a call takes for temporaries on one device; None before it is
    compiled, and where the compiler does not tell
    """

    def __init__(self, steps: Steps):
        self._steps = steps
        self._compiled: jax.stages.Compiled | None = None
        self.temporary_bytes: int | None = None

    def compile(self, *arguments: PyTree) -> jax.stages.Compiled:
        """Ahead of the first call; `arguments` may be shapes."""
        self._compiled = self._steps.lower(*arguments).compile()
        found = self._compiled.memory_analysis()
        self.temporary_bytes = found and found.temp_size_in_bytes
        return self._compiled

    def __call__(self, *arguments: PyTree) -> tuple[TrainState, Sums]:
        compiled = self._compiled or self.compile(*arguments)
        return compiled(*arguments)


def temporary_bytes(updates: Iterable[Update]) -> int | None:
    """Temporary bytes of the largest program: they run one after the other."""
    found = [update.temporary_bytes for update in updates]
    return max((size for size in found if size is not None), default=None)
