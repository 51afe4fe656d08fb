"""The order of examples is a pure function of (seed, step)."""

import numpy as np
import pytest

from resnet_jax.data import sampler
from resnet_jax.data.sampler import Sampler, Share
from resnet_jax.errors import ConfigError

GOLDEN = [0, 2, 9, 1, 8, 5, 4, 3, 6, 7]


def indices(seed, step, *, batch_size, length):
    return Sampler(seed, batch_size, length).batch(step)["index"]


def sequence(seed, steps, *, batch_size, length):
    batches = [
        indices(seed, step, batch_size=batch_size, length=length)
        for step in range(steps)
    ]
    return np.concatenate(batches)


@pytest.mark.parametrize("batch_size", [1, 4, 7, 10, 25])
def test_every_epoch_shows_each_example_once(batch_size):
    steps = -(-50 // batch_size)
    seen = sequence(3, steps, batch_size=batch_size, length=10)[:50].reshape(5, 10)
    assert (np.sort(seen, axis=1) == np.arange(10)).all()
    assert len({tuple(epoch) for epoch in seen}) == 5, "epochs must differ in order"


def test_the_order_does_not_depend_on_the_batch_size():
    by_five = sequence(1, 6, batch_size=5, length=7)
    assert (by_five == sequence(1, 3, batch_size=10, length=7)).all()


def test_a_step_is_found_without_the_steps_before_it():
    whole = sequence(0, 9, batch_size=4, length=10).reshape(9, 4)
    sampler.permutation.cache_clear()
    assert (indices(0, 8, batch_size=4, length=10) == whole[8]).all()


def test_seeds_differ_and_the_order_is_the_same_on_every_machine():
    # Written down once: a change here changes every run ever resumed.
    golden = indices(0, 0, batch_size=10, length=10)
    assert golden.tolist() == GOLDEN
    assert golden.dtype == np.int32
    assert indices(1, 0, batch_size=10, length=10).tolist() != GOLDEN


def test_order_and_crops_draw_from_different_streams():
    streams = (sampler.ORDER_STREAM, sampler.CROP_STREAM)
    bits = [sampler.random_bits(5, 7, stream=s).random_raw(4).tolist() for s in streams]
    assert bits[0] != bits[1]


@pytest.mark.parametrize("count", [2, 3, 6])
def test_processes_share_the_global_batch(count):
    whole = Sampler(1, 12, 41)
    parts = [Sampler(1, 12, 41, Share(k, count)) for k in range(count)]
    for step in (0, 3, 1000):
        batch, shares = whole.batch(step), [part.batch(step) for part in parts]
        assert batch.keys() == {"index", "row"}
        for name, expected in batch.items():
            assert expected.dtype == np.int32
            joined = np.concatenate([share[name] for share in shares])
            np.testing.assert_array_equal(joined, expected)
        assert batch["row"].tolist() == list(range(12))


def test_a_batch_that_processes_cannot_share():
    with pytest.raises(ConfigError, match=r"data.batch_size=16: is not divisible by 3"):
        Sampler(0, 16, 9, Share(0, 3))


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [6, 12])
def test_evaluation_counts_every_example_once(batch_size, count):
    parts = [
        list(sampler.eval_batches(10, batch_size=batch_size, share=Share(k, count)))
        for k in range(count)
    ]
    assert len({len(part) for part in parts}) == 1, "processes must keep in step"
    joined = {
        name: np.concatenate(
            [b[name] for step in zip(*parts, strict=True) for b in step]
        )
        for name in ("index", "mask")
    }
    assert len(joined["mask"]) == -(-10 // batch_size) * batch_size
    assert joined["index"][joined["mask"] == 1].tolist() == list(range(10))
    assert (joined["index"][joined["mask"] == 0] == 9).all()
