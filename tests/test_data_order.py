"""The order of examples is a pure function of (seed, step)."""

import numpy as np
import pytest

from resnet_jax.data import sampler as order

GOLDEN = [0, 2, 9, 1, 8, 5, 4, 3, 6, 7]


def stream(seed, steps, *, batch_size, length):
    batches = [
        order.indices(seed, step, batch_size=batch_size, length=length)
        for step in range(steps)
    ]
    return np.concatenate(batches)


@pytest.mark.parametrize("batch_size", [1, 4, 7, 10, 25])
def test_every_epoch_shows_each_example_once(batch_size):
    steps = -(-50 // batch_size)
    seen = stream(3, steps, batch_size=batch_size, length=10)[:50].reshape(5, 10)
    assert (np.sort(seen, axis=1) == np.arange(10)).all()
    assert len({tuple(epoch) for epoch in seen}) == 5, "epochs must differ in order"


def test_the_stream_does_not_depend_on_the_batch_size():
    by_five = stream(1, 6, batch_size=5, length=7)
    assert (by_five == stream(1, 3, batch_size=10, length=7)).all()


def test_a_step_is_found_without_the_steps_before_it():
    whole = stream(0, 9, batch_size=4, length=10).reshape(9, 4)
    order.permutation.cache_clear()
    assert (order.indices(0, 8, batch_size=4, length=10) == whole[8]).all()


def test_seeds_differ_and_the_order_is_the_same_on_every_machine():
    # Written down once: a change here changes every run ever resumed.
    golden = order.indices(0, 0, batch_size=10, length=10)
    assert golden.tolist() == GOLDEN
    assert golden.dtype == np.int32
    assert order.indices(1, 0, batch_size=10, length=10).tolist() != GOLDEN


def test_order_and_decoding_draw_from_different_streams():
    bits = [order.bits(5, 7, stream=s).random_raw(4).tolist() for s in (0, 1)]
    assert bits[0] != bits[1]


def test_epoch_counts_examples():
    assert order.epoch_of(30, batch_size=5, length=100) == 1.5
