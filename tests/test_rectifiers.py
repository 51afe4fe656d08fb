"""Rectifiers: values, gradients (at zero too), slopes, and the noise of RReLU."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.models.layers.activations import (
    Elu,
    LeakyRelu,
    PRelu,
    Relu,
    RRelu,
    prelu,
)

X = np.array([-2.0, -0.5, 0.0, 0.5, 2.0], np.float32)


def key(seed):
    return jax.random.key(seed, impl="rbg")  # compiles fast


class Net(nn.Module):
    """One rectifier, called as networks call it."""

    act: object

    @nn.compact
    def __call__(self, x, *, train):
        return self.act(x, train=train, name="act_1")


FIXED = {
    "relu": (Relu(), lambda y: max(0, y), lambda y: float(y > 0)),
    "leaky": (
        LeakyRelu(),
        lambda y: max(0, y) + 0.01 * min(0, y),
        lambda y: 1.0 if y > 0 else 0.01,
    ),
    "leaky 1/5.5": (
        LeakyRelu(slope=1 / 5.5),
        lambda y: max(0, y) + min(0, y) / 5.5,
        lambda y: 1.0 if y > 0 else 1 / 5.5,
    ),
    "rrelu at test": (
        RRelu(),
        lambda y: max(0, y) + min(0, y) / 5.5,
        lambda y: 1.0 if y > 0 else 1 / 5.5,
    ),
    "elu": (
        Elu(),
        lambda y: y if y > 0 else np.exp(y) - 1,
        lambda y: 1.0 if y > 0 else np.exp(y),
    ),
    "elu 0.5": (
        Elu(alpha=0.5),
        lambda y: y if y > 0 else 0.5 * (np.exp(y) - 1),
        lambda y: 1.0 if y > 0 else 0.5 * np.exp(y),
    ),
}


@pytest.mark.parametrize("name", FIXED)
def test_values_and_derivatives(name):
    act, value, derivative = FIXED[name]
    apply = functools.partial(Net(act).apply, {}, train=False)
    np.testing.assert_allclose(apply(jnp.asarray(X)), [value(y) for y in X], rtol=1e-6)
    slopes = jax.vmap(jax.grad(apply))(jnp.asarray(X))
    np.testing.assert_allclose(slopes, [derivative(y) for y in X], rtol=1e-6)


def test_elu_has_finite_gradients_far_from_zero():
    """exp overflows above 88; the branch not taken must not spoil the gradient."""
    apply = functools.partial(Net(Elu()).apply, {}, train=False)
    slopes = jax.vmap(jax.grad(apply))(jnp.asarray([-1e4, 1e4]))
    np.testing.assert_array_equal(slopes, [0.0, 1.0])


# ---------------------------------------------------------------- PReLU


def test_prelu_channel_wise():
    """f(y) = max(0, y) + a min(0, y)  (He et al. 2015, Eq. 1), one a a channel."""
    x = np.stack([X, -X], axis=-1)
    y = prelu(jnp.asarray(x), jnp.asarray([0.25, -1.0]))
    np.testing.assert_array_equal(y[:, 0], [-0.5, -0.125, 0.0, 0.5, 2.0])
    np.testing.assert_array_equal(y[:, 1], [2.0, 0.5, 0.0, 0.5, 2.0])


def test_prelu_channel_shared():
    x = np.stack([X, -X], axis=-1)
    y = prelu(jnp.asarray(x), jnp.asarray([0.5]))
    np.testing.assert_array_equal(y, np.maximum(0, x) + 0.5 * np.minimum(0, x))


@pytest.mark.parametrize("sharing", ["channel", "layer"])
def test_prelu_gradient_by_slope(sharing):
    """df/da = y where y <= 0, else 0, summed over positions, and channels if shared.

    (He et al. 2015, Eq. 2 and 3.)
    """
    generator = np.random.default_rng(0)
    x, weights = generator.normal(size=(2, 4, 3, 3, 5)).astype(np.float32)
    x[0, 0, 0] = 0.0  # adds nothing
    slope = jnp.full(5 if sharing == "channel" else 1, 0.25)
    gradient = jax.grad(lambda a: jnp.sum(weights * prelu(jnp.asarray(x), a)))(slope)
    by_channel = (weights * np.where(x > 0, 0, x)).sum((0, 1, 2))
    expected = by_channel if sharing == "channel" else by_channel.sum(keepdims=True)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)


def test_prelu_gradient_by_input():
    """1 above zero, a below; at zero a, as the paper's cases (f = a y for y <= 0)."""
    slope = jnp.asarray([0.25])
    gradient = jax.grad(lambda x: prelu(x, slope).sum())(jnp.asarray(X)[:, None])
    np.testing.assert_array_equal(gradient[:, 0], [0.25, 0.25, 0.25, 1.0, 1.0])


