"""Every slot with every other: shapes, finite gradients; what is refused."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.activations import Elu, LeakyRelu, PRelu, RRelu
from resnet_jax.models.layers.layers import LayersSpec
from resnet_jax.models.nets.resnet import ResNetSpec
from resnet_jax.models.units.branch import BASIC, BOTTLENECK, BOTTLENECK_3X3, SINGLE, B
from resnet_jax.models.units.shortcut import Add, Dropped, Gated, Scaled
from resnet_jax.models.units.unit import (
    FULL_PRE,
    NORM_AFTER_ADDITION,
    ORIGINAL,
    RELU_BEFORE_ADDITION,
    RELU_ONLY_PRE,
    SE,
    ResidualUnit,
    UnitSpec,
)
from resnet_jax.models.zoo.resnets import cifar_resnet, imagenet_resnet

BRANCHES = {
    "basic": BASIC,
    "bottleneck": BOTTLENECK,
    "bottleneck, 3x3": BOTTLENECK_3X3,
    "single": SINGLE,
    "grouped": B((1, 3, 1), inner=1 / 2, cardinality=4, stride_at=1),
}
ORDERS = [
    ORIGINAL, NORM_AFTER_ADDITION, RELU_BEFORE_ADDITION, RELU_ONLY_PRE, FULL_PRE,
]  # fmt: skip
SHORTCUTS = ["A", "B", "C", "avgpool-A", "none"]
GATES = [None, SE(reduction=4)]
JOINS = [Add(), Scaled(), Gated("both"), Gated("shortcut"), Dropped()]
RECTIFIERS = [LeakyRelu(), PRelu("channel"), PRelu("layer"), RRelu(), Elu()]

# Five values in each of six slots: in these 25 units every value meets every value of
# every other slot (an orthogonal array, from Latin squares). Shortcut "none" joins
# nothing.
UNITS = [
    (
        UnitSpec(
            branch,
            ORDERS[j],
            SHORTCUTS[(i + j) % 5],
            None,
            JOINS[(i + 2 * j) % 5] if SHORTCUTS[(i + j) % 5] != "none" else Add(),
        ),
        RECTIFIERS[(i + 3 * j) % 5],
    )
    for i, branch in enumerate(BRANCHES.values())
    for j in range(5)
]


def key(seed):
    return jax.random.key(seed, impl="rbg")  # compiles fast


def image(rank, channels=8):
    return jnp.asarray(
        np.random.default_rng(0).normal(size=(4, *(4,) * rank, channels)), jnp.float32
    )


def made(unit, layers, *, features=16, strides=2):
    """A unit that may subsample and widen, its variables, and images."""
    net, x = ResidualUnit(unit, layers, features, strides), image(layers.rank)
    init = functools.partial(net.init, train=False)
    shapes = jax.eval_shape(init, key(0), x, None)
    variables = reference.draw(shapes, np.random.default_rng(1))
    as_shaped = functools.partial(jax.tree.map, lambda v, s: jnp.asarray(v, s.dtype))
    return net, as_shaped(variables, shapes), x


@pytest.mark.compile
@pytest.mark.parametrize("gate", GATES, ids=["open", "SE"])
@pytest.mark.parametrize("part", range(5))
def test_gradients_are_finite(gate, part):
    """By every parameter and by the input, in training; no parameter is left out."""
    for unit, act in UNITS[part::5]:
        unit = dataclasses.replace(unit, gate=gate)
        net, variables, x = made(unit, LayersSpec(act=act))

        def loss(params, x, net=net, variables=variables):
            y, _ = net.apply(
                variables | {"params": params}, x, None, train=True,
                mutable=["batch_stats"], rngs={"noise": key(1)},
            )  # fmt: skip
            return jnp.square(y + 1.0).sum()

        with jax.disable_jit():
            gradients = jax.grad(loss, argnums=(0, 1))(variables["params"], x)
        for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
            where = f"{unit} {act}: {jax.tree_util.keystr(path)}"
            assert np.isfinite(leaf).all(), where
            assert np.abs(leaf).max() > 0, where


@pytest.mark.parametrize("order", ORDERS)
def test_bfloat16_arithmetic_keeps_float32_parameters(order):
    """Outputs of bfloat16 units lie near those of float32; what is kept stays wide."""
    unit = UnitSpec(order=order, gate=SE(4))
    wide, variables, x = made(unit, LayersSpec())
    low, _, _ = made(unit, LayersSpec(dtype="bfloat16"))
    run = {"train": True, "mutable": ["batch_stats"]}
    with jax.disable_jit():
        y, _ = wide.apply(variables, x, None, **run)
        near, changed = low.apply(variables, x.astype(jnp.bfloat16), None, **run)
    assert near.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(changed)} == {jnp.dtype("float32")}
    scale = np.abs(y).max()
    np.testing.assert_allclose(near.astype(jnp.float32), y, atol=0.05 * scale)


def test_logits_of_a_bfloat16_net_are_float32():
    layers = LayersSpec(dtype="bfloat16")
    net = ResNetSpec(depths=(1,), widths=(8,), stem_width=8, layers=layers).build()
    init = functools.partial(net.init_with_output, train=False)
    logits, held = jax.eval_shape(init, key(0), jnp.zeros((2, 8, 8, 3)))
    assert logits.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(held)} == {jnp.dtype("float32")}


# ---------------------------------------------------------------- what is refused

ILLEGAL = [
    (lambda: cifar_resnet(51), r"model\.depth=51: must be 6n\+2 \(e\.g\. 110\)"),
    (lambda: cifar_resnet(2), r"model\.depth=2: must be 6n\+2 \(e\.g\. 110\)"),
    (lambda: cifar_resnet(-4), r"model\.depth=-4: must be 6n\+2"),
    (
        lambda: cifar_resnet(44, branch=BOTTLENECK),
        r"model\.depth=44: must be 9n\+2 \(e\.g\. 164\)",
    ),
    (
        lambda: cifar_resnet(111, branch=SINGLE),
        r"model\.depth=111: must be 3n\+2 \(e\.g\. 56\)",
    ),
    (lambda: imagenet_resnet(20), r"model\.depth=20: must be one of \(18, 34, 50, 101"),
    (lambda: cifar_resnet(20, width=0.3), r"model\.width=0\.3: widths \(4\.8"),
    (lambda: cifar_resnet(20, width=0.0), r"model\.width=0\.0: widths .* positive"),
    (
        lambda: ResNetSpec(depths=(3, 3), widths=(16,)),
        r"one unit per stage: got depths=\(3, 3\), widths=\(16,\)",
    ),
    (lambda: ResNetSpec(depths=(3, 0), widths=(16, 32)), r"one unit per stage"),
    (lambda: B((3, 3), stride_at=2), r"stride_at=2: must index kernels=\(3, 3\)"),
]


@pytest.mark.parametrize("make, message", ILLEGAL)
def test_illegal_networks_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_groups_must_divide_channels():
    unit = UnitSpec(B((1, 3, 1), inner=3 / 8, cardinality=4))
    with pytest.raises(
        ConfigError, match=r"4 groups must divide the 6 input and 6 .*conv2"
    ):
        made(unit, LayersSpec())


def test_closed_choices_are_checked(request):
    """By the type-checker that `--jaxtyping-packages` switches on."""
    if not request.config.getoption("jaxtyping_packages"):
        pytest.skip("types are not checked at run time")
    with pytest.raises(Exception, match="shortcut"):
        UnitSpec(shortcut="D")


def test_unknown_fields_of_a_unit_are_refused():
    with pytest.raises(TypeError, match="shortcuts"):
        cifar_resnet(20, shortcuts="A")
