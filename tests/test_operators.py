"""Ghost modules and binary convolutions in any net: counts, values, gradients.

Values against tests/ghost_reference.py, in float64.
"""

import copy
import dataclasses
import functools

import counted
import ghost_reference
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import reference
import tiers
import tinytask

from resnet_jax.errors import ConfigError
from resnet_jax.models import complexity
from resnet_jax.models.layers.activations import Linear, PRelu
from resnet_jax.models.layers.layers import LayersSpec
from resnet_jax.models.layers.operators import (
    BWN,
    XNOR,
    Binary,
    Ghost,
    binary,
    released_binary,
    released_sign,
    sign,
)
from resnet_jax.models.nets.resnet import ResNetSpec
from resnet_jax.models.units.branch import BASIC, BOTTLENECK, BOTTLENECK_3X3, SINGLE, B
from resnet_jax.models.units.shortcut import Gated
from resnet_jax.models.units.stage import Stage
from resnet_jax.models.units.unit import FULL_PRE, ORIGINAL, SE, ResidualUnit, UnitSpec
from resnet_jax.models.zoo.plain_nets import vgg
from resnet_jax.models.zoo.resnets import cifar_resnet, imagenet_resnet
from resnet_jax.paths import flat
from resnet_jax.train.task import make_task

CIFAR, IMAGENET = (32, 32, 3), (224, 224, 3)
V = BOTTLENECK_3X3
OPERATORS = {
    "ghost": Ghost(),
    "BWN": BWN,
    "XNOR": XNOR,
    "XNOR without K": Binary("signs"),
}


def having(operator, spec, **fields):
    layers = dataclasses.replace(spec.layers, operator=operator, **fields)
    return dataclasses.replace(spec, layers=layers)


# ---------------------------------------------------------------- counts

VGG = vgg(16, size="cifar")
# Han et al. 2020, Tables 3 to 6. The table's 0.43 M and 63 M of Ghost-ResNet-56 are
# these, where multiply-adds of the depthwise part are left out. Parameters of its
# Ghost-ResNet-50 (13.0 M, 6.5 M) are unsettled: by any reading of the paper there are
# more, unless the classifier shrinks too; its multiply-adds (2.2 G, 1.2 G) are these.
# fmt: off
ROWS = [  # name, network, images, parameters, multiply-adds
    ("Ghost-ResNet-56",     having(Ghost(), cifar_resnet(56, shortcut="A")), CIFAR,
                                                       438_154,    "65.3 M"),
    ("Ghost-VGG-16",        having(Ghost(), VGG),     CIFAR, 7_650_474, "158.1 M"),
    ("Ghost-VGG-16 s=3",    having(Ghost(3), VGG),    CIFAR, 5_218_476, "107.2 M"),
    ("Ghost-VGG-16 s=4",    having(Ghost(4), VGG),    CIFAR, 3_982_362,  "80.4 M"),
    ("Ghost-VGG-16 s=5",    having(Ghost(5), VGG),    CIFAR, 3_269_697,  "65.7 M"),
    ("Ghost-VGG-16 d=1",    having(Ghost(2, 1), VGG), CIFAR, "7.634 M", "157.0 M"),
    ("Ghost-VGG-16 d=5",    having(Ghost(2, 5), VGG), CIFAR, "7.684 M", "160.3 M"),
    ("Ghost-VGG-16 d=7",    having(Ghost(2, 7), VGG), CIFAR, "7.735 M", "163.6 M"),
    ("Ghost-ResNet-50",     having(Ghost(), imagenet_resnet(50, branch=V)), IMAGENET,
                                                          None,    "2.151 G"),
    ("Ghost-ResNet-50 s=4", having(Ghost(4), imagenet_resnet(50, branch=V)), IMAGENET,
                                                          None,    "1.182 G"),
]
# fmt: on


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_parameters_and_multiply_adds(row):
    _, spec, image, params, macs = row
    found = counted.params(spec, image)
    assert params is None or ghost_reference.same(found, params)
    assert ghost_reference.same(counted.multiply_adds(spec, image), macs)


