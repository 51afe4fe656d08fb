"""Sampler: the example indices of a batch, as a pure function of (seed, step)."""

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Int32, Int64

from resnet_jax.data.batch import Batch, stacked
from resnet_jax.errors import ConfigError

# Order and crops draw with equal Philox keys (seed, n); the top word of the counter
# separates their streams.
ORDER_STREAM, CROP_STREAM = 0, 1


def random_bits(seed: int, n: int, *, stream: int) -> np.random.Philox:
    """Counter-based random bits: equal arguments give equal bits on every machine."""
    return np.random.Philox(key=[seed, n], counter=[0, 0, 0, stream])


@functools.lru_cache(maxsize=2)  # a batch rarely spans more than two epochs
def permutation(seed: int, epoch: int, length: int) -> Int32[np.ndarray, " n"]:
    """Shuffled indices of one epoch, read-only.

    Sorts raw bits in place of `Generator.permutation`: NumPy guarantees the bits of
    Philox across versions, but not the streams of Generator's methods (NEP 19).
    """
    bits = random_bits(seed, epoch, stream=ORDER_STREAM).random_raw(length)
    order = np.argsort(bits, kind="stable").astype(np.int32)
    order.flags.writeable = False
    return order


def indices_at(
    seed: int, positions: Int64[np.ndarray, " b"], *, length: int
) -> Int32[np.ndarray, " b"]:
    """Example indices at positions in the sequence of shuffled epochs."""
    epochs, offsets = np.divmod(positions, length)
    indices = np.empty(len(offsets), np.int32)
    for epoch in np.unique(epochs):
        inside = epochs == epoch
        indices[inside] = permutation(seed, int(epoch), length)[offsets[inside]]
    return indices


@dataclasses.dataclass(frozen=True)
class Share:
    """Rows of every global batch that one process holds.

    Process k of n holds rows k B/n to (k + 1) B/n of a batch of B, so that the union
    over processes is the same batch for every n.
    """

    process_index: int = 0
    process_count: int = 1

    def rows(self, batch_size: int) -> Int32[np.ndarray, " b"]:
        """List the rows held; ConfigError where the batch does not divide evenly."""
        size, left = divmod(batch_size, self.process_count)
        if left or not size:
            raise ConfigError(
                f"data.batch_size={batch_size}: is not divisible by"
                f" {self.process_count} processes"
            )
        return np.arange(size, dtype=np.int32) + np.int32(self.process_index * size)


WHOLE = Share()  # all rows in one process


@dataclasses.dataclass(frozen=True)
class Sampler:
    """Training batches as example indices.

    Row i of the batch of `step` is at position p = step * batch_size + i of the
    sequence of shuffled epochs, in epoch p // length: an epoch holds each example
    once, and a batch may span two epochs.
    """

    seed: int
    batch_size: int
    length: int  # examples of the split
    share: Share = WHOLE

    def __post_init__(self):
        self.share.rows(self.batch_size)  # raises before the first batch

    def positions(self, step: int) -> Int64[np.ndarray, " b"]:
        """Positions of this process's rows in the sequence of shuffled epochs."""
        rows = self.share.rows(self.batch_size)
        return int(step) * self.batch_size + rows.astype(np.int64)

    def batch(self, step: int) -> Batch:
        """Compute "index" and "row" of this process's part of the batch of `step`."""
        index = indices_at(self.seed, self.positions(step), length=self.length)
        return {"index": index, "row": self.share.rows(self.batch_size)}

    def batches(self, step: int, k: int) -> Batch:
        """Compute the k batches from `step` on, stacked [k b]."""
        return stacked(self.batch(step + i) for i in range(k))


def eval_batches(
    length: int, *, batch_size: int, share: Share = WHOLE
) -> Iterator[Batch]:
    """Yield "index", "row" and "mask" of batches that hold 0..length-1 exactly once.

    Every process gets equally many batches; rows past the end repeat the last example
    with mask 0.
    """
    rows = share.rows(batch_size)
    for start in range(0, length, batch_size):
        positions = start + rows
        mask = (positions < length).astype(np.float32)
        yield {"index": np.minimum(positions, length - 1), "row": rows, "mask": mask}
