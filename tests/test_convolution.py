"""Our convolution against XLA's own: values, gradients, transformations, platforms."""

import functools
import re
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tinytask
from jax import lax

from resnet_jax.ops.convolution import Window, convolve, plain

# spatial shape, channels in and out, kernel size, strides, padding, dilation, groups
CASES = {
    "3x3": ((7, 6), 3, 4, (3, 3), 1, ((1, 1),) * 2, 1, 1),
    "3x3 unpadded": ((7, 6), 3, 4, (3, 3), 1, ((0, 0),) * 2, 1, 1),
    "3x3 wide padding": ((5, 6), 3, 4, (3, 3), 1, ((3, 4),) * 2, 1, 1),
    "3x3 stride 2": ((8, 8), 3, 4, (3, 3), 2, ((1, 1),) * 2, 1, 1),
    "3x3 stride 2, odd": ((7, 9), 3, 4, (3, 3), 2, ((1, 1),) * 2, 1, 1),
    "3x3 stride 2, SAME of even": ((8, 8), 3, 4, (3, 3), 2, ((0, 1),) * 2, 1, 1),
    "3x3 stride 2, rows unread": ((8, 10), 3, 4, (3, 3), 2, ((0, 0),) * 2, 1, 1),
    "3x3 strides 2 and 1": ((8, 7), 3, 4, (3, 3), (2, 1), ((1, 1),) * 2, 1, 1),
    "3x3 of 20 channels": ((5, 6), 20, 18, (3, 3), 1, ((1, 1),) * 2, 1, 1),
    "3x3 stride 3": ((8, 10), 3, 4, (3, 3), 3, ((1, 1),) * 2, 1, 1),
    "2x2 stride 3, points skipped": ((8, 7), 3, 4, (2, 2), 3, ((0, 0),) * 2, 1, 1),
    "5x5 stride 2, wide padding": ((6, 7), 3, 4, (5, 5), 2, ((6, 5),) * 2, 1, 1),
    "7x7 stride 2": ((14, 13), 3, 4, (7, 7), 2, ((3, 3),) * 2, 1, 1),
    "2x2": ((6, 7), 3, 4, (2, 2), 1, ((0, 1), (1, 0)), 1, 1),
    "2x2 stride 2": ((6, 7), 3, 4, (2, 2), 2, ((0, 0),) * 2, 1, 1),
    "1x1": ((5, 6), 3, 4, (1, 1), 1, ((0, 0),) * 2, 1, 1),
    "1x1 stride 2": ((5, 6), 3, 4, (1, 1), 2, ((0, 0),) * 2, 1, 1),
    "1x1 stride 3, padded": ((5, 6), 3, 4, (1, 1), 3, ((1, 0),) * 2, 1, 1),
    "3x1": ((5, 6), 3, 4, (3, 1), 1, ((1, 1), (0, 0)), 1, 1),
    "dilated": ((9, 8), 3, 4, (3, 3), 1, ((2, 2),) * 2, 2, 1),
    "dilated by 3 and 1": ((9, 8), 3, 4, (3, 3), 1, ((3, 2), (1, 1)), (3, 1), 1),
    "dilated, stride 2": ((9, 8), 3, 4, (3, 3), 2, ((2, 2),) * 2, 2, 1),
    "groups in blocks": ((5, 6), 32, 48, (3, 3), 1, ((1, 1),) * 2, 1, 8),
    "wide groups, stride 2": ((5, 6), 40, 8, (3, 3), 2, ((1, 1),) * 2, 1, 2),
    "groups dilated": ((7, 6), 4, 6, (3, 3), 1, ((2, 2),) * 2, 2, 2),
    "1x1 groups": ((5, 6), 12, 6, (1, 1), 1, ((0, 0),) * 2, 1, 3),
    "depthwise": ((5, 6), 8, 8, (3, 3), 1, ((1, 1),) * 2, 1, 8),
    "depthwise, stride 2": ((7, 6), 4, 4, (5, 5), 2, ((2, 2),) * 2, 1, 4),
    "depthwise, dilated": ((7, 6), 4, 4, (3, 3), 1, ((2, 2),) * 2, 2, 4),
    "depthwise times 3": ((5, 6), 4, 12, (3, 3), 1, ((1, 1),) * 2, 1, 4),
    "depthwise times 5": ((5, 6), 4, 20, (3, 3), 1, ((1, 1),) * 2, 1, 4),
    "one channel": ((5, 6), 1, 6, (3, 3), 1, ((1, 1),) * 2, 1, 1),
    "1-D": ((9,), 3, 4, (3,), 2, ((1, 2),), 1, 1),
    "1-D depthwise": ((9,), 4, 4, (3,), 1, ((2, 2),), 2, 4),
    "3-D": ((5, 4, 6), 3, 4, (3, 3, 3), 1, ((1, 1),) * 3, 1, 1),
    "3-D stride 2": ((6, 5, 4), 3, 4, (3, 3, 3), 2, ((1, 1), (0, 1), (1, 1)), 1, 1),
    "3-D dilated": ((7, 5, 6), 3, 4, (3, 3, 3), 1, ((2, 2),) * 3, 2, 1),
    "3-D groups": ((4, 4, 5), 4, 6, (3, 3, 3), 1, ((1, 1),) * 3, 1, 2),
    "3-D 1x1x1": ((4, 4, 5), 3, 4, (1, 1, 1), 2, ((0, 0),) * 3, 1, 1),
}