@pytest.mark.parametrize("operator", [BWN, XNOR], ids=["BWN", "XNOR"])
@pytest.mark.parametrize("depth", [20, 56])
def test_binary_nets_have_the_parameters_of_plain_ones(operator, depth):
    """Names and shapes too: the real-valued weights are what is trained and kept."""
    spec = cifar_resnet(depth, order=FULL_PRE)
    one, other = (
        complexity.shapes(net.build(), CIFAR) for net in (spec, having(operator, spec))
    )
    assert jax.tree.leaves_with_path(one) == jax.tree.leaves_with_path(other)


def test_what_an_operator_leaves_as_it_is():
    """Stem, gates, classifier; and, for a Ghost module, depthwise convolutions."""
    unit = UnitSpec(B((1, 3), cardinality=8), join=Gated("both"), gate=SE(4))
    spec = ResNetSpec(depths=(1, 1), widths=(8, 12), stem_width=8, unit=unit)
    params = complexity.shapes(having(Ghost(), spec).build(), CIFAR)["params"]
    assert params["stem_conv"]["kernel"].shape == (3, 3, 3, 8)
    assert params["head"]["kernel"].shape == (12, 10)
    first = params["stage2"]["first"]
    assert first["gate_conv"]["kernel"].shape == (1, 1, 12, 12)
    assert first["shortcut_conv"]["kernel"].shape == (1, 1, 8, 6)
    assert first["cheap_shortcut_conv"]["kernel"].shape == (3, 3, 1, 6)
    spec = ResNetSpec(
        depths=(1,), widths=(8,), stem_width=8, unit=UnitSpec(B((1, 3, 1), 1.0, 8))
    )
    branch = complexity.shapes(having(Ghost(), spec).build(), CIFAR)["params"]["stage1"]
    branch = branch["first"]["branch"]
    assert branch["conv2"]["kernel"].shape == (3, 3, 1, 8)
    assert {name for name in branch if "conv2" in name} == {"conv2"}


# ---------------------------------------------------------------- values

SPEC = ResNetSpec(
    depths=(1, 3),
    widths=(8, 16),
    stem_width=4,
    num_classes=5,
    layers=LayersSpec(dtype="float64"),
)


def compare(spec, **expected):
    """Logits and running statistics, at test and in training."""
    net, generator = spec.build(), np.random.default_rng(0)
    variables = reference.draw(complexity.shapes(net, (8, 8, 3)), generator)
    images = generator.normal(size=(3, 8, 8, 3))
    for train in (False, True):
        with jax.disable_jit():
            logits, changed = net.apply(
                jax.tree.map(jnp.asarray, variables), jnp.asarray(images),
                train=train, mutable=["batch_stats"],
            )  # fmt: skip
        mine = copy.deepcopy(variables)
        by_hand = ghost_reference.Net(
            units=spec.depths, widths=spec.widths, train=train, **expected
        )
        close(logits, by_hand(images, mine))
        jax.tree.map(close, changed["batch_stats"], mine["batch_stats"])


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


ORDERS = {"original": ORIGINAL, "full pre-activation": FULL_PRE}
BRANCHES = {
    "basic": (BASIC, {"convs": 2}),
    "1x1": (BOTTLENECK, {"convs": 3, "inner": 1 / 4}),
    "3x3": (BOTTLENECK_3X3, {"convs": 3, "inner": 1 / 4, "strided": 2}),
}


@pytest.mark.compile
@pytest.mark.parametrize(
    "ghost, order, branch",
    [
        (Ghost(5, 1), "full pre-activation", "basic"),
        (Ghost(), "original", "basic"),
        (Ghost(), "full pre-activation", "1x1"),
        (Ghost(3, 5), "original", "3x3"),
    ],
    ids=str,
)
def test_ghost_modules(ghost, order, branch, float64):
    """Ratios that divide the widths and not; steps behind both parts of a module."""
    branch, expected = BRANCHES[branch]
    spec = dataclasses.replace(SPEC, unit=UnitSpec(branch, ORDERS[order]))
    operator = ghost_reference.ghost_module(ratio=ghost.ratio)
    compare(having(ghost, spec), operator=operator, order=order, **expected)


