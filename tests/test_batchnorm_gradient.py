"""The closed form of BatchNorm's gradient against JAX's own of the plain formula."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.models.layers.batchnorm import TORCH, normalise


def plain(spec, x, scale, bias):
    axes = tuple(range(1, x.ndim - 1))
    mean = x.mean(axes, keepdims=True)
    var = jnp.square(x - mean).mean(axes, keepdims=True)
    one = (1,) * (x.ndim - 1)
    z = (x - mean) * jax.lax.rsqrt(var + spec.epsilon)
    return z * scale.reshape(*one, -1) + bias.reshape(*one, -1), mean, var


@pytest.mark.parametrize("groups", [1, 3])
def test_gradients_of_y_mean_and_variance(groups):
    rng = np.random.default_rng(0)
    spec = dataclasses.replace(TORCH, group=4)
    with jax.enable_x64(True):
        x = jnp.asarray(rng.normal(2.0, 3.0, (groups, 4, 5, 6, 7)))
        scale, bias = jnp.asarray(rng.normal(size=(2, 7)))

        def loss(norm):
            def run(*operands):
                return sum((jnp.sin(t) * t).sum() for t in norm(spec, *operands))

            return jax.grad(run, argnums=(0, 1, 2))(x, scale, bias)

        for got, want in zip(loss(normalise), loss(plain), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-11)


def test_far_from_zero_float32_keeps_its_digits():
    rng = np.random.default_rng(0)
    x = jnp.asarray(1e3 + rng.normal(size=(1, 16, 8, 8, 3)), jnp.float32)
    _, _, var = normalise(TORCH, x, jnp.ones(3), jnp.zeros(3))
    want = np.asarray(x, np.float64).var(axis=(0, 1, 2, 3))
    np.testing.assert_allclose(var.ravel(), want, rtol=1e-4)


def test_under_pmap_over_all_devices():
    spec = dataclasses.replace(TORCH, axis_name="data")
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(1.0, 2.0, (2, 1, 4, 5, 3)), jnp.float32)
    weight = jnp.asarray(rng.normal(size=x.shape), jnp.float32)
    one, zero = jnp.ones(3), jnp.zeros(3)

    def gradient(x, weight, spec):
        def loss(x):
            y, _, _ = normalise(spec, x, one, zero)
            return (y * weight).sum()

        return jax.grad(loss)(x)

    spread = jax.pmap(lambda x, w: gradient(x, w, spec), axis_name="data")(x, weight)
    whole = gradient(x.reshape(1, 8, 5, 3), weight.reshape(1, 8, 5, 3), TORCH)
    np.testing.assert_allclose(spread.reshape(whole.shape), whole, rtol=1e-4, atol=1e-5)
