"""The same numbers on one device and on two, under jit and under pmap."""

import dataclasses
import functools
import os
import pathlib
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tinytask

from resnet_jax.data.sources.content import Content
from resnet_jax.data.sources.features import Features
from resnet_jax.data.sources.records import Records
from resnet_jax.data.sources.tfds import TfdsSource
from resnet_jax.data.sources.tfrecord import TFRecords
from resnet_jax.train import program as programs
from resnet_jax.train.evaluate import evaluations, no_check
from resnet_jax.train.step import StepSpec, example_sums
from resnet_jax.train.task import make_task

EXACT = {"train.dtype": "float64"}
# All that a step does but the noise, which pmap draws for each device by itself.
BUSY = {
    "train.ema": 0.9,
    "train.label_smoothing": 0.1,
    "train.max_nonfinite_updates": 1,
    **EXACT,
    **tinytask.NOISY,
}
SUMS = 1e-6  # kept in float32


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


@functools.cache
def trainer(count, spmd, group, **changes):
    """Compiled once for all tests."""
    fields = {f"train.{name}": value for name, value in changes.items()}
    busy = BUSY | {"train.spmd": spmd, "model.norm.group": group}
    return tinytask.trainer(busy | fields, count=count, units=1)


@functools.cache
def three_updates(*args):
    return trainer(*args).run(3)


def assert_same(one, other):
    """States and messages that are equal but for the order of sums."""
    (a, said_a), (b, said_b) = one, other
    tinytask.assert_close(a.sums, b.sums, rtol=SUMS)
    same = a.replace(sums=b.sums)
    tinytask.assert_close((same, said_a), (b, said_b), rtol=1e-10)


@pytest.mark.compile
def test_two_devices_equal_one():
    """With noise as well, which jit draws for a batch whatever holds it."""
    noisy = BUSY | {"model.act": "rrelu", "model.norm.group": 4}
    one, two = (tinytask.trainer(noisy, count=n, units=1).run(3) for n in (1, 2))
    assert_same(two, one)


@pytest.mark.compile
@pytest.mark.parametrize(
    ("pmap", "jit"),
    [
        ("device", 8),  # 16 images on 2 devices
        ("global", "global"),
        (4, 4),
    ],
)
def test_pmap_equals_jit_where_batchnorm_sees_the_same(pmap, jit):
    assert_same(three_updates(2, "pmap", pmap), three_updates(1, "jit", jit))


@pytest.mark.compile
def test_pmap_differs_from_jit_where_batchnorm_sees_another_batch():
    one, two = three_updates(1, "jit", "global"), three_updates(2, "pmap", "device")
    assert abs(one[1]["loss"] - two[1]["loss"]).max() > 1e-3


@pytest.mark.compile
@pytest.mark.parametrize("spmd", ["jit", "pmap"])
def test_parts_of_a_batch_are_spread_as_well(spmd):
    one = trainer(1, "jit", 4, accumulate=2)
    two = trainer(2, spmd, 4, accumulate=2)
    if spmd == "pmap":
        assert_same(two.run(2), one.run(2))
        return
    batches = two.program.place(two.batches(0, 1))
    lowered = two.program.steps.lower(two.state, two.data, batches, 1)
    text = lowered.compile().as_text()
    # No device computes what another one computes: of 8 images a part, 4 each.
    assert "f64[4,8,8,8]" in text and "f64[8,8,8,8]" not in text
    assert_same(two.run(2), one.run(2))


@pytest.mark.compile
@pytest.mark.parametrize("spmd", ["jit", "pmap"])
def test_many_updates_in_one_call(spmd):
    net = trainer(2, spmd, "global")
    assert_same(net.run(3, k=3), three_updates(2, spmd, "global"))


@pytest.mark.compile
@pytest.mark.parametrize("spmd", ["jit", "pmap"])
def test_calls_that_are_not_full_are_the_same_bit_for_bit(spmd):
    net = trainer(2, spmd, "global")
    whole, _ = net.run(3, k=3)
    state = net.experiment.devices.replicate(jax.tree.map(jnp.copy, net.state))
    for step, count in ((0, 1), (1, 2)):
        batches = net.program.padded(net.batches(step, count), 3)
        assert {len(x) for x in jax.tree.leaves(batches)} == {3}
        batches = net.program.place(batches)
        state, seen = net.program.steps(state, net.data, batches, count)
        np.testing.assert_array_equal(seen["ok"], np.arange(3) < count)
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(state), whole)


@pytest.mark.compile
@pytest.mark.parametrize("spmd", ["jit", "pmap"])
def test_streamed_batches_equal_resident_ones(spmd):
    net = trainer(2, spmd, "global")
    state, said = streamed(net, [batch_of(net, step) for step in range(3)])
    assert_same((state, said), three_updates(2, spmd, "global"))