@pytest.mark.compile
def test_ghosts_have_rectifiers_of_their_own(float64):
    """A PReLU in a Ghost module: one slope a channel of each of its two parts."""
    compare(
        having(Ghost(), SPEC, act=PRelu()),
        operator=ghost_reference.ghost_module(ratio=2),
        act=reference.prelu,
    )


@pytest.mark.parametrize(
    "order, projections", [("original", "real"), ("full pre-activation", "binary")]
)
@pytest.mark.parametrize("inputs", tiers.one_in(3, ["scaled", "real", "signs"]))
def test_binary_convolutions(inputs, order, projections, float64):
    """Norm, sign, convolution: the paper's order is full pre-activation without act."""
    branch, expected = BRANCHES["3x3"]
    spec = dataclasses.replace(SPEC, unit=UnitSpec(branch, ORDERS[order]))
    fields = {"inputs": inputs, "projections": projections}
    compare(
        having(Binary(**fields), spec, act=Linear()),
        operator=ghost_reference.binary_convolution(**fields),
        order=order,
        act=lambda y, at: y,
        **expected,
    )


def test_binary_weights_under_a_rectifier(float64):
    compare(
        having(BWN, SPEC), operator=ghost_reference.binary_convolution(inputs="real")
    )


class Single:
    """One operator by itself, as a branch."""

    def __init__(self, kernel, groups):
        self.kernel, self.groups = kernel, groups

    @property
    def kernels(self):
        return (self.kernel,)

    def __call__(self, layers, x, features, strides, end):
        return layers.conv(
            x, features, kernel=self.kernel, strides=strides, groups=self.groups,
            name="conv1",
        )  # fmt: skip


def single(operator, *, kernel=3, groups=1, strides=1, features=6, channels=4, rank=2):
    """y = operator(x) of a unit without norms or shortcut, its kernel, and x."""
    layers = LayersSpec(operator=operator, dtype="float64", norm=None, rank=rank)
    unit = UnitSpec(Single(kernel, groups), FULL_PRE, "none")
    unit = dataclasses.replace(unit, order=dataclasses.replace(FULL_PRE, before=()))
    net = ResidualUnit(unit, layers, features, strides)
    generator = np.random.default_rng(1)
    x = generator.normal(size=(2, *(5,) * rank, channels))
    init = functools.partial(net.init, train=False)
    shapes = jax.eval_shape(init, jax.random.key(0), jnp.asarray(x), None)
    variables = reference.draw(shapes, generator)

    def apply(x, kernel):
        params = {"branch": {"conv1": {"kernel": kernel}}}
        return net.apply({"params": params}, x, None, train=False)

    return apply, variables["params"]["branch"]["conv1"]["kernel"], x


@pytest.mark.parametrize("strides", [1, 2])
def test_grouped_xnor_is_one_xnor_a_group(strides, float64):
    """K of a group is made of the channels that its filters see."""
    apply, kernel, x = single(XNOR, groups=2, strides=strides)
    parts = []
    for part, filters in zip(np.split(x, 2, 3), np.split(kernel, 2, 3), strict=True):
        y = ghost_reference.conv(
            ghost_reference.sign(part), ghost_reference.sign(filters), stride=strides
        )
        k = ghost_reference.scale_of_inputs(part, 3, stride=strides)
        parts.append(y * k * ghost_reference.alpha(filters))
    close(apply(jnp.asarray(x), jnp.asarray(kernel)), np.concatenate(parts, 3))


