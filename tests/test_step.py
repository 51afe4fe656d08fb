"""One update and one evaluation against formulas, and what may not change them."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tinytask

from resnet_jax.train.state import create
from resnet_jax.train.step import (
    StepSpec,
    Task,
    example_sums,
    make_eval_step,
    make_train_step,
)

FEATURES, CLASSES, RATE = 6, 4, 0.5


def linear(**changes):
    """logits = x W, whose every derivative one can write down."""

    def init(key):
        kernel = jax.random.normal(key, (FEATURES, CLASSES))
        return {"params": {"kernel": kernel}, "batch_stats": {"seen": jnp.zeros(())}}

    def apply(variables, images, *, train, rngs):
        stats = {"seen": variables["batch_stats"]["seen"] + 1.0}
        return images @ variables["params"]["kernel"], stats

    def preprocess(key, batch, *, train):
        return batch["image"]

    task = Task(init, apply, preprocess, statistics=apply, tx=optax.sgd(RATE))
    return dataclasses.replace(task, **changes)


def batch_of(n, *, seed=0, mask=None):
    rng = np.random.default_rng(seed)
    return {
        "image": jnp.asarray(rng.normal(size=(n, FEATURES))),
        "label": jnp.asarray(rng.integers(0, CLASSES, n), jnp.int32),
        "mask": jnp.ones(n) if mask is None else jnp.asarray(mask, float),
        "row": jnp.arange(n, dtype=jnp.int32),
    }


def begin(task, *, ema=0.0):
    return create(task.init(jax.random.key(1)), task.tx, seed=jnp.uint32(3), ema=ema)


def after(task, spec, batches):
    """The state after all batches, and what each step has said."""
    step, state, said = jax.jit(make_train_step(task, spec)), begin(task), []
    for batch in batches:
        state, seen = step(state, batch)
        said.append(jax.device_get(seen))
    return state, said


def counted(logits, label, mask):
    """The sums of a batch, example after example, by a stable sort."""
    sums = {"n": 0, "wrong": 0, "wrong5": 0, "nll": 0.0}
    for z, y, m in zip(np.asarray(logits, np.float64), label, mask, strict=True):
        rank = np.argsort(-z, kind="stable").tolist().index(y)
        broken = not np.isfinite(z).all()
        sums["n"] += m
        sums["wrong"] += m * (broken or rank >= 1)
        sums["wrong5"] += m * (broken or rank >= 5)
        sums["nll"] += m * (np.log(np.exp(z - z.max()).sum()) + z.max() - z[y])
    return sums


@pytest.mark.parametrize("classes", [3, 10])
@pytest.mark.parametrize("kind", ["normal", "tied", "constant", "huge"])
def test_example_sums(kind, classes):
    rng = np.random.default_rng(classes)
    logits = {
        "normal": rng.normal(size=(50, classes)),
        "tied": rng.integers(0, 3, (50, classes)),  # few levels, many ties
        "constant": np.zeros((50, classes)),
        "huge": 1e4 * rng.normal(size=(50, classes)),
    }[kind].astype(np.float32)
    label = rng.integers(0, classes, 50).astype(np.int32)
    mask = (rng.random(50) < 0.7).astype(np.float32)
    sums = jax.device_get(example_sums(*map(jnp.asarray, (logits, label, mask))))
    expected = counted(logits, label, mask)
    assert {k: v for k, v in sums.items() if k != "nll"} == {
        k: v for k, v in expected.items() if k != "nll"
    }
    np.testing.assert_allclose(sums["nll"], expected["nll"], rtol=1e-5)


@pytest.mark.parametrize("classes", [3, 10])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_wrong(value, classes):
    logits = np.zeros((4, classes), np.float32)
    logits[1:] = value * np.eye(classes)[:3] if np.isnan(value) else logits[1:]
    logits[1, 0], logits[2, 1] = value, value
    label = jnp.zeros(4, jnp.int32)  # row 1 its own logit, row 2 another, 0 fine
    sums = example_sums(jnp.asarray(logits), label, jnp.array([1.0, 1, 1, 0]))
    assert (sums["n"], sums["wrong"], sums["wrong5"]) == (3, 2, 2)
    assert not np.isfinite(sums["nll"])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_and_gradient_with_smoothed_labels(smoothing, float64):
    task, batch = linear(), batch_of(12)
    state, (said,) = after(task, StepSpec(label_smoothing=smoothing), [batch])
    x, kernel = np.asarray(batch["image"]), begin(task).params["kernel"]
    z = x @ kernel
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    q = np.eye(CLASSES)[batch["label"]] * (1 - smoothing) + smoothing / CLASSES
    np.testing.assert_allclose(said["loss"], -(q * np.log(p)).sum() / 12, rtol=1e-12)
    expected = kernel - RATE * x.T @ (p - q) / 12
    np.testing.assert_allclose(state.params["kernel"], expected, rtol=1e-12)
    # What is logged is the likelihood itself.
    nll = -np.log(p[np.arange(12), batch["label"]]).sum()
    np.testing.assert_allclose(state.sums["nll"], nll, rtol=1e-6)


def test_padding_neither_counts_nor_teaches(float64):
    mask = np.array([1, 1, 0, 1, 0, 1])
    batch = batch_of(6, mask=mask)
    other = batch | {"image": jnp.where(mask[:, None] > 0, batch["image"], 9.0)}
    one, two = (after(linear(), StepSpec(), [b])[0] for b in (batch, other))
    tinytask.assert_equal(one, two)
    assert one.sums["n"] == 4


@pytest.mark.parametrize("parts", [2, 4])
def test_parts_of_a_batch_add_up_to_it(parts, float64):
    batches = [batch_of(16, seed=i) for i in range(3)]
    whole, said = after(linear(), StepSpec(), batches)
    cut, said_cut = after(linear(), StepSpec(accumulate=parts), batches)
    tinytask.assert_close(cut.params, whole.params, rtol=1e-14)
    tinytask.assert_close(cut.sums, whole.sums, rtol=1e-6)
    tinytask.assert_close(said_cut, said, rtol=1e-14)
    assert cut.step == whole.step == 3


@pytest.mark.compile
def test_batchnorm_sees_one_part_at_a_time(float64):
    """Equal to a whole batch of which the rows of each part are one group."""
    changes = tinytask.NOISY | {"train.dtype": "float64", "model.norm.group": 4}
    cut = tinytask.trainer(changes | {"train.accumulate": 4}, units=1)
    whole = tinytask.trainer(changes, units=1)

    def dealt(step, k):
        return {
            name: np.concatenate([x[:, i::4] for i in range(4)], axis=1)
            for name, x in whole.experiment.pipeline.train_batches()(step, k).items()
        }

    object.__setattr__(whole, "batches", dealt)
    (a, said_a), (b, said_b) = cut.run(3), whole.run(3)
    for name in ("params", "opt_state", "sums"):
        tinytask.assert_close(getattr(a, name), getattr(b, name), rtol=1e-12)
    tinytask.assert_close(said_a, said_b, rtol=1e-12)


def test_average_of_parameters(float64):
    """A decay of 0.2 is reached at the third average: 1/10, 2/11, 0.2, 0.2."""
    task, batches = linear(), [batch_of(8, seed=i) for i in range(4)]
    step = jax.jit(make_train_step(task, StepSpec(ema=0.2)))
    state = begin(task, ema=0.2)
    expected = np.asarray(state.params["kernel"])
    tinytask.assert_equal(state.ema, state.variables)
    for batch, decay in zip(batches, (1 / 10, 2 / 11, 0.2, 0.2), strict=True):
        state, _ = step(state, batch)
        expected = decay * expected + (1 - decay) * state.params["kernel"]
        np.testing.assert_allclose(state.ema["params"]["kernel"], expected, rtol=1e-14)
    assert state.eval_variables is state.ema
    plain, _ = after(task, StepSpec(), batches)
    tinytask.assert_equal(plain.params, state.params)
    assert plain.ema is None and plain.eval_variables["params"] is plain.params


@pytest.mark.compile
def test_average_of_batchnorm_statistics(float64):
    net = tinytask.trainer({"train.dtype": "float64", "train.ema": 0.999}, units=1)
    state, expected = net.state, jax.device_get(net.state.variables)
    for t in range(3):
        state, _ = net.run(1, state=state)
        decay = (1 + t) / (10 + t)
        expected = jax.tree.map(
            lambda old, new, d=decay: d * old + (1 - d) * new,
            expected,
            state.variables,
        )
    tinytask.assert_close(state.ema, expected, rtol=1e-13)
    pairs = zip(
        jax.tree.leaves(state.ema["batch_stats"]),
        jax.tree.leaves(state.batch_stats),
        strict=True,
    )
    assert not any(np.allclose(average, last) for average, last in pairs)


def inf_image(batch):
    return batch | {"image": batch["image"].at[2, 1].set(jnp.inf)}


def test_an_update_that_is_not_finite_is_left_out():
    task = linear(tx=optax.adam(0.1))
    good = [batch_of(8, seed=i) for i in range(3)]
    bad = [good[0], inf_image(good[1]), good[2]]
    state, said = after(task, StepSpec(max_nonfinite=1), bad)
    without, _ = after(task, StepSpec(), [good[0], good[2]])
    assert [bool(s["ok"]) for s in said] == [True, False, True]
    assert [int(s["skipped"]) for s in said] == [0, 1, 1]
    assert not np.isfinite(said[1]["loss"])
    assert state.step == 3 and state.skipped == 1
    tinytask.assert_equal(
        state, without.replace(step=state.step, skipped=state.skipped)
    )


def test_past_max_nonfinite_the_state_freezes():
    task = linear()
    batches = [batch_of(8, seed=i) for i in range(5)]
    batches[1:3] = map(inf_image, batches[1:3])
    frozen, said = after(task, StepSpec(max_nonfinite=1), batches)
    before, _ = after(task, StepSpec(max_nonfinite=1), batches[:2])
    assert [bool(s["ok"]) for s in said] == [True, False, False, False, False]
    assert frozen.step == before.step == 2
    assert frozen.skipped > 1 and np.isfinite(said[4]["loss"])
    tinytask.assert_equal(frozen.replace(skipped=before.skipped), before)


@jax.custom_vjp
def poisoned(x):
    return x


poisoned.defvjp(lambda x: (x, None), lambda _, g: (g * jnp.nan,))


def test_a_gradient_or_statistic_that_is_not_finite_is_left_out():
    def gradient(variables, images, *, train, rngs):
        return images @ poisoned(variables["params"]["kernel"]), {"seen": jnp.ones(())}

    def statistic(variables, images, *, train, rngs):
        return images @ variables["params"]["kernel"], {"seen": jnp.array(jnp.inf)}

    for apply in (gradient, statistic):
        task = linear(apply=apply)
        state, (said,) = after(task, StepSpec(), [batch_of(8)])
        assert np.isfinite(said["loss"]) and not said["ok"]
        tinytask.assert_equal(state, begin(task).replace(skipped=state.skipped))
        assert state.skipped == 1


def test_evaluation_takes_what_it_is_given(float64):
    """No noise, the mask, the variables; nothing of a state."""
    task, batch = linear(), batch_of(10, mask=[1] * 7 + [0] * 3)
    variables = task.init(jax.random.key(5))
    sums = jax.jit(make_eval_step(task))(variables, batch)
    logits = batch["image"] @ variables["params"]["kernel"]
    expected = counted(logits, np.asarray(batch["label"]), np.asarray(batch["mask"]))
    for name, value in expected.items():
        np.testing.assert_allclose(sums[name], value, rtol=1e-6)


@pytest.mark.compile
def test_equal_states_and_batches_give_equal_bits():
    """With all noise there is: augmentation, dropped paths, RReLU."""
    noisy = tinytask.trainer(tinytask.NOISY | {"model.act": "rrelu"})
    (one, said), (two, said_two) = noisy.run(3), noisy.run(3)
    tinytask.assert_equal((one, said), (two, said_two))
    # The noise belongs to the step: the same batch at another step differs.
    _, other = noisy.run(1, state=noisy.state.replace(step=jnp.int32(7)))
    assert other["loss"][0] != said["loss"][0]
    _, other = noisy.run(1, state=noisy.state.replace(seed=jnp.uint32(1)))
    assert other["loss"][0] != said["loss"][0]


# Moving averages are what an evaluation sees: they must have arrived as well.
@pytest.mark.compile
def test_learns_64_random_images_by_heart():
    net = tinytask.trainer({"data.batch_size": 64, "optim.weight_decay": 0.0})
    state, _ = net.run(150)
    state, said = net.run(20, state=state.replace(sums=begin(linear()).sums))
    assert (state.step, state.sums["n"], state.sums["wrong"]) == (170, 1280, 0)
    assert said["loss"][-1] < 0.1
    feed = net.experiment.devices.spread(
        {"index": np.arange(64), "row": np.arange(64)}, axis=0
    )
    sums = net.program.evaluate(state.eval_variables, net.data, feed)
    assert (sums["n"], sums["wrong"]) == (64, 0)


@pytest.mark.compile
def test_bfloat16_arithmetic_keeps_float32_numbers():
    changes = {"train.dtype": "bfloat16", "train.ema": 0.9, "data.batch_size": 64}
    net = tinytask.trainer(changes | {"optim.weight_decay": 0.0})
    state, said = net.run(40)
    trees = (state.params, state.batch_stats, state.opt_state, state.ema, state.sums)
    floats = [x for x in jax.tree.leaves(trees) if np.issubdtype(x.dtype, np.floating)]
    assert {x.dtype for x in floats} == {np.dtype("float32")}
    assert len(floats) > 3 * len(jax.tree.leaves(state.params))
    assert said["loss"].dtype == np.float32
    assert said["loss"][-5:].mean() < 0.8 * said["loss"][:5].mean()
    apply = functools.partial(net.experiment.net.build().apply, train=False)
    program = jax.make_jaxpr(apply)(state.eval_variables, jnp.zeros((2, 8, 8, 1)))
    assert "bf16[2,8,8,8]" in str(program)
    assert program.out_avals[0].dtype == np.float32


@pytest.mark.compile
def test_float64_throughout(float64):
    net = tinytask.trainer({"train.dtype": "float64", "train.ema": 0.9})
    state, said = net.run(1)
    trees = (state.params, state.batch_stats, state.opt_state, state.ema, said["loss"])
    floats = [x for x in jax.tree.leaves(trees) if np.issubdtype(x.dtype, np.floating)]
    assert {x.dtype for x in floats} == {np.dtype("float64")}
    assert {x.dtype for x in state.sums.values()} == {np.dtype("float32")}


@pytest.mark.compile
@pytest.mark.parametrize("dialect", ["torch", "caffe", "tensorflow"])
def test_a_net_trains_with_the_statistics_of_any_dialect(dialect):
    """Those of Caffe have a weight, which is there before the first step."""
    net = tinytask.trainer({"model.norm.dialect": dialect}, units=1)
    state, seen = net.run(2)
    assert seen["ok"].all()
    held = {
        path[-1].key
        for path, _ in jax.tree_util.tree_leaves_with_path(state.batch_stats)
    }
    assert held == {"mean", "var"} | ({"weight"} if dialect == "caffe" else set())
    images = np.zeros((4, 8, 8, 1), np.float32)
    logits = net.experiment.net.build().apply(state.variables, images, train=False)
    assert np.isfinite(logits).all()
