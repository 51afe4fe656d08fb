"""Statistics recomputed after training, against NumPy over all examples at once."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tinytask

from resnet_jax.data.sources.content import Content
from resnet_jax.data.sources.features import Features
from resnet_jax.data.sources.records import Records
from resnet_jax.data.sources.tfds import TfdsSource
from resnet_jax.data.sources.tfrecord import TFRecords
from resnet_jax.models.layers.batchnorm import BatchNorm, NormSpec
from resnet_jax.train import program as programs
from resnet_jax.train.evaluate import errors, over_groups, precise_statistics
from resnet_jax.train.step import StepSpec, Task

BATCHES, BATCH, NOW = 3, 8, NormSpec(momentum=0.0, running_var="biased")


pytestmark = pytest.mark.usefixtures("float64")


class Net(nn.Module):
    """norm(tanh(norm(W x))): what the second sees depends on whom the first groups."""

    norm: NormSpec

    @nn.compact
    def __call__(self, x, *, train):
        x = nn.Dense(5, use_bias=False, param_dtype=float, name="dense")(x)
        x = jnp.tanh(BatchNorm(self.norm, name="first")(x, train=train))
        return BatchNorm(self.norm, name="second")(x, train=train)


def statistics(variables, images, *, rngs, norm=NOW):
    call = functools.partial(Net(norm).apply, train=True, mutable=["batch_stats"])
    return call(variables, images)[1]["batch_stats"]


@pytest.fixture
def images():
    # Batches that differ in mean and scale: the terms between them matter.
    rng = np.random.default_rng(0)
    shift, scale = rng.normal(size=(2, BATCHES * BATCH, 1, 1, 4))
    return shift + np.exp(scale) * rng.normal(size=(BATCHES * BATCH, 3, 3, 4))


def program(task_statistics, *, count=2):
    def init(key):
        return Net(NOW).init(key, jnp.zeros((1, 3, 3, 4)), train=False)

    def preprocess(key, batch, *, train):
        return batch["image"]

    def apply(variables, images, *, train, rngs):
        raise AssertionError("statistics alone are asked for")

    task = Task(init, apply, preprocess, task_statistics, optax.sgd(0.1))
    where = tinytask.devices(count)
    return programs.compiled(task, StepSpec(), spmd="jit", devices=where), where


def recomputed(images, task_statistics):
    """Precise statistics over the batches of all images, and the variables."""
    compiled, where = program(task_statistics)
    state = compiled.init(jnp.uint32(0))
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    rows = np.arange(len(images)).reshape(-1, BATCH)
    batches = (where.spread({"image": images[row], "row": row}, axis=0) for row in rows)
    return precise_statistics(compiled, variables, None, batches), variables


def expected(images, variables, *, group):
    """Mean and variance of the inputs of both norms over all examples."""
    x = images @ np.asarray(variables["params"]["dense"]["kernel"])
    seen = {"first": x}
    g = x.reshape(-1, group, *x.shape[1:])
    mean = g.mean((1, 2, 3), keepdims=True)
    var = g.var((1, 2, 3), keepdims=True)
    seen["second"] = np.tanh((g - mean) / np.sqrt(var + NOW.epsilon)).reshape(x.shape)
    return {
        name: {"mean": x.mean((0, 1, 2)), "var": x.var((0, 1, 2))}
        for name, x in seen.items()
    }


def test_whole_batches(images):
    """Each batch is normalised by itself; the moments are those of all together."""
    stats, variables = recomputed(images, statistics)
    tinytask.assert_close(stats, expected(images, variables, group=BATCH), rtol=1e-12)
    within = expected(images[:BATCH], variables, group=BATCH)
    assert not np.allclose(stats["first"]["var"], within["first"]["var"], rtol=0.1)


@pytest.mark.parametrize("group", [2, 4, 8])
def test_groups_within_batches(group, images):
    stats, variables = recomputed(images, over_groups(statistics, size=group))
    tinytask.assert_close(stats, expected(images, variables, group=group), rtol=1e-12)


def test_other_leaves_are_averaged(images):
    """Caffe's weight, say, which an evaluation never reads."""
    norm = dataclasses.replace(NOW, average="normalised")
    plain, _ = recomputed(images, statistics)
    stats, _ = recomputed(images, functools.partial(statistics, norm=norm))
    assert stats["first"].pop("weight") == stats["second"].pop("weight") == 1
    tinytask.assert_close(stats, plain, rtol=1e-12)


def test_every_batch_draws_noise_anew():
    def noise(variables, images, *, rngs):
        draws = [jax.random.normal(rngs[name]) for name in sorted(rngs)]
        return {"norm": {"mean": jnp.stack(draws), "var": jnp.zeros(2)}}

    compiled, where = program(noise)
    batch = where.spread({"image": np.zeros((8, 3, 3, 4)), "row": np.arange(8)}, axis=0)
    one, again, other = (
        compiled.statistics({}, None, batch, number)["norm"]["mean"]
        for number in (0, 0, 1)
    )
    tinytask.assert_equal(one, again)
    assert (one != other).all()


def test_a_residual_net():
    """As a run makes them: one batch leaves what its own normalisation has used."""
    net = tinytask.trainer({"train.dtype": "float64"}, count=2)
    batch = net.batches(0)
    placed = net.experiment.devices.spread(batch, axis=0)
    variables = {"params": net.state.params, "batch_stats": net.state.batch_stats}
    stats = precise_statistics(net.program, variables, net.data, [placed])
    images = programs.gathered(net.data, batch)
    x = net.experiment.pipeline.preprocess(None, images, train=False)
    kernel = net.state.params["stem_conv"]["kernel"]
    y = jax.lax.conv_general_dilated(
        jnp.float64(x),
        kernel,
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    found = stats["norm_stem"]
    np.testing.assert_allclose(found["mean"], y.mean((0, 1, 2)), atol=1e-7)
    np.testing.assert_allclose(found["var"], y.var((0, 1, 2)), rtol=1e-6)
    assert jax.tree.structure(stats) == jax.tree.structure(variables["batch_stats"])


SOURCE = TfdsSource(
    name="random", version="1", split="train", description="", start=0, length=64,
    features=Features("image", "label", (8, 8, 1), np.dtype(np.uint8), ("0", "1")),
    content=Content("", ()), records=Records("train", (), (), TFRecords((), ())),
)  # fmt: skip


@pytest.mark.parametrize("classes", [5, 6])
def test_top5_error_of_five_classes_is_null(classes):
    """All of them are among the first five, so it would be 0 of any net."""
    made = tinytask.experiment({})
    few = dataclasses.replace(
        made,
        net=dataclasses.replace(made.net, num_classes=classes),
        pipeline=dataclasses.replace(made.pipeline, splits={"train": SOURCE}),
    )
    assert few.loop.top5 == (classes > 5)
    sums = {"n": 4.0, "wrong": 1.0, "wrong5": 0.0, "nll": 2.0}
    found = errors(sums, top5=few.loop.top5)
    assert found["top5_err"] == (0.0 if classes > 5 else None)
    assert (found["n"], found["loss"], found["top1_err"]) == (4, 0.5, 25.0)