def test_scale_is_the_mean_of_what_a_window_sees(float64):
    """|I| = 2 everywhere: K = 2 inside, and 4/9 of it in a corner of zeros."""
    apply, kernel, x = single(XNOR)
    flat = jnp.full(x.shape, 2.0)
    ratio = apply(flat, jnp.asarray(kernel)) / single(Binary("signs"))[0](
        flat, jnp.asarray(kernel)
    )
    close(ratio[:, 1:-1, 1:-1], 2.0)
    close(ratio[:, 0, 0], 2 * 4 / 9)
    close(ratio[:, 0, 1:-1], 2 * 6 / 9)


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("name", OPERATORS)
def test_any_number_of_spatial_axes(name, rank):
    layers = LayersSpec(operator=OPERATORS[name], rank=rank, act=Linear())
    net = ResidualUnit(UnitSpec(order=FULL_PRE), layers, 8, 2)
    init = functools.partial(net.init_with_output, train=False)
    x = jax.ShapeDtypeStruct((2, *(6,) * rank, 4), jnp.float32)
    y, variables = jax.eval_shape(init, jax.random.key(0), x, None)
    assert y.shape == (2, *(3,) * rank, 8)
    kernel = variables["params"]["branch"]["conv1"]["kernel"]
    assert kernel.shape == (*(3,) * rank, 4, 4 if name == "ghost" else 8)


@pytest.mark.parametrize("name", OPERATORS)
def test_bfloat16_arithmetic_keeps_float32_parameters(name):
    """What is learned stays wide, and so does alpha, until the convolution."""
    layers = LayersSpec(operator=OPERATORS[name], act=Linear())
    wide = ResidualUnit(UnitSpec(SINGLE, FULL_PRE), layers, 8)
    low = ResidualUnit(wide.unit, dataclasses.replace(layers, dtype="bfloat16"), 8)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 6, 6, 8)), jnp.float32)
    variables = wide.init(jax.random.key(0), x, None, train=False)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {x.dtype}
    y = wide.apply(variables, x, None, train=False)
    near = low.apply(variables, x.astype(jnp.bfloat16), None, train=False)
    assert near.dtype == jnp.bfloat16
    scale = np.abs(y).max()
    np.testing.assert_allclose(near.astype(jnp.float32), y, atol=0.02 * scale)


# ---------------------------------------------------------------- gradients


def test_sign_and_its_straight_through_gradient():
    """sign(0) = +1; the gradient passes where |r| <= 1, both ends included."""
    r = jnp.asarray([-2.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 1.5])
    y, back = jax.vjp(sign, r)
    np.testing.assert_array_equal(y, [-1, -1, -1, 1, 1, 1, 1, 1])
    np.testing.assert_array_equal(back(3.0 * jnp.ones(8))[0], [0, 3, 3, 3, 3, 3, 3, 0])


def test_binary_kernels_and_their_gradient(float64):
    """dC/dW_i = dC/dW~_i (1/n + alpha dsign/dW_i), n = c w h  (Sec. 3.1)."""
    generator = np.random.default_rng(0)
    kernel, g = generator.normal(size=(2, 3, 3, 4, 5))
    kernel[0, 0, 0, 0], kernel[1, 1, 1, 1] = 1.0, 0.0
    y, back = jax.vjp(binary, jnp.asarray(kernel))
    n = 3 * 3 * 4
    expected = np.empty_like(kernel)
    for f in range(5):
        w, a = kernel[..., f], np.abs(kernel[..., f]).sum() / n
        close(y[..., f], np.where(w < 0, -a, a))
        expected[..., f] = g[..., f] * (1 / n + np.where(np.abs(w) <= 1, a, 0))
    close(back(jnp.asarray(g))[0], expected)
    assert (np.abs(kernel) > 1).any()


def test_alpha_is_the_best_scale(float64):
    """argmin of |W - a B|^2 over a, for B = sign(W)  (Eq. 6)."""
    kernel = np.random.default_rng(0).normal(size=(3, 3, 4, 5))
    near = np.asarray(binary(jnp.asarray(kernel)))
    error = ((kernel - near) ** 2).sum((0, 1, 2))
    for factor in (0.99, 1.01):
        assert (((kernel - factor * near) ** 2).sum((0, 1, 2)) > error).all()


