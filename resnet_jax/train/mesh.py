"""Devices in one row, and the seeds that one program trains on them."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import PyTree

from resnet_jax.train.state import TrainState

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
        """Steps per call that are fast: a CPU takes new memory for each call."""
        return 8 if self.on_cpu else 1

    def spread(self, tree: PyTree, *, axis: int) -> PyTree:
        """This process's share of arrays, as global arrays cut along `axis`."""
        sharding = NamedSharding(self.mesh, P(*(None,) * axis, AXIS))
        put = jax.make_array_from_process_local_data
        return jax.tree.map(lambda x: put(sharding, np.asarray(x)), tree)

    def dealt(self, feeds: PyTree) -> PyTree:
        """[k b ...] -> [k devices b/devices ...], as pmap takes it."""
        count = jax.local_device_count()
        return jax.tree.map(lambda x: x.reshape(len(x), count, -1, *x.shape[2:]), feeds)

    def copied(self, tree: PyTree) -> PyTree:
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

    def spread(self, tree: PyTree, *, axis: int) -> PyTree:
        """Host arrays, cut along the axis of seeds or, but for it, along `axis`."""
        return self.devices.spread(
            tree, axis=0 if self.apart else axis + (self.count > 1)
        )

    def shared(self, batch: PyTree) -> PyTree:
        """A batch [b ...] that all seeds see."""
        if self.apart:
            return self.devices.copied(batch)
        return self.devices.spread(batch, axis=0)

    def slices(self, tree: PyTree) -> list[PyTree]:
        """Host arrays of each seed."""
        if self.count == 1:
            return [tree]
        return [jax.tree.map(lambda x, i=i: x[i], tree) for i in range(self.count)]

    def split(self, state: TrainState) -> Iterator[TrainState]:
        """The state of each seed, as a program of this seed alone has it."""
        if self.count == 1:
            return iter([state])
        return map(self.devices.copied, self.slices(jax.device_get(state)))

    def joined(self, states: Sequence[TrainState]) -> TrainState:
        """The states of all seeds as one."""
        if self.count == 1:
            return states[0]
        stacked = jax.tree.map(lambda *x: np.stack(x), *jax.device_get(states))
        return jax.device_put(stacked, self.sharding)


def _one_by_one(function, axes):
    """A loop that computes what vmap does."""

    def mapped(*args):
        def one(own):
            left = iter(own)
            pairs = zip(args, axes, strict=True)
            return function(*(x if axis is None else next(left) for x, axis in pairs))

        pairs = zip(args, axes, strict=True)
        return jax.lax.map(one, [x for x, axis in pairs if axis is not None])

    return mapped