def operands(case, dtype=np.float64):
    spatial, i, o, size, *_, groups = case
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, *spatial, i))
    kernel = rng.normal(size=(*size, i // groups, o))
    return jnp.asarray(x, dtype), jnp.asarray(kernel, dtype)


def ours(case):
    *_, strides, padding, dilation, groups = case
    return lambda x, kernel: convolve(
        x, kernel, strides=strides, groups=groups, dilation=dilation, padding=padding
    )


def stock(case):
    spatial, _, _, _, strides, padding, dilation, groups = case

    def axes(value):
        return value if isinstance(value, tuple) else (value,) * len(spatial)

    window = Window(axes(strides), padding, axes(dilation), groups)
    return lambda x, kernel: plain(window, x, kernel)


def with_gradients(conv):
    """y, dx, dkernel for a dy that is no constant."""

    def run(x, kernel):
        y, pull = jax.vjp(conv, x, kernel)
        return y, *pull(jnp.cos(y))

    return run


def assert_close(got, want, tolerance):
    for ours, theirs in zip(got, want, strict=True):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
        assert np.abs(ours - theirs).max() <= tolerance * np.abs(theirs).max()


@pytest.fixture(
    params=[
        pytest.param(None, id="quick"),
        pytest.param(tinytask.OPTIMISED, id="optimised", marks=pytest.mark.compile),
    ]
)
def compiled(request):
    """jax.jit, as the tests compile and as users do."""
    return functools.partial(jax.jit, compiler_options=request.param)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_equals_plain_in_float64(case, compiled):
    with jax.enable_x64(True):
        arrays = operands(case)
        want = compiled(with_gradients(stock(case)))(*arrays)
        assert_close(compiled(with_gradients(ours(case)))(*arrays), want, 1e-10)


def test_no_zeros_between_the_points_of_dy():
    """A strided convolution costs its input's gradient as much as itself."""
    case = ((8, 8), 20, 24, (3, 3), 2, ((1, 1),) * 2, 1, 1)

    def dx(x, kernel):
        return jax.vjp(ours(case), x, kernel)[1](jnp.ones((2, 4, 4, 24)))[0]

    program = jax.jit(dx).lower(*operands(case, np.float32)).compile()
    exact = 2 * (2 * 4 * 4) * 9 * 20 * 24  # with borders; with zeros 4 times as many
    assert program.cost_analysis()["flops"] < 1.2 * exact


# one of each form: dense, product, blocks, depthwise, folded
FORMS = ("3x3 stride 2", "1x1", "groups in blocks", "depthwise", "3-D")


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_keeps_the_dtype(name, dtype, compiled):
    case = CASES[name]
    arrays = operands(case, dtype)
    want = compiled(with_gradients(stock(case)))(*arrays)
    got = compiled(with_gradients(ours(case)))(*arrays)
    assert_close(got, want, 1e-5 if dtype == jnp.float32 else 3e-2)


@pytest.mark.parametrize("name", FORMS)
def test_under_vmap(name, compiled):
    case = CASES[name]
    arrays = operands(case, np.float32)
    several = [jnp.stack([a, 2 * a, -a]) for a in arrays]
    want = compiled(jax.vmap(with_gradients(stock(case))))(*several)
    got = compiled(jax.vmap(with_gradients(ours(case))))(*several)
    assert_close(got, want, 1e-5)


def chain(conv, wrap):
    """Three convolutions in a loop, squeezed into x's own shape; a loss."""

    def loss(x, kernels):
        def unit(x, kernel):
            return x + 0.1 * jnp.tanh(conv(x, kernel)).mean(), None

        return (lax.scan(wrap(unit), x, kernels)[0] ** 2).sum()

    return jax.grad(loss, argnums=(0, 1))


@pytest.mark.parametrize("name", FORMS)
def test_under_scan_and_checkpoint(name, compiled):
    case = CASES[name]
    with jax.enable_x64(True):
        x, kernel = operands(case)
        kernels = jnp.stack([kernel, -kernel, 0.5 * kernel])
        want = compiled(chain(stock(case), lambda unit: unit))(x, kernels)
        for wrap in (lambda unit: unit, jax.checkpoint):
            got = compiled(chain(ours(case), wrap))(x, kernels)
            assert_close(got, want, 1e-10)


def test_second_derivatives():
    case = CASES["3x3"]
    with jax.enable_x64(True):
        x, kernel = operands(case)

        def penalty(conv):
            def loss(kernel):
                return jnp.tanh(conv(x, kernel)).sum()

            return jax.jit(jax.grad(lambda k: (jax.grad(loss)(k) ** 2).sum()))

        got, want = penalty(ours(case))(kernel), penalty(stock(case))(kernel)
        assert_close([got], [want], 1e-10)


def operations(conv, arrays, platform):
    """Count of each operation in the program of a convolution's gradients."""
    traced = jax.jit(with_gradients(conv)).trace(*arrays)
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    words = re.findall(r"stablehlo\.\w+|dim_numbers = [^:]*", text)
    choosing = ("case", "return", "constant")
    return Counter(w for w in words if w.removeprefix("stablehlo.") not in choosing)


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_other_platforms_get_the_plain_gradients(name, platform):
    case = CASES[name]
    arrays = operands(case, np.float32)
    got = operations(ours(case), arrays, platform)
    assert got == operations(stock(case), arrays, platform)
    assert got["stablehlo.convolution"] == 3
    assert got != operations(ours(case), arrays, "cpu")


@pytest.mark.parametrize("name", FORMS)
def test_cpu_convolutions_are_dense_planar_and_channels_last(name):
    """The only ones that XLA:CPU runs fast inside a loop."""
    case = CASES[name]
    traced = jax.jit(with_gradients(ours(case))).trace(*operands(case, np.float32))
    text = traced.lower(lowering_platforms=("cpu",)).as_text()
    for line in text.splitlines():
        if "stablehlo.convolution" in line:
            assert "[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]" in line
            assert "lhs_dilate = [1, 1]" in line and "reverse = [false, false]" in line
            assert "batch_group_count = 1 " in line
            assert "feature_group_count = 1 " in line
            assert "-" not in re.search(r"pad = (.*?)\]\]", line)[1]


@pytest.mark.parametrize("bad", [dict(padding=((1, 1),)), dict(groups=2)])
def test_misfits_are_refused(bad):
    x, kernel = operands(CASES["3x3"], np.float32)
    with pytest.raises((TypeError, ValueError)):
        convolve(x, kernel, **{"padding": ((1, 1), (1, 1)), **bad})
