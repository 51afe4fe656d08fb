"""The same numbers on one device and on two, under jit and under pmap."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tinytask

from resnet_jax import experiment
from resnet_jax.train import parallel
from resnet_jax.train.step import example_sums

EXACT = {"train.dtype": "float64"}
BUSY = tinytask.NOISY | EXACT | {"train.ema": 0.9, "train.label_smoothing": 0.1}
SUMS = 1e-6  # kept in float32


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def assert_same(one, other):
    """States and messages that are equal but for the order of sums."""
    (a, said_a), (b, said_b) = one, other
    tinytask.assert_close(a.sums, b.sums, rtol=SUMS)
    same = a.replace(sums=b.sums)
    tinytask.assert_close((same, said_a), (b, said_b), rtol=1e-10)


def test_two_devices_equal_one():
    """With all noise there is, which jit draws for a batch whatever holds it."""
    changes = BUSY | {"model.act": "rrelu", "model.norm.group": 8}
    one, two = (tinytask.trainer(changes, count=n).run(3) for n in (1, 2))
    assert_same(two, one)


@pytest.mark.parametrize(
    ("pmap", "jit"),
    [
        ("global", "global"),
        ("device", 8),  # 16 images on 2 devices
        (4, 4),
    ],
)
def test_pmap_equals_jit_where_batchnorm_sees_the_same(pmap, jit):
    spread = {"train.spmd": "pmap", "model.norm.group": pmap}
    one = tinytask.trainer(BUSY | {"model.norm.group": jit}).run(3)
    two = tinytask.trainer(BUSY | spread, count=2).run(3)
    assert_same(two, one)


def test_pmap_differs_from_jit_where_batchnorm_sees_another_batch():
    one = tinytask.trainer(EXACT | {"model.norm.group": "global"}).run(1)
    spread = {"train.spmd": "pmap", "model.norm.group": "device"}
    two = tinytask.trainer(EXACT | spread, count=2).run(1)
    assert abs(one[1]["loss"][0] - two[1]["loss"][0]) > 1e-4


@pytest.mark.parametrize("spmd", ["jit", "pmap"])
def test_parts_of_a_batch_are_spread_as_well(spmd):
    changes = BUSY | {"train.accumulate": 2, "model.norm.group": 4}
    one = tinytask.trainer(changes).run(2)
    two = tinytask.trainer(changes | {"train.spmd": spmd}, count=2)
    assert_same(two.run(2), one)
    if spmd == "jit":
        # No device computes what another one computes: of 8 images a part, 4 each.
        feeds = two.program.place(two.feeds(0, 1))
        lowered = two.program.steps.lower(two.state, two.data, feeds)
        program = lowered.compile().as_text()
        assert "f64[4,8,8,8]" in program and "f64[8,8,8,8]" not in program


@pytest.mark.parametrize("spmd", ["jit", "pmap"])
def test_many_updates_in_one_call(spmd):
    net = tinytask.trainer(BUSY | {"train.spmd": spmd}, count=2)
    assert_same(net.run(6, k=3), net.run(6))


@pytest.mark.parametrize("spmd", ["jit", "pmap"])
def test_what_is_not_finite_is_left_out_on_all_devices(spmd):
    """One image of one device is poisoned, in the second of three updates."""
    net = tinytask.trainer({"train.spmd": spmd, "train.max_skips": 1}, count=2)
    feeds = {k: x[:, 0] for k, x in streamed(net, steps=3).items()}
    feeds["mask"] = np.ones((3, 16), np.float32)
    feeds["mask"][1, 12] = np.nan
    state, said = net.state, []
    for step in range(3):
        feed = net.program.place({k: x[step : step + 1] for k, x in feeds.items()})
        state, seen = net.program.steps(state, None, feed)
        said.append(jax.device_get(seen))
    assert [bool(s["ok"][0]) for s in said] == [True, False, True]
    assert (state.step, state.skipped, state.sums["n"]) == (3, 1, 32)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(jax.device_get(state)))


def streamed(net, *, steps):
    """The batches of resident arrays as a stream would give them."""
    arrays, feeds = net.opening.feeds.resident["train"], net.feeds(0, steps)
    index = feeds.pop("index")
    return {k: x[:, None] for k, x in (feeds | {n: a[index] for n, a in arrays.items()}).items()}


def test_streamed_batches_equal_resident_ones():
    net = tinytask.trainer(BUSY, count=2)
    resident = net.run(2)
    feeds, state, said = streamed(net, steps=2), net.state, []
    for step in range(2):
        placed = net.program.place({k: x[step] for k, x in feeds.items()})
        state, seen = net.program.steps(state, None, placed)
        said.append(seen)
    said = jax.tree.map(lambda *x: np.concatenate(x), *jax.device_get(said))
    assert_same((jax.device_get(state), said), resident)


def test_order_and_augmentation_know_no_devices():
    """The very images that the network is given."""
    pictures = []
    for count in (1, 2):
        opening = tinytask.opened(tinytask.NOISY, count=count)
        task = dataclasses.replace(
            experiment.make_task(opening), statistics=lambda v, images, rngs: images
        )
        where = opening.devices
        program = parallel.compiled(
            task, tinytask.step_spec(opening.config), spmd="jit", devices=where
        )
        data = where.copied(opening.feeds.resident["train"])
        feeds = opening.feeds.train()(5, 3)
        for step in range(3):
            feed = where.spread({k: x[step] for k, x in feeds.items()}, axis=0)
            pictures.append(np.asarray(program.statistics({}, data, feed, step)))
    np.testing.assert_array_equal(pictures[:3], pictures[3:])
    assert not np.array_equal(pictures[0], pictures[1])


def test_initial_states_are_equal_on_one_and_two_devices():
    states = []
    for count in (1, 2):
        net = tinytask.trainer(EXACT | {"train.ema": 0.9}, count=count)
        states.append(jax.device_get(net.program.init(jnp.uint32(7))))
    tinytask.assert_equal(*states)
    assert states[0].seed == 7 and states[0].step == 0
    tinytask.assert_equal(states[0].ema, states[0].params)
    shapes = jax.tree.map(lambda x: (x.shape, x.dtype), states[0])
    assert shapes == jax.tree.map(lambda x: (x.shape, x.dtype), net.state)


def test_evaluation_counts_each_example_once():
    """64 images in batches of 24: the last one is mostly padding."""
    net = tinytask.trainer(EXACT | {"data.batch_size": 24}, count=2)
    feeds = dataclasses.replace(
        net.opening.feeds,
        splits={"test": None},
        resident={"test": net.opening.feeds.resident["train"]},
    )
    evaluate = feeds.evaluations(
        net.program, net.opening.devices, {"test": net.data}
    )
    variables = {"params": net.state.params, "batch_stats": net.state.batch_stats}
    found = evaluate(variables)
    images = net.opening.feeds.preprocess(None, feeds.resident["test"], train=False)
    logits = net.opening.net.build().apply(variables, images, train=False)
    label = jnp.asarray(feeds.resident["test"]["label"])
    expected = jax.device_get(example_sums(logits, label, jnp.ones(64)))
    assert found.keys() == {"test"} and found["test"]["n"] == 64
    for name, value in expected.items():
        np.testing.assert_allclose(found["test"][name], value, rtol=SUMS)


def test_a_spread_array_is_whole_and_shared():
    where = tinytask.devices(2)
    array = np.arange(24).reshape(2, 6, 2)
    spread = where.spread({"x": array}, axis=1)["x"]
    np.testing.assert_array_equal(spread, array)
    halves = {s.device: np.asarray(s.data) for s in spread.addressable_shards}
    for device, half in zip(jax.devices(), np.split(array, 2, axis=1), strict=True):
        np.testing.assert_array_equal(halves[device], half)
    np.testing.assert_array_equal(
        where.dealt({"x": array})["x"], array.reshape(2, 2, 3, 2)
    )
    assert where.copied(array).sharding.is_fully_replicated