@pytest.mark.parametrize("spmd", ["jit", "pmap"])
def test_what_is_not_finite_is_left_out_on_all_devices(spmd):
    """One image of one device is poisoned, in the second of three updates."""
    net = trainer(2, spmd, "global")
    batches = [batch_of(net, step) for step in range(3)]
    batches[1]["mask"][0, 12] = np.nan
    state, said = streamed(net, batches)
    assert said["ok"].tolist() == [True, False, True]
    assert (state.step, state.skipped, state.sums["n"]) == (3, 1, 32)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(state))


def batch_of(net, step):
    """A resident batch as a stream would give it."""
    batch, arrays = net.batches(step, 1), net.experiment.pipeline.resident["train"]
    index = batch.pop("index")
    batch |= {name: array[index] for name, array in arrays.items()}
    return batch | {"mask": np.ones(index.shape, np.float32)}


def streamed(net, batches):
    """(state, what was said) after these batches, without resident arrays."""
    state = net.experiment.devices.replicate(jax.tree.map(jnp.copy, net.state))
    said = []
    for batch in batches:
        state, seen = net.program.steps(state, None, net.program.place(batch), 1)
        said.append(seen)
    said = jax.tree.map(lambda *x: np.concatenate(x), *jax.device_get(said))
    return jax.device_get(state), said


def test_order_and_augmentation_know_no_devices():
    """The very images that the network is given."""
    pictures = []
    for count in (1, 2):
        made = tinytask.experiment(tinytask.NOISY, count=count, units=1)
        task = dataclasses.replace(
            make_task(made), statistics=lambda v, images, rngs: images
        )
        where = made.devices
        program = programs.compiled(task, StepSpec(), spmd="jit", devices=where)
        data = where.replicate(made.pipeline.resident["train"])
        batches = made.pipeline.train_batches()(5, 3)
        for step in range(3):
            batch = where.spread({k: x[step] for k, x in batches.items()}, axis=0)
            pictures.append(np.asarray(program.statistics({}, data, batch, step)))
    np.testing.assert_array_equal(pictures[:3], pictures[3:])
    assert not np.array_equal(pictures[0], pictures[1])


def test_initial_states_are_equal_on_one_and_two_devices():
    states = []
    for count in (1, 2):
        net = tinytask.trainer(EXACT | {"train.ema": 0.9}, count=count, units=1)
        states.append(jax.device_get(net.program.init(jnp.uint32(7))))
    tinytask.assert_equal(*states)
    assert states[0].seed == 7 and states[0].step == 0
    tinytask.assert_equal(states[0].ema, states[0].variables)
    shapes = jax.tree.map(lambda x: (x.shape, x.dtype), states[0])
    assert shapes == jax.tree.map(lambda x: (x.shape, x.dtype), net.state)


def test_evaluation_counts_each_example_once():
    """64 images in batches of 24: the last one is mostly padding."""
    net = tinytask.trainer(EXACT | {"data.batch_size": 24}, count=2, units=1)
    features = Features(
        "image", "label", (8, 8, 1), np.dtype(np.uint8), tuple(map(str, range(10)))
    )
    source = TfdsSource(
        name="random", version="1", split="test", features=features,
        description="", start=0, length=64, content=Content("", ()),
        records=Records("test", (), (), TFRecords((), ())),
    )  # fmt: skip
    pipeline = dataclasses.replace(
        net.experiment.pipeline,
        splits={"test": source},
        resident={"test": net.experiment.pipeline.resident["train"]},
    )
    evaluate = evaluations(pipeline, net.program, {"test": net.data})
    variables = {"params": net.state.params, "batch_stats": net.state.batch_stats}
    found = evaluate(variables, no_check)
    images = net.experiment.pipeline.preprocess(
        None, pipeline.resident["test"], train=False
    )
    logits = net.experiment.net.build().apply(variables, images, train=False)
    label = jnp.asarray(pipeline.resident["test"]["label"])
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
        where.split_for_pmap({"x": array})["x"], array.reshape(2, 2, 3, 2)
    )
    assert where.replicate(array).sharding.is_fully_replicated


MANY = """
    import jax, numpy as np, tinytask

    net = tinytask.trainer({"data.batch_size": 64}, count=2)
    devices = net.experiment.devices
    data = devices.replicate(tinytask.images(shape=(64, 64, 1)))
    rows = {"index": np.arange(64), "row": np.arange(64)}
    batch = devices.spread(rows, axis=0)
    state = jax.device_put(net.state, devices.replicated)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    sums = [net.program.evaluate(variables, data, batch) for _ in range(100)]
    assert {int(one["n"]) for one in jax.device_get(sums)} == {64}
"""


@pytest.mark.process
def test_devices_of_a_cpu_do_not_wait_for_each_other_for_ever():
    """A hundred evaluations at once; where they overlap XLA ends the process."""
    folder = pathlib.Path(__file__).parent
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MANY)], cwd=folder, check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(folder.parent), "."])},
    )  # fmt: skip
