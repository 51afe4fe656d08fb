"""Initialisation: the drawn numbers, and what they do to signals through 30 layers."""

import dataclasses
import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from resnet_jax.errors import ConfigError
from resnet_jax.models import complexity
from resnet_jax.models.layers.activations import Elu, LeakyRelu, PRelu, Relu, RRelu
from resnet_jax.models.layers.initializers import InitSpec
from resnet_jax.models.layers.layers import LayersSpec
from resnet_jax.models.lsuv import lsuv
from resnet_jax.models.nets.resnet import ResNetSpec
from resnet_jax.models.units.branch import BOTTLENECK
from resnet_jax.models.units.shortcut import Gated
from resnet_jax.models.units.unit import FULL_PRE, SE, UnitSpec
from resnet_jax.models.zoo.steps_and_grids import rk_resnet

SHAPE = (3, 3, 64, 128)
FAN_IN, FAN_OUT = 9 * 64, 9 * 128


def key(seed):
    return jax.random.key(seed, impl="rbg")  # compiles fast


def kernel(spec, *, slope=0.0, shape=SHAPE):
    return np.asarray(spec(slope=slope)(key(0), shape), np.float64)


@pytest.mark.parametrize(
    "spec, slope, variance",
    [
        (InitSpec("he", "fan_in"), 0.0, 2 / FAN_IN),  # He et al. 2015, Eq. 10
        (InitSpec("he", "fan_out"), 0.0, 2 / FAN_OUT),  # Eq. 14
        (InitSpec("he", "fan_in"), 0.25, 2 / (1.0625 * FAN_IN)),  # Eq. 15
        (InitSpec("he", "fan_out"), 0.25, 2 / (1.0625 * FAN_OUT)),
        (InitSpec("he", "fan_in"), 1.0, 1 / FAN_IN),  # linear: Xavier
        (InitSpec("xavier", "fan_in"), 0.0, 1 / FAN_IN),
        (InitSpec("xavier", "fan_out"), 0.25, 1 / FAN_OUT),  # no gain for a slope
    ],
)
def test_variance_of_kernels(spec, slope, variance):
    """A sample variance of n normal numbers is off by sqrt(2 / n) of itself."""
    w = kernel(spec, slope=slope)
    assert abs(w.var() / variance - 1) < 4 * math.sqrt(2 / w.size)
    assert abs(w.mean()) < 4 * math.sqrt(variance / w.size)


@pytest.mark.parametrize("kind", ["he", "xavier"])
def test_kernels_are_normal_and_not_truncated(kind):
    """A share 2.7e-3 lies beyond 3 std, and the fourth moment is 3 std^4.

    Truncated at 2 std and rescaled, nothing is beyond 2.3 std.
    """
    w = kernel(InitSpec(kind))
    z = np.abs(w / w.std())
    assert 0.0020 < (z > 3).mean() < 0.0034
    assert abs((z**4).mean() - 3) < 4 * math.sqrt(96 / z.size)


@pytest.mark.parametrize("shape", [(3, 3, 8, 16), (1, 1, 64, 16), (1, 1, 16, 64)])
@pytest.mark.parametrize("slope", [0.0, 0.25])
def test_orthogonal_kernels(shape, slope):
    """Columns, or rows where these are fewer, orthogonal and of length sqrt(gain)."""
    w = kernel(InitSpec("orthogonal"), slope=slope, shape=shape).reshape(-1, shape[-1])
    gram = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
    np.testing.assert_allclose(gram, np.eye(len(gram)) * 2 / (1 + slope**2), atol=1e-5)


# ---------------------------------------------------------------- networks


def initial(net):
    init = functools.partial(net.init, train=False)
    quick = {"xla_backend_optimization_level": 0}
    return jax.jit(init, compiler_options=quick)(key(0), jnp.zeros((1, 8, 8, 3)))


@functools.cache
def drawn(spec):
    """Initial kernels of a net by path, one entry a unit."""
    params = initial(spec.build())["params"]
    kernels = {}
    for path, leaf in flatten_dict(params).items():
        if path[-1] == "kernel" and path[0] != "head":
            units = leaf if "rest" in path else leaf[None]
            kernels |= {(*path, k): np.asarray(unit) for k, unit in enumerate(units)}
    return kernels


@pytest.mark.parametrize(
    "act, slope",
    [
        (Relu(), 0),
        (LeakyRelu(0.1), 0.1),
        (PRelu(), 0.25),
        (RRelu(), 1 / 5.5),
        (Elu(), 0),
    ],
)
def test_every_convolution_of_a_net_has_the_gain_of_its_rectifier(act, slope):
    """Stem, units and projections: Var[w] = 2 / ((1 + slope^2) k^2 c_out)."""
    layers = LayersSpec(act=act)
    spec = ResNetSpec(depths=(1, 4), widths=(32, 64), stem_width=32, layers=layers)
    kernels = drawn(spec)
    assert len(kernels) == 1 + 2 * 5 + 1
    for path, w in kernels.items():
        variance = 2 / ((1 + slope**2) * w.shape[0] * w.shape[1] * w.shape[3])
        assert abs(w.var() / variance - 1) < 4 * math.sqrt(2 / w.size), path


