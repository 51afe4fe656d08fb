"""Runge-Kutta steps by their definition, and RKCNN: counts and values against NumPy."""

import dataclasses
import math

import comparing
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference_nd as nd

from resnet_jax.errors import ConfigError
from resnet_jax.models import complexity
from resnet_jax.models.layers.activations import PRelu
from resnet_jax.models.layers.layers import LayersSpec
from resnet_jax.models.nets.rkcnn import RKCNNSpec
from resnet_jax.models.units import runge_kutta
from resnet_jax.models.units.branch import BASIC, BOTTLENECK, B
from resnet_jax.models.units.runge_kutta import Clique, RungeKutta, Tableau
from resnet_jax.models.units.unit import (
    FULL_PRE,
    ORIGINAL,
    SE,
    Order,
    ResidualUnit,
    UnitSpec,
)
from resnet_jax.models.zoo.resnets import cifar_resnet
from resnet_jax.models.zoo.steps_and_grids import rk_resnet, rkcnn

pytestmark = pytest.mark.usefixtures("float64")


# name, net, classes, parameters, multiply-adds; 80 channels, "attention", 32x32
COUNTS = [
    ("RKCNN-E-5_5_5", rkcnn(32), 10, 1_192_810, "526.5 M"),
    ("RKCNN-I-5_5_5", rkcnn(62, branch=Clique(update="in_place")), 100,
     2_572_900, "1128.6 M"),
    ("RKCNN-R-5_5_5", rkcnn(62, branch=Clique(update="at_once")), 100,
     2_572_900, "1128.6 M"),
]  # fmt: skip


@pytest.mark.parametrize("row", COUNTS, ids=lambda row: row[0])
def test_parameters_and_multiply_adds(row):
    """1.129 G in the notes on the released code."""
    _, spec, classes, params, macs = row
    net = dataclasses.replace(spec, num_classes=classes).build()
    assert complexity.num_params(net, (32, 32, 3)) == params
    assert f"{complexity.multiply_adds(net, (32, 32, 3)) / 1e6:.1f} M" == macs


def test_shared_weights_are_those_of_the_residual_net():
    image = (32, 32, 3)
    for order in (ORIGINAL, FULL_PRE):
        resnet = complexity.num_params(cifar_resnet(20, order=order).build(), image)
        assert (
            complexity.num_params(rk_resnet(20, order=order).build(), image) == resnet
        )
    own = rk_resnet(20, branch=RungeKutta(weights="own"))
    # six units of two 3x3 convolutions and norms, three more times
    more = 3 * sum(2 * (18 * c * c + 4 * c) for c in (16, 32, 64))
    resnet = complexity.num_params(cifar_resnet(20).build(), image)
    assert complexity.num_params(own.build(), image) == resnet + more


# ---------------------------------------------------------------- tableaux

LINEAR = B((1,))  # f(x) = A x
ORDERS = {"EULER": 1, "MIDPOINT": 2, "HEUN": 2, "KUTTA3": 3, "RK4": 4}
A = np.random.default_rng(0).normal(size=(3, 3)) / 3


def step(branch, x, kernel=A):
    """x + F(x), where each f is the product with A (a row vector times the kernel)."""
    net = comparing.applied(branch, 3, train=False)
    variables = comparing.made(net, x)
    for f in variables["params"].values():
        f["conv1"]["kernel"] = kernel[None, None]
    return x + comparing.run(net, variables, x)[0]


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("weights", ["shared", "own"])
def test_a_step_is_the_exponential_up_to_its_order(name, weights):
    """As many stages as the order: on dx/dt = A x exactly 1 + A + ... + A^p / p!."""
    tableau = getattr(runge_kutta, name)
    x = comparing.drawn(2, 2, 2, 3)
    powers = [np.linalg.matrix_power(A, k) / math.factorial(k) for k in range(5)]
    expected = x @ sum(powers[: ORDERS[name] + 1])
    comparing.close(step(RungeKutta(tableau, LINEAR, weights), x), expected)


@pytest.mark.parametrize("name, left, right", [
    ("IMPLICIT_EULER", 1.0, 0.0), ("IMPLICIT_MIDPOINT", 0.5, 0.5),
])  # fmt: skip
def test_sweeps_lead_to_the_solution_of_an_implicit_step(name, left, right):
    """(1 - left A)^-1 (1 + right A) x, where A is a contraction."""
    tableau, x, one = getattr(runge_kutta, name), comparing.drawn(2, 2, 2, 3), np.eye(3)
    small = A / 4
    expected = x @ (one + right * small) @ np.linalg.inv(one - left * small)
    got = step(RungeKutta(tableau, LINEAR, sweeps=60), x, small)
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


ROOT = math.sqrt(3)
GAUSS = Tableau(
    ((1 / 4, 1 / 4 - ROOT / 6), (1 / 4 + ROOT / 6, 1 / 4)), (1 / 2, 1 / 2)
)  # of two stages, order 4


