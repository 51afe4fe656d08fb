"""Device mesh with one axis, and the seeds that one program trains on it."""

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
    """All devices of all processes, in a mesh with one axis."""

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
        """Default steps per call; a CPU allocates memory anew for each call."""
        return 8 if self.on_cpu else 1

    def spread(self, tree: PyTree, *, axis: int) -> PyTree:
        """Make global arrays, sharded along `axis`, from this process's share."""
        sharding = NamedSharding(self.mesh, P(*(None,) * axis, AXIS))
        put = jax.make_array_from_process_local_data
        return jax.tree.map(lambda x: put(sharding, np.asarray(x)), tree)

    def split_for_pmap(self, feeds: PyTree) -> PyTree:
        """Reshape [k b ...] to [k devices b/devices ...]."""
        count = jax.local_device_count()
        return jax.tree.map(lambda x: x.reshape(len(x), count, -1, *x.shape[2:]), feeds)

    def replicate(self, tree: PyTree) -> PyTree:
        """Copy host arrays to every device."""
        return jax.device_put(tree, self.replicated)


@dataclasses.dataclass(frozen=True)
class Seeds:
    """Seeds of one program; arrays of several seeds have a leading axis of seeds.

    If their number is a multiple of that of the devices, seeds are distributed over
    devices and no device waits for another; else every batch is.
    """

    devices: Devices
    count: int = 1

    @property
    def on_own_devices(self) -> bool:
        return self.count > 1 and self.count % self.devices.mesh.size == 0

    @property
    def sharding(self) -> NamedSharding:
        """Sharding of arrays with a leading axis of seeds."""
        spec = P(AXIS) if self.on_own_devices else P()
        return NamedSharding(self.devices.mesh, spec)

    def mapped(self, function: Callable, *, axes: Sequence[int | None]) -> Callable:
        """Map a function of one seed over all seeds.

        `axes`: axis of seeds of each argument, 0 or None.
        """
        if self.count == 1:
            return function
        # XLA:CPU is slow at the grouped convolutions that vmap makes.
        vmap = _sequential_vmap if self.devices.on_cpu else jax.vmap
        mapped = vmap(function, tuple(axes))
        if not self.on_own_devices:
            return mapped
        parts = tuple(P() if axis is None else P(AXIS) for axis in axes)
        places = {"mesh": self.devices.mesh, "in_specs": parts, "out_specs": P(AXIS)}
        return jax.shard_map(mapped, **places, check_vma=False)

    def spread(self, tree: PyTree, *, axis: int) -> PyTree:
        """Shard host arrays by seed, or along `axis`, not counting that of seeds."""
        if self.on_own_devices:
            return self.devices.spread(tree, axis=0)
        return self.devices.spread(tree, axis=axis + (self.count > 1))

    def place_common(self, batch: PyTree) -> PyTree:
        """Place a batch [b ...] that is common to all seeds."""
        if self.on_own_devices:
            return self.devices.replicate(batch)
        return self.devices.spread(batch, axis=0)

    def slices(self, tree: PyTree) -> list[PyTree]:
        """Slice host arrays by seed."""
        if self.count == 1:
            return [tree]
        return [jax.tree.map(lambda x, i=i: x[i], tree) for i in range(self.count)]

    def split(self, state: TrainState) -> Iterator[TrainState]:
        """Split a state into those of single seeds, as in a program of one seed."""
        if self.count == 1:
            return iter([state])
        return map(self.devices.replicate, self.slices(jax.device_get(state)))

    def joined(self, states: Sequence[TrainState]) -> TrainState:
        """Stack the states of all seeds: the inverse of `split`."""
        if self.count == 1:
            return states[0]
        stacked = jax.tree.map(lambda *x: np.stack(x), *jax.device_get(states))
        return jax.device_put(stacked, self.sharding)


def _sequential_vmap(function, axes):
    """A loop in place of jax.vmap, over axes 0 or None."""

    def mapped(*args):
        def one(slices):
            triples = zip(args, slices, axes, strict=True)
            return function(*(x if axis is None else s for x, s, axis in triples))

        pairs = zip(args, axes, strict=True)
        return jax.lax.map(one, [None if axis is None else x for x, axis in pairs])

    return mapped
