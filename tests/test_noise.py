"""Noise inside units: its distribution in training, its absence at test."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.dropout import (
    DropBlock,
    DropBlockModule,
    Dropout,
    SpatialDropout,
)
from resnet_jax.models.layers.layers import LayersSpec
from resnet_jax.models.units.branch import BASIC, B
from resnet_jax.models.units.shake import ShakeShake, scaled, shake_drop
from resnet_jax.models.units.unit import RELU_ONLY_PRE, ResidualUnit, UnitSpec

SHAPE = (64, 16, 16, 8)


def unit(branch, **slots):
    slots = {"shortcut": "none"} | slots
    return ResidualUnit(UnitSpec(branch, **slots), LayersSpec(), SHAPE[-1])


def noisy(noise):
    """The mask that one 1x1 convolution of ones, kernel the identity, lets through."""
    net = unit(B((1, 1), noise=noise), order=UnitSpec().order)
    x = jnp.ones(SHAPE)
    variables = net.init(jax.random.key(0), x, None, train=False)
    seen = {}

    def spy(call, args, kwargs, context):
        y = call(*args, **kwargs)
        if context.module.name == "noise":
            seen["noise"] = y
        return y

    with nn.intercept_methods(spy):
        net.apply(
            variables, x, None, train=True, mutable=["batch_stats"],
            rngs={"noise": jax.random.key(1)},
        )  # fmt: skip
    return np.asarray(seen["noise"])


def dropped(noise, x):
    key = {"noise": jax.random.key(3)}
    return np.asarray(DropBlockModule(noise).apply({}, x, train=True, rngs=key))


def test_noise_stands_ahead_of_the_last_convolution_and_is_still_at_test():
    net = unit(B((3, 3), noise=Dropout(0.5)))
    x = jax.random.normal(jax.random.key(0), (2, 4, 4, 8))
    variables = net.init(jax.random.key(0), x, None, train=False)
    still = unit(BASIC).apply(variables, x, None, train=False)
    np.testing.assert_array_equal(net.apply(variables, x, None, train=False), still)


def test_spatial_dropout_takes_whole_maps():
    y = noisy(SpatialDropout(0.25))
    assert y.shape == (64, 1, 1, 8)
    kept = y != 0
    np.testing.assert_allclose(y[kept], 1 / 0.75, rtol=1e-6)
    # 512 draws: four standard deviations are 0.077
    assert abs(kept.mean() - 0.75) < 0.077


def test_drop_block_takes_squares_and_keeps_the_sum():
    block, rate = 5, 0.1
    x = jnp.ones((256, 16, 16, 4))
    y = dropped(DropBlock(rate, block), x)
    gone = y == 0
    # what is left grows to the old sum
    np.testing.assert_allclose(y.sum(), x.size, rtol=1e-5)
    # maps that lost exactly one block lost a 5 x 5 square
    lost = gone.sum((1, 2))
    assert (lost[lost > 0] >= block**2).all()
    for image, channel in np.argwhere(lost == block**2)[:20]:
        rows, columns = np.nonzero(gone[image, :, :, channel])
        assert np.ptp(rows) == np.ptp(columns) == block - 1
    # blocks overlap, so that a little less than `rate` goes: 1 - (1 - gamma)^25 inside
    assert 0.6 * rate < gone.mean() < rate


@pytest.mark.compile
def test_drop_block_fits_small_maps():
    y = dropped(DropBlock(0.5, 7), jnp.ones((64, 2, 3, 4)))
    assert y.shape == (64, 2, 3, 4)
    assert 0 < (y == 0).mean() < 1


def test_an_even_block_is_refused():
    with pytest.raises(ConfigError, match=r"block=4: DropBlock's must be odd"):
        DropBlock(0.1, 4)


def test_scaled_goes_one_way_forward_and_another_back():
    y, back = jax.vjp(lambda y: scaled(y, jnp.float32(0.25), jnp.float32(3)), 2.0)
    assert y == 0.5
    assert back(jnp.float32(1)) == (3.0,)


def test_shake_shake_weighs_two_arms_to_one():
    """Arms with equal weights give F, whatever the shares; and its mean at test."""
    net = unit(ShakeShake(BASIC), order=RELU_ONLY_PRE)
    x = jax.random.normal(jax.random.key(0), (4, 4, 4, 8))
    variables = net.init(jax.random.key(0), x, None, train=False)
    arms = variables["params"]["branch"]
    arms["arm2"] = arms["arm1"]
    one = unit(BASIC, order=RELU_ONLY_PRE)
    alone = {
        "params": {"branch": arms["arm1"]},
        "batch_stats": {"branch": variables["batch_stats"]["branch"]["arm1"]},
    }
    run = functools.partial(net.apply, train=True, mutable=["batch_stats"])
    for seed in range(3):
        y, _ = run(variables, x, None, rngs={"noise": jax.random.key(seed)})
        expected, _ = one.apply(alone, x, None, train=True, mutable=["batch_stats"])
        np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    still = net.apply(variables, x, None, train=False)
    np.testing.assert_allclose(
        still, one.apply(alone, x, None, train=False), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("survival", [0.0, 1.0])
def test_shake_drop_at_its_ends(survival):
    """Survival 1 is the plain branch; at 0 the factors are a and b themselves."""
    f = jnp.ones((2, 3, 3, 4))
    y, back = jax.vjp(
        lambda f: shake_drop(jax.random.key(0), f, jnp.float32(survival)), f
    )
    (df,) = back(jnp.ones_like(f))
    if survival == 1.0:
        np.testing.assert_array_equal(y, f)
        np.testing.assert_array_equal(df, f)
    else:
        assert -1 <= y.min() < -0.5 < 0.5 < y.max() <= 1
        assert 0 <= df.min() < df.max() <= 1


def test_shake_drop_has_the_survival_for_its_mean():
    """20,000 elements and 400 gates: four standard deviations are 0.1."""
    f = jnp.ones((50, 1, 1, 1))
    keys = jax.random.split(jax.random.key(0), 400)
    y = jax.vmap(lambda key: shake_drop(key, f, jnp.float32(0.7)))(keys)
    assert abs(float(y.mean()) - 0.7) < 0.1