def test_stacked_units_are_drawn_apart():
    spec = ResNetSpec(depths=(1, 4), widths=(32, 64), stem_width=32)
    units = [
        w for path, w in drawn(spec).items() if path[1:4] == ("rest", "branch", "conv1")
    ]
    assert len(units) == 3
    for i in range(3):
        for j in range(i):
            assert abs(np.corrcoef(units[i].ravel(), units[j].ravel())[0, 1]) < 0.03


# ---------------------------------------------------------------- 30 layers

# A plain net y_l = W_l x_l, x_{l+1} = f(y_l), slope a below zero. He et al. 2015:
#
#   forward,  Eq. 8 and 15:   Var[y_l]  = n_l Var[w_l] (1 + a^2)/2 Var[y_{l-1}]
#   backward, Eq. 13 and 15:  Var[dx_l] = m_l Var[w_l] (1 + a^2)/2 Var[dx_{l+1}]
#
# with n = k^2 c_in and m = k^2 c_out. He's factors are 1 a layer, Xavier's 1/2, that is
# 2^(-L/2) in std. A net of finite width c is off by a random factor each layer: for
# one input, mean f(y)^2 over c channels has relative variance at most
# E[f^4] / E[f^2]^2 - 1 = 3 (1 + a^4) / 2 / ((1 + a^2)/2)^2 - 1 <= 5, divided by c. So
# log Var[y_l] walks at random, with variance <= sum 5 / c and drift >= -sum 5 / (2 c)
# over the layers passed (positions and images only average); the band below is four
# such std and the drift. Maps wrap around: zeros at borders would shrink signals too.

LAYERS, WIDTH = 30, 128


def band(widths):
    steps = np.cumsum(5 / np.asarray(widths))
    return 4 * np.sqrt(steps) + steps / 2


def convolve(x, w):
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="wrap")
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, w, (1, 1), "VALID", dimension_numbers=numbers
    )


def plain(slope, kernels, shifts, x):
    """Pre-activations y_1 ... y_L of a plain net; `shifts` are added to them."""
    outputs = []
    for w, shift in zip(kernels, shifts, strict=True):
        y = convolve(x, w) + shift
        outputs.append(y)
        x = jnp.where(y > 0, y, slope * y)
    return outputs


def log_variances(spec, widths, *, slope=0.0):
    """log Var[y_l] and log Var[dy_l] of every layer, relative to where each starts."""
    keys = jax.random.split(key(1), len(widths))
    shapes = [(3, 3, i, o) for i, o in itertools.pairwise(widths)]
    kernels = [
        spec(slope=slope)(k, shape) for k, shape in zip(keys, shapes, strict=False)
    ]
    x = jax.random.normal(keys[-1], (2, 6, 6, widths[0]))
    shifts = [jnp.zeros((2, 6, 6, width)) for width in widths[1:]]
    net = functools.partial(plain, slope)
    outputs = net(kernels, shifts, x)
    weights = jax.random.normal(key(2), outputs[-1].shape)
    loss = lambda shifts: jnp.vdot(weights, net(kernels, shifts, x)[-1])  # noqa: E731
    gradients = jax.grad(loss)(shifts)
    forward = np.log([float(jnp.square(y).mean()) for y in outputs])
    backward = np.log([float(jnp.square(y).mean()) for y in gradients])
    return forward - forward[0], backward - backward[-1]


@pytest.mark.compile
@pytest.mark.parametrize("slope", [0.0, 0.25])
@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
def test_he_keeps_signals_and_gradients(mode, slope):
    widths = [WIDTH] * (LAYERS + 1)
    forward, backward = log_variances(InitSpec("he", mode), widths, slope=slope)
    within = band(widths[1:])
    assert (np.abs(forward) <= within).all()
    assert (np.abs(backward) <= within[::-1]).all()


def test_xavier_halves_the_variance_a_layer():
    """2^-29 from the first to the 30th: the net that stalls (Fig. 3)."""
    widths = [WIDTH] * (LAYERS + 1)
    forward, backward = log_variances(InitSpec("xavier", "fan_in"), widths)
    within, halvings = band(widths[1:]), np.arange(LAYERS) * math.log(2)
    assert (np.abs(forward + halvings) <= within).all()
    assert (np.abs(backward + halvings[::-1]) <= within[::-1]).all()
    assert 2 * within[-1] < halvings[-1]  # no net is in the bands of both


