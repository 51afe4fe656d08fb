"""Our pooling against XLA's own: values, gradients and ties, transformations."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tinytask
from jax import lax

from resnet_jax.ops import pooling

# spatial shape, window, strides, padding
CASES = {
    "3/2 of even": ((8, 6), 3, 2, (1, 1)),
    "3/2 of odd": ((7, 9), 3, 2, (1, 1)),
    "3/2 unpadded, rows unread": ((8, 10), 3, 2, (0, 0)),
    "2/2": ((6, 7), 2, 2, (0, 0)),
    "3/1": ((5, 6), 3, 1, (1, 1)),
    "2/3, rows skipped": ((7, 8), 2, 3, (0, 0)),
    "3/2 low and high": ((6, 6), 3, 2, (0, 1)),
    "7/7, by the plain gradient": ((14, 9), 7, 7, (0, 0)),
    "1-D": ((9,), 3, 2, (1, 1)),
    "3-D": ((5, 4, 6), 3, 2, (1, 1)),
}


def data(spatial, dtype=np.float64, *, levels=None):
    """Normal numbers, or whole ones of a few levels, so that windows have ties."""
    rng = np.random.default_rng(0)
    shape = (2, *spatial, 3)
    x = rng.integers(levels, size=shape) if levels else rng.normal(size=shape)
    return jnp.asarray(x, dtype)


def ours(case):
    _, window, strides, padding = case
    return lambda x: pooling.max_pool(
        x, window=window, strides=strides, padding=padding
    )


def stock(case):
    spatial, *sizes = case
    return lambda x: nn.max_pool(x, *((size,) * len(spatial) for size in sizes))


def with_gradient(pool, options=None):
    """y and dx, for a dy that tells the places of a window apart."""

    def run(x):
        y, pull = jax.vjp(pool, x)
        weights = jnp.arange(1, y.size + 1, dtype=y.dtype).reshape(y.shape)
        return y, *pull(weights)

    return jax.jit(run, compiler_options=options)


def assert_same(got, want):
    for ours, theirs in zip(got, want, strict=True):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(None, id="quick"),
        pytest.param(tinytask.OPTIMISED, id="optimised", marks=pytest.mark.compile),
    ],
)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_equals_plain_in_float64(case, options):
    """Of distinct numbers, of some that tie, of all equal ones."""
    got, want = (with_gradient(pool(case), options) for pool in (ours, stock))
    with jax.enable_x64(True):
        for levels in (None, 3, 1):
            x = data(case[0], levels=levels)
            assert_same(got(x), want(x))


def test_first_of_equal_ones_gets_the_gradient():
    x = jnp.zeros((1, 2, 2, 1))
    pool = ours(((2, 2), 2, 2, (0, 0)))
    _, dx = with_gradient(pool)(x)
    np.testing.assert_array_equal(dx.ravel(), [1, 0, 0, 0])


def test_what_is_no_number_goes_where_it_goes_in_plain():
    case = CASES["3/2 of even"]
    x = data(case[0], np.float32)
    x = x.at[0, 2, 3, 0].set(jnp.nan).at[1, :, :, 1].set(-jnp.inf)
    assert_same(with_gradient(ours(case))(x), with_gradient(stock(case))(x))


def test_keeps_bfloat16():
    case = CASES["3/2 of even"]
    x = data(case[0], jnp.bfloat16, levels=3)
    pooled = with_gradient(ours(case))(x)
    assert {leaf.dtype for leaf in pooled} == {jnp.dtype(jnp.bfloat16)}
    wide = with_gradient(stock(case))(x.astype(jnp.float32))
    np.testing.assert_array_equal(pooled[0].astype(jnp.float32), wide[0])
    np.testing.assert_allclose(pooled[1].astype(jnp.float32), wide[1], rtol=2e-2)


def test_under_vmap_scan_and_checkpoint():
    case = CASES["3/1"]
    with jax.enable_x64(True):
        x = data(case[0], levels=3)
        several = jnp.stack([x, -x])
        assert_same(
            jax.vmap(with_gradient(ours(case)))(several),
            jax.vmap(with_gradient(stock(case)))(several),
        )

        def gradient(pool, wrap):
            def loss(x):
                step = wrap(lambda x, scale: (scale * pool(x), None))
                return (lax.scan(step, x, jnp.array([1.0, -0.5, 2.0]))[0] ** 2).sum()

            return jax.jit(jax.grad(loss))(x)

        want = gradient(stock(case), lambda step: step)
        for wrap in (lambda step: step, jax.checkpoint):
            np.testing.assert_allclose(gradient(ours(case), wrap), want, rtol=1e-12)


@pytest.mark.parametrize("platform", ["cuda", "tpu", "cpu"])
def test_only_a_cpu_gets_slices(platform):
    case = CASES["3/2 of even"]
    traced = with_gradient(ours(case)).trace(data(case[0], np.float32))
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    assert ("select_and_scatter" in text) == (platform != "cpu")


@pytest.mark.parametrize("spatial", [(6, 8), (7, 9), (9,), (4, 6, 5)])
def test_average_and_its_gradient(spatial):
    sizes = ((2,) * len(spatial),) * 2
    with jax.enable_x64(True):
        x = data(spatial)
        got = with_gradient(lambda x: pooling.avg_pool(x, window=2))(x)
        want = with_gradient(lambda x: nn.avg_pool(x, *sizes))(x)
        for ours, theirs in zip(got, want, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)
