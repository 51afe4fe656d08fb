"""Every slot of the equation against an independent forward pass in NumPy, float64.

The networks run operation by operation here, without jit, for speed; test_scan.py shows
that the compiled loops compute the same.
"""

import copy
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
import tiers

from resnet_jax.models import complexity
from resnet_jax.models.layers.activations import Elu, LeakyRelu, PRelu, RRelu
from resnet_jax.models.layers.layers import LayersSpec
from resnet_jax.models.nets.resnet import ResNetSpec
from resnet_jax.models.nets.stem_head import IMAGENET
from resnet_jax.models.units.branch import BASIC, BOTTLENECK, BOTTLENECK_3X3, SINGLE
from resnet_jax.models.units.shortcut import Dropped, Gated, Scaled
from resnet_jax.models.units.unit import (
    FULL_PRE,
    NORM_AFTER_ADDITION,
    ORIGINAL,
    RELU_BEFORE_ADDITION,
    RELU_ONLY_PRE,
    SE,
    UnitSpec,
)

ORDERS = {
    "original": ORIGINAL,
    "norm after addition": NORM_AFTER_ADDITION,
    "relu before addition": RELU_BEFORE_ADDITION,
    "relu-only pre-activation": RELU_ONLY_PRE,
    "full pre-activation": FULL_PRE,
}
BRANCHES = {
    BASIC: {"convs": 2},
    BOTTLENECK: {"convs": 3},
    BOTTLENECK_3X3: {"convs": 3, "strided": 2},
    SINGLE: {"convs": 1},
}
SPEC = ResNetSpec(
    depths=(2, 3),
    widths=(8, 16),
    stem_width=4,
    num_classes=5,
    layers=LayersSpec(dtype="float64"),
)
SAME = {"units": SPEC.depths, "widths": SPEC.widths}  # the same in the reference


pytestmark = pytest.mark.usefixtures("float64")


def example(spec, seed=0, *, size=8):
    """A net, made-up variables, and images."""
    net, generator = spec.build(), np.random.default_rng(seed)
    shapes = complexity.shapes(net, (size, size, 3))
    variables = reference.draw(shapes, generator)
    return net, variables, generator.normal(size=(3, size, size, 3))


def run(net, variables, images, *, train, **kwargs):
    with jax.disable_jit():
        return net.apply(
            jax.tree.map(jnp.asarray, variables),
            jnp.asarray(images),
            train=train,
            mutable=["batch_stats", "intermediates"],
            **kwargs,
        )


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


def compare(spec, *, size=8, modes=(False, True), **expected):
    """Logits and running statistics, at test and in training."""
    net, variables, images = example(spec, size=size)
    for train in modes:
        logits, changed = run(net, variables, images, train=train)
        mine = copy.deepcopy(variables)
        close(logits, reference.Net(**SAME | expected, train=train)(images, mine))
        jax.tree.map(close, changed["batch_stats"], mine["batch_stats"])
    return logits


def unit(**fields):
    return dataclasses.replace(SPEC, unit=UnitSpec(**fields))


def layers(**fields):
    return dataclasses.replace(SPEC.layers, **fields)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    "branch", tiers.one_in(2, [BASIC, BOTTLENECK]), ids=["basic", "bottleneck"]
)
@pytest.mark.parametrize(
    "shortcut", tiers.one_in(2, ["A", "B", "C", "avgpool-A", "none"])
)
def test_every_order_branch_and_shortcut(order, branch, shortcut):
    spec = unit(branch=branch, order=ORDERS[order], shortcut=shortcut)
    compare(spec, order=order, shortcut=shortcut, **BRANCHES[branch])


@pytest.mark.parametrize("branch", [BOTTLENECK_3X3, SINGLE], ids=["3x3", "single"])
@pytest.mark.parametrize("order", ["original", "full pre-activation"])
def test_other_branches(branch, order):
    spec = unit(branch=branch, order=ORDERS[order])
    compare(spec, order=order, **BRANCHES[branch])


# He et al. 2016b, Table 1: scalings and gates of the shortcut and of F.
JOINS = {
    "shortcut 0, F 1": (Scaled(0.0, 1.0), lambda h, f, at: f),
    "shortcut 0.5, F 1": (Scaled(0.5, 1.0), lambda h, f, at: h / 2 + f),
    "shortcut 0.5, F 0.5": (Scaled(0.5, 0.5), reference.constant_scaling),
    "exclusive gating": (Gated("both"), reference.exclusive_gating),
    "shortcut-only gating": (Gated("shortcut"), reference.shortcut_only_gating),
}


@pytest.mark.parametrize("name", JOINS)
@pytest.mark.parametrize("shortcut", tiers.one_in(2, ["A", "B"]))
def test_joins(name, shortcut):
    join, expected = JOINS[name]
    compare(unit(join=join, shortcut=shortcut), join=expected, shortcut=shortcut)