@pytest.mark.compile
@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
def test_fan_in_keeps_signals_and_fan_out_keeps_gradients(mode):
    """The other product telescopes to a ratio of widths (He et al. 2015, Sec. 2.2)."""
    widths = np.array([16, 64, 256, 1024])
    forward, backward = log_variances(InitSpec("he", mode), widths)
    within = band(widths[1:])
    ratio = np.log(widths[1:] / widths[1])  # c_l / c_1
    signals, gradients = (0, ratio[-1] - ratio) if mode == "fan_in" else (-ratio, 0)
    assert (np.abs(forward - signals) <= within).all()
    assert (np.abs(backward - gradients) <= within[::-1]).all()
    assert 2 * within[-1] < ratio[-1]


# ---------------------------------------------------------------- LSUV

NETS = {
    "plain": UnitSpec(shortcut="none"),
    "residual": UnitSpec(shortcut="A"),
    "gated": UnitSpec(join=Gated(), gate=SE(2)),
    "pre-activation bottleneck": UnitSpec(branch=BOTTLENECK, order=FULL_PRE),
}


@functools.cache
def example(unit):
    net = ResNetSpec(depths=(1, 3), widths=(8, 16), stem_width=8, unit=unit).build()
    variables = initial(net)
    return net, variables, jax.random.normal(key(1), (16, 8, 8, 3))


def outputs(net, variables, images):
    """Variance of every convolution's and dense layer's output, one entry a unit."""
    with jax.disable_jit():
        _, changed = net.apply(
            variables, images, train=False, mutable=["intermediates"],
            capture_intermediates=lambda module, _: hasattr(module, "kernel_init"),
        )  # fmt: skip
    variances = {}
    for (*path, _), (y,) in flatten_dict(changed["intermediates"]).items():
        units = np.asarray(y, np.float64) if "rest" in path else np.asarray(y)[None]
        variances |= {("/".join(path), k): unit.var() for k, unit in enumerate(units)}
    return variances


@pytest.mark.compile
@pytest.mark.parametrize("name", NETS)
def test_lsuv_gives_every_layer_unit_variance(name):
    net, variables, images = example(NETS[name])
    before, scaled = outputs(net, variables, images), lsuv(net, variables, images)
    after = outputs(net, scaled, images)
    kernels = [
        (path, len(leaf) if "rest" in path else 1)
        for path, leaf in flatten_dict(variables["params"]).items()
        if path[-1] == "kernel"
    ]
    assert len(after) == sum(units for _, units in kernels)
    assert max(abs(v - 1) for v in before.values()) > 0.5
    assert max(abs(v - 1) for v in after.values()) < 0.1


@pytest.mark.compile
def test_lsuv_scales_orthonormal_kernels_and_nothing_else():
    net, variables, images = example(NETS["pre-activation bottleneck"])
    scaled = lsuv(net, variables, images)
    jax.tree.map(
        np.testing.assert_array_equal, scaled["batch_stats"], variables["batch_stats"]
    )
    old, new = flatten_dict(variables["params"]), flatten_dict(scaled["params"])
    assert old.keys() == new.keys()
    for path, leaf in new.items():
        if path[-1] != "kernel":
            np.testing.assert_array_equal(leaf, old[path])
            continue
        assert leaf.shape == old[path].shape
        for unit in leaf if "rest" in path else [leaf]:
            w = np.asarray(unit, np.float64).reshape(-1, unit.shape[-1])
            gram = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
            np.testing.assert_allclose(
                gram / gram[0, 0], np.eye(len(gram)), atol=1e-5, err_msg=str(path)
            )


@pytest.mark.compile
def test_lsuv_stops_at_its_tolerance():
    """With a wide tolerance kernels stay orthonormal; with none they move."""
    net, variables, images = example(NETS["residual"])
    free = lsuv(net, variables, images, tolerance=1e6)
    kernel = np.asarray(free["params"]["stem_conv"]["kernel"]).reshape(27, 8)
    np.testing.assert_allclose(kernel.T @ kernel, np.eye(8), atol=1e-5)
    tight = lsuv(net, variables, images, tolerance=1e-4, max_iterations=3)
    assert max(abs(v - 1) for v in outputs(net, tight, images).values()) < 1e-4


def test_lsuv_takes_each_layer_once():
    net = rk_resnet(14, width=1 / 4).build()
    images = jnp.asarray(
        np.random.default_rng(0).normal(size=(2, 8, 8, 3)), jnp.float32
    )
    shapes = complexity.shapes(net, images.shape[1:])
    variables = jax.tree.map(lambda x: np.ones(x.shape, x.dtype), shapes)
    with pytest.raises(ConfigError, match=r"lsuv: stage\d/rest/.*used 4 times"):
        lsuv(net, variables, images)


def test_lsuv_needs_images_that_vary():
    net, variables, images = example(NETS["residual"])
    message = r"model\.init=lsuv: variance 0\.0 after stem_conv on 16 images"
    with pytest.raises(ConfigError, match=message):
        lsuv(net, variables, images * 0)


def test_lsuv_does_not_depend_on_how_a_stage_runs():
    net, variables, images = example(NETS["residual"])
    other = dataclasses.replace(net.spec, depth_mode="remat").build()
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5),
        lsuv(other, variables, images),
        lsuv(net, variables, images),
    )