def test_prelu_gradients_at_zero():
    """Neither halved, as the gradient of max(0, y) + a min(0, y) would be, nor NaN."""
    gradient = jax.grad(lambda x, a: prelu(x, a).sum(), argnums=(0, 1))
    by_x, by_slope = gradient(jnp.zeros((1, 1)), jnp.asarray([0.25]))
    np.testing.assert_array_equal(by_x, [[0.25]])
    np.testing.assert_array_equal(by_slope, [0.0])


@pytest.mark.parametrize("sharing, slopes", [("channel", 5), ("layer", 1)])
def test_prelu_starts_at_a_quarter(sharing, slopes):
    net = Net(PRelu(sharing))
    held = net.init(key(0), jnp.ones((2, 3, 3, 5)), train=True)
    slope = held["params"]["act_1"]["slope"]
    np.testing.assert_array_equal(slope, np.full(slopes, 0.25))


@pytest.mark.parametrize("sharing", ["channel", "layer"])
def test_prelu_keeps_the_type_of_its_input(sharing):
    net, x = Net(PRelu(sharing)), jnp.asarray(X, jnp.bfloat16)[:, None]
    held = net.init(key(0), x, train=True)
    assert held["params"]["act_1"]["slope"].dtype == jnp.float32
    assert net.apply(held, x, train=True).dtype == jnp.bfloat16


# ---------------------------------------------------------------- RReLU


def drawn(act, x, seed=0):
    return Net(act).apply({}, jnp.asarray(x), train=True, rngs={"noise": key(seed)})


def test_rrelu_divides_by_uniform_draws():
    """r ~ U(3, 8) an element: both ends reached, mean 5.5, variance 25/12."""
    x = np.full((100, 100), -1.0, np.float32)
    r = np.asarray(-1.0 / drawn(RRelu(), x))
    assert 3.0 <= r.min() < 3.01 and 7.99 < r.max() <= 8.0
    error = np.sqrt(25 / 12 / r.size)  # of the mean
    assert abs(r.mean() - 5.5) < 4 * error
    assert abs(r.var() - 25 / 12) < 0.05
    assert len(np.unique(r)) > 9_000


def test_rrelu_leaves_the_positive_part():
    x = np.abs(np.random.default_rng(0).normal(size=(50, 2))).astype(np.float32)
    np.testing.assert_array_equal(drawn(RRelu(), x), x)


def test_rrelu_gradient_is_one_over_the_draw():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(50, 2)), jnp.float32)
    y, pull = jax.vjp(functools.partial(drawn, RRelu()), x)
    (gradient,) = pull(jnp.ones_like(y))
    np.testing.assert_allclose(gradient, y / x, rtol=1e-5)


def test_rrelu_draws_follow_the_key():
    x = np.full((10, 10), -1.0, np.float32)
    np.testing.assert_array_equal(drawn(RRelu(), x, 1), drawn(RRelu(), x, 1))
    assert (np.asarray(drawn(RRelu(), x, 1)) != drawn(RRelu(), x, 2)).mean() > 0.9


def test_rrelu_at_test_is_its_mean_divisor():
    act = RRelu(lower=2.0, upper=4.0)
    assert act.slope == 1 / 3
    y = Net(act).apply({}, jnp.asarray([-3.0, 3.0]), train=False)
    np.testing.assert_allclose(y, [-1.0, 3.0], rtol=1e-6)