@pytest.mark.compile
def test_dropout_shortcut():
    """Dropout of the shortcut alone: at test the identity, in training h * m / 0.5."""
    spec = unit(join=Dropped(0.5), order=FULL_PRE)
    compare(spec, modes=(False,), order="full pre-activation")
    net, variables, images = example(spec)
    key = jax.random.key(1, impl="rbg")  # compiles fast
    logits, changed = run(
        net, variables, images, train=True, rngs={"noise": key},
        capture_intermediates=lambda module, _: module.name == "shortcut_dropout",
    )  # fmt: skip
    masks = [
        np.asarray(dropped != 0)
        for stage in ("stage1", "stage2")
        for kept in ("first", "rest")
        for captured in [changed["intermediates"][stage][kept]["shortcut_dropout"]]
        for dropped in (captured["__call__"][0],)
    ]
    masks = [mask for kept in masks for mask in (kept if kept.ndim == 5 else [kept])]
    assert len(masks) == sum(SPEC.depths)
    assert all(0.3 < mask.mean() < 0.7 for mask in masks)
    net = reference.Net(
        **SAME, train=True, order="full pre-activation",
        join=lambda h, f, at: h * masks.pop(0) / 0.5 + f,
    )  # fmt: skip
    close(logits, net(images, variables))


def test_gate_bias_starts_where_it_was_set():
    net = unit(join=Gated("both", bias=-7.0)).build()
    init = functools.partial(net.init, train=False)
    quick = jax.jit(init, compiler_options={"xla_backend_optimization_level": 0})
    variables = quick(jax.random.key(0, impl="rbg"), jnp.zeros((1, 8, 8, 3)))
    biases = variables["params"]["stage2"]["rest"]["gate_conv"]["bias"]
    np.testing.assert_array_equal(biases, np.full((2, 16), -7.0))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    "branch", tiers.one_in(2, [BOTTLENECK, BASIC]), ids=["bottleneck", "basic"]
)
def test_squeeze_and_excitation(order, branch):
    spec = unit(branch=branch, order=ORDERS[order], gate=SE(reduction=4))
    compare(spec, order=order, squeeze_excite=True, **BRANCHES[branch])


RECTIFIERS = {
    "leaky": (LeakyRelu(), reference.leaky_relu),
    "prelu channel-wise": (PRelu("channel"), reference.prelu),
    "prelu channel-shared": (PRelu("layer"), reference.prelu),
    "elu": (Elu(), reference.elu),
}


@pytest.mark.parametrize("name", tiers.one_in(2, RECTIFIERS))
@pytest.mark.parametrize("order", ["original", "full pre-activation"])
def test_rectifiers_in_stem_units_gates_and_head(name, order):
    act, expected = RECTIFIERS[name]
    spec = unit(order=ORDERS[order], gate=SE(4))
    spec = dataclasses.replace(spec, layers=layers(act=act))
    compare(spec, act=expected, order=order, squeeze_excite=True)


def test_randomised_rectifier_at_test():
    spec = dataclasses.replace(SPEC, layers=layers(act=RRelu()))
    compare(spec, modes=(False,), act=reference.rrelu_at_test)


@pytest.mark.parametrize("size", [32, 36])
@pytest.mark.parametrize("order", ["original", "full pre-activation"])
def test_imagenet_stem(order, size):
    """7x7 and the padded 3x3 max pool, where strides divide the size and not."""
    spec = dataclasses.replace(unit(order=ORDERS[order]), stem=IMAGENET)
    compare(spec, size=size, order=order, imagenet=True)


@pytest.mark.parametrize("order", ["original", "full pre-activation"])
@pytest.mark.parametrize("shortcut", ["B", "avgpool-A"])
def test_stochastic_depth_at_test(order, shortcut):
    """p_l = 1 - l/L (1 - p_L): 0.9, 0.8, ... for five units and p_L = 0.5."""
    spec = unit(order=ORDERS[order], shortcut=shortcut)
    spec = dataclasses.replace(spec, survival=0.5)
    keep = [0.9, 0.8, 0.7, 0.6, 0.5]
    compare(spec, modes=(False,), keep=keep, order=order, shortcut=shortcut)


@pytest.mark.compile
@pytest.mark.parametrize("shortcut", ["B", "avgpool-A"])
def test_stochastic_depth_in_training(shortcut):
    """Closed units leave the identity and old statistics; none is rescaled."""
    spec = dataclasses.replace(unit(shortcut=shortcut), survival=0.2)
    net, variables, images = example(spec)
    seen = set()
    for seed in range(4):
        rngs = {"drop_path": jax.random.key(seed, impl="rbg")}
        logits, changed = run(net, variables, images, train=True, rngs=rngs)
        opened = opened_units(variables["batch_stats"], changed["batch_stats"])
        mine = copy.deepcopy(variables)
        net_ = reference.Net(**SAME, train=True, keep=opened, shortcut=shortcut)
        close(logits, net_(images, mine))
        jax.tree.map(close, changed["batch_stats"], mine["batch_stats"])
        seen |= set(enumerate(opened))
    assert len({unit for unit, is_open in seen if not is_open}) >= 3
    assert len({unit for unit, is_open in seen if is_open}) >= 3


def opened_units(before, after):
    """Which units moved the running mean of their branch's first norm."""
    opened = []
    for stage in ("stage1", "stage2"):
        for part in ("first", "rest"):
            old, new = (
                np.atleast_2d(stats[stage][part]["branch"]["norm_1"]["mean"])
                for stats in (before, after)
            )
            opened += [bool(moved) for moved in (old != new).any(axis=1)]
    return opened


def test_head_without_bias_or_spatial_axes():
    """The head is a mean and a product: constant maps give the logits by hand."""
    net, variables, _ = example(dataclasses.replace(SPEC, depths=(1, 1)))
    black = np.zeros((1, 8, 8, 3))
    logits, _ = run(net, variables, black, train=False)
    net = reference.Net((1, 1), SPEC.widths)
    close(logits, net(black, variables))
