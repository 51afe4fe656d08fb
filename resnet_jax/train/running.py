"""Inputs of the main loop."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol, SupportsFloat, TypeVar, runtime_checkable

from jaxtyping import PyTree

from resnet_jax.train.evaluate import Check, Scores
from resnet_jax.train.profiler import Trace
from resnet_jax.train.program import Program, Update
from resnet_jax.train.replicas import Replica
from resnet_jax.train.state import Variables
from resnet_jax.train.step import DeviceBatch

T = TypeVar("T")


@runtime_checkable
class Progress(Protocol):
    """Progress display of a run."""

    def update(self, step: int) -> None: ...
    def note(self, text: str) -> None: ...
    def doing(self, what: str) -> None: ...


@dataclasses.dataclass(frozen=True)
class Run:
    """Inputs of the loop; arrays of several seeds have a leading axis of seeds.

    batches(step, k) -> host arrays of the k batches from `step` on, [k b ...]
    batches(step) -> host arrays of one batch, [b ...]
    evaluate(variables, check) -> {"val": sums, "test": sums}, host numbers
    rate(step) -> learning rate
    updates: compiled update per training image size, {None: update} for a single size
    peak: upper bound on images per second of all devices together; None: unknown
    """

    program: Program
    updates: Mapping[int | None, Update]
    data: DeviceBatch | None
    batches: Callable[..., DeviceBatch]
    evaluate: Callable[[Variables, Check], Scores]
    rate: Callable[[int], SupportsFloat]
    replicas: tuple[Replica, ...]
    progress: Progress
    trace: Trace | None = None
    peak: float | None = None

    @property
    def alive(self) -> bool:
        """True while a seed has not diverged."""
        return not all(replica.diverged for replica in self.replicas)

    def pairs(self, parts: Iterable[T]) -> Iterator[tuple[Replica, T]]:
        """Pair each seed that has not diverged with its part."""
        pairs = zip(self.replicas, parts, strict=True)
        return ((replica, part) for replica, part in pairs if not replica.diverged)

    def slices(self, tree: PyTree) -> Iterator[tuple[Replica, PyTree]]:
        """Pair each seed that has not diverged with its slice of host arrays."""
        return self.pairs(self.program.seeds.slices(tree))
