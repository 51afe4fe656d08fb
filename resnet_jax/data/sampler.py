"""Sample order: the examples of a step, as a pure function of (seed, step)."""

import functools

import numpy as np

# One Philox key (seed, n) serves several purposes; the top word of its counter keeps
# their streams apart.
ORDER_STREAM, DECODE_STREAM = 0, 1


def bits(seed: int, n: int, *, stream: int) -> np.random.Philox:
    """Counter-based random bits: equal arguments give equal bits on every machine."""
    return np.random.Philox(key=[seed, n], counter=[0, 0, 0, stream])


@functools.lru_cache(maxsize=2)  # a batch touches two epochs at most times
def permutation(seed: int, epoch: int, length: int) -> np.ndarray:
    """The order of one epoch.

    Sorting raw bits, not `Generator.permutation`: NumPy freezes the bits of Philox for
    ever, but not the streams of its Generator methods (NEP 19).
    """
    raw = bits(seed, epoch, stream=ORDER_STREAM).random_raw(length)
    order = np.argsort(raw, kind="stable").astype(np.int32)
    order.flags.writeable = False
    return order


def at(seed: int, positions: np.ndarray, *, length: int) -> np.ndarray:
    """Example indices at positions of the stream of epochs laid end to end."""
    epochs, offsets = np.divmod(np.asarray(positions, np.int64), length)
    out = np.empty(len(offsets), np.int32)
    for epoch in np.unique(epochs):
        inside = epochs == epoch
        out[inside] = permutation(seed, int(epoch), length)[offsets[inside]]
    return out


def indices(seed: int, step: int, *, batch_size: int, length: int) -> np.ndarray:
    """Example indices int32 [batch_size] of the global batch of `step`.

    Row i sits at position p = step * batch_size + i of the stream, in epoch
    p // length: an epoch shows each example once, and no example is dropped.
    """
    start = int(step) * batch_size
    return at(seed, np.arange(start, start + batch_size), length=length)


def epoch_of(step: int, *, batch_size: int, length: int) -> float:
    """Epochs seen after `step` updates."""
    return step * batch_size / length
