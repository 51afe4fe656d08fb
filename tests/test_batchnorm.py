"""Batch normalisation against NumPy: groups, dialects, meshes, pmap, low precision."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.batchnorm import (
    CAFFE,
    TENSORFLOW,
    TORCH,
    BatchNorm,
    NormSpec,
)
from resnet_jax.train.experiment import prepare

B, C = 8, 3


def images(seed=0, shape=(B, 4, 4, C)):
    return np.random.default_rng(seed).normal(2.0, 3.0, shape)


def variables(spec, dtype=np.float32):
    """A norm before its first step, with scale and bias that show."""
    x = jax.ShapeDtypeStruct((1, C), dtype)
    init = functools.partial(BatchNorm(spec).init, train=False)
    shapes = jax.eval_shape(init, jax.random.key(0), x)
    full = {"scale": [0.5, 1.0, 2.0], "bias": [1.0, 0.0, -1.0], "mean": 0.0, "var": 1.0}
    full |= {"weight": 0.0}  # of Caffe's averages
    return {
        collection: {name: jnp.full(leaf.shape, jnp.asarray(full[name]), leaf.dtype)
                     for name, leaf in leaves.items()}
        for collection, leaves in shapes.items()
    }  # fmt: skip


def run(spec, held, x):
    """Normalised x and the new running statistics, in train mode."""
    y, changed = BatchNorm(spec).apply(held, x, train=True, mutable=["batch_stats"])
    return y, changed["batch_stats"]


def normalised(x, group, epsilon=1e-5):
    """Each group of consecutive examples by its own mean and biased variance."""
    scale, bias = np.array([0.5, 1.0, 2.0]), np.array([1.0, 0.0, -1.0])
    parts = []
    for part in np.split(x, len(x) // group):
        mean, var = moments(part)
        parts.append(scale * (part - mean) / np.sqrt(var + epsilon) + bias)
    return np.concatenate(parts)


def moments(x):
    mean = x.mean(axis=tuple(range(x.ndim - 1)))
    return mean, ((x - mean) ** 2).mean(axis=tuple(range(x.ndim - 1)))


def running(x, group):
    """Mean and unbiased variance of a group, averaged over groups."""
    parts = [moments(part) for part in np.split(x, len(x) // group)]
    n = group * x[0, ..., 0].size
    mean, var = np.mean(parts, axis=0)
    return mean, var * n / (n - 1)


close = functools.partial(np.testing.assert_allclose, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("group", [None, 1, 2, 4, 8])
@pytest.mark.parametrize("shape", [(B, 4, 4, C), (B, 2, 4, 4, C), (B, 5, C)])
def test_groups(group, shape):
    spec = dataclasses.replace(TORCH, group=group)
    x = images(shape=shape)
    y, stats = run(spec, variables(spec), jnp.asarray(x, jnp.float32))
    close(y, normalised(x, group or B))
    mean, var = running(x, group or B)
    close(stats["mean"], 0.1 * mean)
    close(stats["var"], 0.9 + 0.1 * var)


def test_groups_do_not_see_each_other():
    spec = dataclasses.replace(TORCH, group=4)
    held = variables(spec)

    def first_group(x):
        y, _ = run(spec, held, x)
        return jnp.square(y[:4]).sum() + y[0].sum()

    gradient = jax.grad(first_group)(jnp.asarray(images(), jnp.float32))
    assert np.abs(gradient[:4]).max() > 1e-3
    np.testing.assert_array_equal(gradient[4:], 0.0)


def test_group_must_divide_the_batch():
    spec = dataclasses.replace(TORCH, group=3)
    with pytest.raises(ConfigError, match=r"^model\.norm\.group=3: .* batch of 8"):
        run(spec, variables(spec), jnp.ones((B, C)))


# ---------------------------------------------------------------- dialects


def torch_average(batches):
    """nn.BatchNorm: 0.9 running + 0.1 new, from 0 and 1; unbiased variance."""
    mean, var = np.zeros(C), np.ones(C)
    for x in batches:
        new_mean, new_var = running(x, B)
        mean, var = 0.9 * mean + 0.1 * new_mean, 0.9 * var + 0.1 * new_var
    return mean, var


def caffe_average(batches):
    """batch_norm_layer.cpp: sums decay by 0.999, and are divided by their weight."""
    mean, var, weight = np.zeros(C), np.zeros(C), 0.0
    for x in batches:
        new_mean, new_var = running(x, B)
        mean, var = 0.999 * mean + new_mean, 0.999 * var + new_var
        weight = 0.999 * weight + 1
    return mean / weight, var / weight


def keras_average(batches):
    """keras.layers.BatchNormalization: momentum 0.99, biased variance."""
    mean, var = np.zeros(C), np.ones(C)
    for x in batches:
        new_mean, new_var = moments(x)
        mean, var = 0.99 * mean + 0.01 * new_mean, 0.99 * var + 0.01 * new_var
    return mean, var


DIALECTS = {
    "torch": (TORCH, torch_average, 1e-5),
    "caffe": (CAFFE, caffe_average, 1e-5),
    "tensorflow": (TENSORFLOW, keras_average, 1e-3),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_dialects_over_three_steps(name):
    spec, average, epsilon = DIALECTS[name]
    batches, held = [images(seed) for seed in range(3)], variables(spec)
    for x in batches:
        y, held["batch_stats"] = run(spec, held, jnp.asarray(x, jnp.float32))
        close(y, normalised(x, B, epsilon))
    mean, var = average(batches)
    close(held["batch_stats"]["mean"], mean)
    close(held["batch_stats"]["var"], var)
    x = images(7)
    y = BatchNorm(spec).apply(held, jnp.asarray(x, jnp.float32), train=False)
    scale, bias = np.array([0.5, 1.0, 2.0]), np.array([1.0, 0.0, -1.0])
    close(y, scale * (x - mean) / np.sqrt(var + epsilon) + bias)


def test_epsilon_is_inside_the_root():
    """Channels that hardly vary show where epsilon stands."""
    x = images() * 1e-3
    for spec, _, epsilon in DIALECTS.values():
        y, _ = run(spec, variables(spec), jnp.asarray(x, jnp.float32))
        close(y, normalised(x, B, epsilon))


# ---------------------------------------------------------------- numbers


def test_large_means_do_not_swallow_the_variance():
    """E[(x - mean)^2], not E[x^2] - mean^2, which has no digits left here."""
    x = (1000 + images() / 30).astype(np.float32)
    y, stats = run(TORCH, variables(TORCH), jnp.asarray(x))
    np.testing.assert_allclose(y, normalised(x.astype(float), B), rtol=0.01, atol=0.01)
    np.testing.assert_allclose(
        stats["var"], 0.9 + 0.1 * running(x.astype(float), B)[1], rtol=1e-5
    )


@pytest.mark.parametrize("train", [False, True])
def test_bfloat16_keeps_statistics_in_float32(train):
    """Only the output is rounded; moments are those of the float32 numbers."""
    held = variables(TORCH, jnp.bfloat16)
    x = jnp.asarray(images(), jnp.bfloat16)
    apply = functools.partial(
        BatchNorm(TORCH).apply, held, train=train, mutable=["batch_stats"]
    )
    (y, low), (expected, wide) = apply(x), apply(x.astype(jnp.float32))
    assert y.dtype == jnp.bfloat16
    kept = {leaf.dtype for leaf in jax.tree.leaves((held, low))}
    assert kept == {jnp.dtype("float32")}
    np.testing.assert_array_equal(y, expected.astype(jnp.bfloat16))
    jax.tree.map(np.testing.assert_array_equal, low, wide)


def test_evaluation_leaves_statistics_alone():
    held = variables(TORCH)
    x = jnp.asarray(images(), jnp.float32)
    _, changed = BatchNorm(TORCH).apply(held, x, train=False, mutable=["batch_stats"])
    kept = {"batch_stats": held["batch_stats"]}
    jax.tree.map(np.testing.assert_array_equal, changed, kept)


# ---------------------------------------------------------------- more than one device


def step(spec, held, x, weights):
    """Output, statistics, and the gradient by x of a sum that weighs every output."""

    def loss(x):
        y, stats = run(spec, held, x)
        return jnp.sum(weights * y), (y, stats)

    gradient, (y, stats) = jax.grad(loss, has_aux=True)(x)
    return y, stats, gradient


def data():
    x, weights = images(), images(1)
    return jnp.asarray(x, jnp.float32), jnp.asarray(weights, jnp.float32)


def same(a, b):
    near = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)
    jax.tree.map(near, a, b)


@pytest.mark.parametrize("group", [None, 8, 4, 2])
def test_mesh_equals_one_device(group):
    """The batch over two devices under jit; groups that cross devices or do not."""
    spec = dataclasses.replace(TORCH, group=group)
    held = variables(spec)
    mesh = Mesh(np.array(jax.devices()), ("data",))
    assert mesh.size == 2
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    compiled = jax.jit(functools.partial(step, spec, held))
    spread = compiled(*(jax.device_put(array, sharding) for array in data()))
    assert spread[0].sharding.is_equivalent_to(sharding, ndim=4)
    same(spread, compiled(*data()))


def spread_by_pmap(spec, held):
    """The same step on halves of the batch; statistics of each device."""
    halves = [array.reshape(2, B // 2, *array.shape[1:]) for array in data()]
    mapped = jax.pmap(functools.partial(step, spec, held), axis_name=spec.axis_name)
    y, stats, gradient = mapped(*halves)
    for leaf in jax.tree.leaves(stats):  # kept equal on all devices
        np.testing.assert_array_equal(leaf[0], leaf[1])
    stats = jax.tree.map(lambda leaf: leaf[0], stats)
    return y.reshape(B, 4, 4, C), stats, gradient.reshape(B, 4, 4, C)


@pytest.mark.parametrize("dialect", [TORCH, CAFFE, TENSORFLOW])
def test_pmap_over_the_whole_batch_equals_jit(dialect):
    held = variables(dialect)
    spec = dataclasses.replace(dialect, axis_name="devices")
    same(spread_by_pmap(spec, held), step(dialect, held, *data()))


@pytest.mark.parametrize("group", [4, 2])
def test_pmap_with_groups_of_a_device_equals_jit_with_that_group(group):
    held = variables(TORCH)
    spec = NormSpec(group=group, axis_name="devices")
    same(spread_by_pmap(spec, held), step(NormSpec(group=group), held, *data()))


def test_a_norm_over_one_value_is_refused():
    norm = BatchNorm(NormSpec(group=1))
    x = jnp.zeros((4, 1, 1, 3))
    with pytest.raises(ConfigError, match="group=1: BatchNorm over one value per chan"):
        norm.init(jax.random.key(0), x, train=True)
    norm.init(jax.random.key(0), x, train=False)
    norm.init(jax.random.key(0), jnp.zeros((4, 1, 2, 3)), train=True)
    with pytest.raises(ConfigError, match=r"group='?global'?: .* a map of 1x1; make"):
        BatchNorm(NormSpec()).init(jax.random.key(0), x[:1], train=True)


def test_one_example_may_be_a_group_where_maps_have_pixels(shop):
    """Units that stochastic depth may skip are looked at as well."""
    fields = {"data.batch_size": 2, "model.norm.group": 1}
    drop = {"model.unit.stochastic_depth": "drop"}
    prepare(shop.config(fields))
    prepare(shop.config(fields | drop))