def test_a_sweep_replaces_slopes_one_after_the_other():
    x = comparing.drawn(2, 2, 2, 3)
    k = [np.zeros_like(x)] * 2
    for _ in range(3):
        for i in range(2):
            k[i] = (x + GAUSS.a[i][0] * k[0] + GAUSS.a[i][1] * k[1]) @ A
    got = step(RungeKutta(GAUSS, LINEAR, sweeps=3), x)
    comparing.close(got, x + (k[0] + k[1]) / 2)


def heun(x, at, after):
    """x + (f(x) + f(x + f(x))) / 2, f with its norms; statistics seen one by one."""

    def f(z):
        y = at.norm_relu(at.conv(z, "conv1"), "1")
        return at.norm(at.conv(y, "conv2"), "2")

    first = f(x)
    return after(x + (first + f(x + first)) / 2)


def test_a_nonlinear_step_with_norms():
    unit = UnitSpec(RungeKutta(runge_kutta.HEUN))
    stage = rk_stage(unit)
    x = comparing.drawn(3, 5, 5, 4)
    comparing.compare(stage, lambda x, at: heun(x, at["branch"]["f"], nd.relu), x)


def rk_stage(unit, features=4, **layers):
    class Unit(ResidualUnit):
        def __call__(self, x, *, train):
            return super().__call__(x, None, train=train)

    return Unit(unit, LayersSpec(dtype="float64", **layers), features)


@pytest.mark.compile
@pytest.mark.parametrize("order", [ORIGINAL, FULL_PRE], ids=["original", "pre"])
@pytest.mark.parametrize("branch", [BASIC, BOTTLENECK], ids=["basic", "bottleneck"])
def test_eulers_net_is_the_residual_net(order, branch):
    layers = LayersSpec(dtype="float64")
    depth = 14 if branch == BASIC else 20
    fields = {"order": order, "width": 1 / 4}
    resnet = cifar_resnet(depth, branch=branch, **fields)
    euler = rk_resnet(depth, branch=RungeKutta(runge_kutta.EULER, branch), **fields)
    resnet, euler = (
        dataclasses.replace(spec, layers=layers).build() for spec in (resnet, euler)
    )
    x = comparing.drawn(2, 8, 8, 3)
    variables = comparing.made(resnet, x, train=False)
    expected, _ = comparing.run(resnet, variables, x, train=True)
    renamed = {kind: into_steps(tree) for kind, tree in variables.items()}
    got, _ = comparing.run(euler, renamed, x, train=True)
    comparing.close(got, expected)


def into_steps(tree):
    """Variables of a residual net as those of the net of steps: all of F is f."""
    new = dict(tree)
    for name in ("stage1", "stage2", "stage3"):
        rest = dict(tree[name]["rest"])
        f = dict(rest.pop("branch"))
        f |= {key: rest.pop(key) for key in list(rest) if key.endswith("_before")}
        new[name] = tree[name] | {"rest": rest | {"branch": {"f": f}}}
    return new


# ---------------------------------------------------------------- RKCNN


def stage(sources, at, name):
    """BN, ReLU, 1x1, BN, ReLU, 3x3 of everything side by side."""
    y = at.norm_relu(np.concatenate(sources, axis=-1), f"{name}_before")
    y = at.norm_relu(at.conv(y, f"{name}_conv1"), f"{name}_1")
    return at.conv(y, f"{name}_conv2")


def increment(x, at, *, stages, update):
    """RK_block.forward of the authors: `replace` is update="in_place"."""
    blobs = []
    for j in range(stages):
        blobs.append(stage([x, *blobs], at, f"stage{j + 1}"))
    if update == "none":
        return sum(blobs)
    new = blobs if update == "in_place" else [None] * stages
    for i in range(stages):
        others = [blobs[j] for j in range(stages) if j != i]
        new[i] = stage([x, *others], at, f"update{i + 1}")
    return sum(new)


def whole_net(x, at, *, stages, update, attention):
    x, features = at.conv(x, "stem_conv"), []
    for period in (1, 2, 3):
        if period > 1:
            here = at[f"transition{period - 1}"]
            y = here["branch"].conv(here.norm_relu(x, "before"), "conv1")
            if attention:
                s = nd.relu(here.dense(nd.mean(y), "squeeze"))
                s = 1 / (1 + np.exp(-here.dense(s, "excite")))
                y = y * s[:, None, None]
            x = nd.mean_pool(y, 2)
        for step in range(2):
            here = at[f"stage{period}"].unit(step)["branch"]
            x = x + increment(x, here, stages=stages, update=update)
        features.append(nd.mean(at.norm_relu(x, f"head{period}")))
    return at.dense(np.concatenate(features, axis=-1), "head")


@pytest.mark.compile
@pytest.mark.parametrize("update", ["in_place", "none", "at_once"])
def test_rkcnn(update):
    gate = None if update == "at_once" else SE(reduction=2)
    spec = RKCNNSpec(
        depths=(2, 2, 2), width=4, gate=gate, layers=LayersSpec(dtype="float64"),
        unit=UnitSpec(Clique(2, 1.5, update), Order(), "A"),
    )  # fmt: skip

    def expected(x, at):
        return whole_net(x, at, stages=2, update=update, attention=gate is not None)

    comparing.compare(spec.build(), expected, comparing.drawn(2, 8, 8, 3))