@pytest.mark.parametrize("inputs", ["real", "signs"])
@pytest.mark.parametrize("strides", [1, 2])
def test_gradients_of_a_binary_convolution(inputs, strides, float64):
    """Those of the convolution at sign(x) and alpha B, passed on by the rules."""
    apply, kernel, x = single(Binary(inputs), strides=strides)
    y, back = jax.vjp(apply, jnp.asarray(x), jnp.asarray(kernel))
    g = np.random.default_rng(2).normal(size=y.shape)
    by_x, by_kernel = back(jnp.asarray(g))
    alpha, b = ghost_reference.alpha(kernel), ghost_reference.sign(kernel)
    met = x if inputs == "real" else ghost_reference.sign(x)
    dx, dw = slopes_of_convolution(met, alpha * b, g, stride=strides)
    if inputs == "signs":
        dx *= np.abs(x) <= 1
    close(by_x, dx)
    close(by_kernel, dw * (1 / (9 * 4) + alpha * (np.abs(kernel) <= 1)))


def test_gradients_of_a_scaled_binary_convolution(float64):
    """y = c(sign x) K(x): the rule by sign x, the chain rule by K."""
    apply, kernel, x = single(XNOR)
    y, back = jax.vjp(apply, jnp.asarray(x), jnp.asarray(kernel))
    g = np.random.default_rng(2).normal(size=y.shape)
    by_x, by_kernel = back(jnp.asarray(g))
    alpha, b = ghost_reference.alpha(kernel), ghost_reference.sign(kernel)
    signs, k = ghost_reference.sign(x), ghost_reference.scale_of_inputs(x, 3)
    dx, dw = slopes_of_convolution(signs, alpha * b, g * k, stride=1)
    by_scale = (g * ghost_reference.conv(signs, alpha * b)).sum(3, keepdims=True)
    box = np.full((3, 3, 1, 1), 1 / 9)
    da, _ = slopes_of_convolution(np.abs(x)[..., :1], box, by_scale, stride=1)
    close(by_x, dx * (np.abs(x) <= 1) + signs * da / 4)
    close(by_kernel, dw * (1 / (9 * 4) + alpha * (np.abs(kernel) <= 1)))


def slopes_of_convolution(x, kernel, g, *, stride):
    """d(sum g * conv(x, kernel)), which is linear in each, entry by entry."""

    def of(at, value):
        slopes = np.empty_like(value)
        for where in np.ndindex(*value.shape):
            one = np.zeros_like(value)
            one[where] = 1
            slopes[where] = (g * at(one)).sum()
        return slopes

    conv = functools.partial(ghost_reference.conv, stride=stride)
    return of(lambda e: conv(e, kernel), x), of(lambda e: conv(x, e), kernel)


@pytest.mark.compile
@pytest.mark.parametrize("name", ["ghost", "XNOR"])
def test_all_ways_to_run_a_stage_are_equal(name, float64):
    """Output, statistics and gradients of compiled loops, and none is empty."""
    unit = UnitSpec(order=FULL_PRE)
    layers = LayersSpec(operator=OPERATORS[name], act=Linear(), dtype="float64")
    results = []
    for mode in ("scan", "remat"):
        net = Stage(unit, unit, layers, 4, 8, 2, mode)
        generator = np.random.default_rng(0)
        x = jnp.asarray(generator.normal(size=(4, 8, 8, 4)))
        init = functools.partial(net.init, train=False)
        shapes = jax.eval_shape(init, jax.random.key(0), x, None)
        variables = jax.tree.map(jnp.asarray, reference.draw(shapes, generator))

        def loss(params, x, net=net, variables=variables):
            y, stats = net.apply(
                variables | {"params": params}, x, None, train=True,
                mutable=["batch_stats"],
            )  # fmt: skip
            return jnp.square(y).sum(), (y, stats)

        run = jax.jit(
            jax.grad(loss, argnums=(0, 1), has_aux=True),
            compiler_options={"xla_backend_optimization_level": 0},
        )
        results.append(run(variables["params"], x))
    for other in results[1:]:
        jax.tree.map(
            functools.partial(np.testing.assert_allclose, rtol=1e-8, atol=1e-9),
            other,
            results[0],
        )
    for path, leaf in jax.tree.leaves_with_path(results[0][0]):
        assert np.isfinite(leaf).all() and np.abs(leaf).max() > 0, path


def test_no_rectifier_keeps_the_variance():
    """Var[w] = 1 / n behind the identity (He et al. 2015, Eq. 10, without its 2)."""
    spec, x = LayersSpec(act=Linear()), jnp.asarray([-2.0, 0.0, 3.0])
    np.testing.assert_array_equal(spec.act(x, train=True, name="act"), x)
    draw = spec.init(slope=spec.act.slope)
    kernel = draw(jax.random.key(0), (3, 3, 64, 128), jnp.float32)
    assert kernel.var() * 9 * 128 == pytest.approx(1, abs=0.02)


# ---------------------------------------------------------------- what is refused

ILLEGAL = [
    (lambda: Ghost(ratio=1), r"model\.operator\.ratio=1: must be 2 or more"),
    (lambda: Ghost(kernel=2), r"model\.operator\.kernel=2: must be odd"),
    (lambda: Ghost(kernel=-1), r"model\.operator\.kernel=-1: must be odd"),
]


@pytest.mark.parametrize("make, message", ILLEGAL)
def test_illegal_operators_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_groups_must_divide_the_intrinsic_maps():
    unit = UnitSpec(B((1, 3, 1), inner=1 / 2, cardinality=4))
    spec = ResNetSpec(depths=(1,), widths=(16,), unit=unit)
    message = r"operator.ratio=3: leaves 3 intrinsic maps of 8 in conv2; its 4 groups"
    with pytest.raises(ConfigError, match=message):
        complexity.shapes(having(Ghost(3), spec).build(), CIFAR)


def test_the_released_rule_of_binary_kernels(float64):
    """n (1 - 1/c) (1/n + alpha [|W| < 1]), with sign(0) = 0 (util.lua)."""
    generator = np.random.default_rng(0)
    kernel, g = generator.normal(size=(2, 3, 3, 4, 5))
    kernel[0, 0, 0, 0], kernel[1, 1, 1, 1] = 1.0, 0.0
    y, back = jax.vjp(released_binary, jnp.asarray(kernel))
    n, expected = 3 * 3 * 4, np.empty_like(kernel)
    for f in range(5):
        w = kernel[..., f]
        alpha = np.abs(w).sum() / n
        close(y[..., f], np.sign(w) * alpha)
        m = np.where((w <= -1) | (w >= 1), 0, alpha) + 1 / n
        expected[..., f] = g[..., f] * m * (1 - 1 / 4) * n
    close(back(jnp.asarray(g))[0], expected)
    r = jnp.asarray([-1.0, -0.5, 0.0, 1.0, 2.0])
    signs, back = jax.vjp(released_sign, r)
    np.testing.assert_array_equal(signs, [-1, -1, 0, 1, 1])
    np.testing.assert_array_equal(back(jnp.ones(5))[0], [0, 1, 1, 0, 0])


@pytest.mark.compile
def test_released_kernels_are_centred_and_clamped_after_every_update(float64):
    """But not those of the stem, the head and projections."""
    operator = {"name": "binary", "rule": "released"}
    fields = {"train.dtype": "float64", "model.operator": operator}
    made = tinytask.experiment(fields, units=2)
    task = make_task(made)
    params = task.init(jax.random.key(0))["params"]
    grads = jax.tree.map(
        lambda x: 50 * jnp.sin(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape),
        params,
    )
    updates, _ = task.tx.update(grads, task.tx.init(params), params)
    new = flat(optax.apply_updates(params, updates))
    plain = made.optim.build()
    other, _ = plain.update(grads, plain.init(params), params)
    bare = flat(optax.apply_updates(params, other))
    binary = {name for name in new if "branch" in name and name.endswith("kernel")}
    assert binary
    for name, kernel in new.items():
        expected = np.asarray(bare[name])
        if name in binary:
            expected = np.clip(expected - expected.mean(-2, keepdims=True), -1, 1)
            start = np.asarray(flat(params)[name])
            assert np.abs(start.mean(-2)).max() < 1e-12 and np.abs(start).max() <= 1
        np.testing.assert_allclose(kernel, expected, rtol=0, atol=1e-12)