def test_in_place_and_at_once_agree_on_the_first_stage_alone():
    x = comparing.drawn(2, 4, 4, 4)
    outputs = []
    for update in ("in_place", "at_once"):
        net = comparing.applied(Clique(2, update=update), 4, train=False)
        variables = jax.tree.map(jnp.asarray, comparing.made(net, x))
        with jax.disable_jit():
            _, seen = net.apply(
                variables, jnp.asarray(x), capture_intermediates=True,
                mutable=["intermediates"],
            )  # fmt: skip
        seen = seen["intermediates"]
        outputs.append([seen[f"update{i}_conv2"]["__call__"][0] for i in (1, 2)])
    comparing.close(outputs[0][0], outputs[1][0])
    assert np.abs(outputs[0][1] - outputs[1][1]).max() > 1e-3


def test_one_stage_is_a_pre_activation_unit():
    x = comparing.drawn(2, 4, 4, 4)
    clique = comparing.applied(Clique(1, neck=2.0), 4, train=True)
    variables = comparing.made(clique, x)
    unit = rk_stage(UnitSpec(B((1, 3), inner=2.0), FULL_PRE))
    renamed = {}
    for kind, tree in variables.items():
        of_unit = {name.replace("stage1_", ""): leaf for name, leaf in tree.items()}
        before = of_unit.pop("norm_before")
        renamed[kind] = {"norm_before": before, "branch": of_unit}
    expected, _ = comparing.run(unit, renamed, x, train=True)
    f, _ = comparing.run(clique, variables, x)
    comparing.close(x + f, expected)


@pytest.mark.compile
def test_dropout_of_rkcnn_acts_in_training_alone():
    spec = RKCNNSpec(depths=(1, 1), width=4, unit=UnitSpec(Clique(2), Order(), "A"))
    x = comparing.drawn(2, 8, 8, 3)
    nets = [dataclasses.replace(spec, dropout=rate).build() for rate in (0.0, 0.5)]
    variables = comparing.made(nets[0], x, train=False)
    at_test = [comparing.run(net, variables, x, train=False)[0] for net in nets]
    np.testing.assert_array_equal(*at_test)
    rngs = {"noise": jax.random.key(0, impl="rbg")}
    in_training = [
        comparing.run(net, variables, x, train=True, rngs=rngs)[0] for net in nets
    ]
    assert np.abs(in_training[0] - in_training[1]).max() > 1e-3


@pytest.mark.parametrize("rank", [2, 3])
def test_steps_mix_with_gates_rectifiers_and_axes(rank):
    unit = UnitSpec(RungeKutta(runge_kutta.HEUN), FULL_PRE, "B", SE(4))
    net = ResidualUnit(unit, LayersSpec(act=PRelu(), rank=rank), 8)
    x = jnp.asarray(comparing.drawn(2, *(3,) * rank, 8), jnp.float32)
    variables = comparing.made(net, x, None, train=False)

    def loss(params):
        y, _ = net.apply(
            variables | {"params": params}, x, None, train=True, mutable=["batch_stats"]
        )
        return jnp.sum(y**2)

    gradients = jax.tree.leaves(comparing.gradient(loss, variables["params"]))
    assert all(np.isfinite(g).all() and np.abs(g).max() > 0 for g in gradients)


# ---------------------------------------------------------------- what is refused

ILLEGAL = [
    (
        lambda: Tableau(((), (1.0,)), (1 / 2, 1 / 3)),
        r"weights b must sum to 1; .*0\.83",
    ),
    (lambda: Tableau(((), (1.0, 0.0, 0.0)), (0.5, 0.5)), r"row 1 of a must have 1 ent"),
    (lambda: Tableau(((),), (0.5, 0.5)), r"tableau: 1 rows a, but 2 weights b"),
    (lambda: Tableau((), ()), r"tableau: 0 rows a"),
    (lambda: RungeKutta(GAUSS), r"sweeps=1: .* at least 2 for an implicit one"),
    (lambda: RungeKutta(sweeps=2), r"sweeps=2: must be 1 for an explicit tableau"),
    (lambda: rk_resnet(21), r"model\.depth=21: must be 6n\+2"),
    (lambda: rkcnn(33), r"model\.depth=33: must be 30n\+2"),
    (lambda: rkcnn(32, branch=Clique(update="at_once")), r"must be 60n\+2"),
    (lambda: Clique(0), r"stages=0: must be at least 1"),
    (lambda: RKCNNSpec(depths=(1, 0)), r"depths=\(1, 0\), width=80: at least one step"),
]


@pytest.mark.parametrize("make, message", ILLEGAL)
def test_illegal_nets_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_a_clique_cannot_resize():
    net = ResidualUnit(UnitSpec(Clique(2)), LayersSpec(), 8, 2)
    with pytest.raises(ConfigError, match="one size; it changes in transitions"):
        comparing.made(net, jnp.zeros((1, 4, 4, 4)), None, train=False)
