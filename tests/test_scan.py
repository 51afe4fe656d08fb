"""Rolled = unrolled = rematerialised = a Python loop over units, in train mode.

Outputs, running statistics and gradients, in float64; draws of noise included.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.activations import PRelu, RRelu, RReluModule
from resnet_jax.models.layers.layers import LayersSpec
from resnet_jax.models.nets.resnet import ResNetSpec
from resnet_jax.models.units.branch import BOTTLENECK
from resnet_jax.models.units.shortcut import Dropped
from resnet_jax.models.units.stage import Stage
from resnet_jax.models.units.unit import FULL_PRE, SE, ResidualUnit, UnitSpec

UNITS, FEATURES, STRIDES = 6, 8, 2  # 5 behind the first: 1 and two segments of 2
MODES = ["scan", "unroll", "remat", "sqrt"]
NOISY = MODES[:3]  # the last refuses units that draw noise
QUICK = {"xla_backend_optimization_level": 0}  # halves the time to compile
BOTH = ["batch_stats", "intermediates"]


pytestmark = pytest.mark.usefixtures("float64")


def key(seed):
    return jax.random.key(seed, impl="rbg")  # compiles fast


PRELU = PRelu()


def stage(mode, *, unit, act=PRELU):
    layers = LayersSpec(act=act, dtype="float64")
    return Stage(unit, unit, layers, UNITS, FEATURES, STRIDES, mode)


def example(net, survival):
    generator = np.random.default_rng(0)
    x = jnp.asarray(generator.normal(size=(4, 8, 8, 4)))
    init = functools.partial(net.init, train=False)
    shapes = jax.eval_shape(init, key(0), x, survival)
    variables = jax.tree.map(jnp.asarray, reference.draw(shapes, generator))
    weights = jnp.asarray(generator.normal(size=(4, 4, 4, FEATURES)))
    return variables, x, weights


def train(apply, variables, x, weights):
    """Output, new statistics, and gradients of a weighted sum of squares."""

    def loss(params, x):
        y, stats = apply(variables | {"params": params}, x)
        return jnp.sum(weights * jnp.square(y)), (y, stats)

    gradient = jax.grad(loss, argnums=(0, 1), has_aux=True)
    return jax.jit(gradient, compiler_options=QUICK)(variables["params"], x)


def rolled(net, survival, rngs, *, collections=("batch_stats",)):
    def apply(variables, x):
        return net.apply(
            variables, x, survival, train=True, mutable=collections, rngs=rngs
        )

    return apply


def looped(net, survival):
    """The units one after another, each with its slice of `rest`."""

    def apply(variables, x):
        survive = [None] * UNITS if survival is None else survival
        run = functools.partial(_run, train=True)
        first = ResidualUnit(net.first, net.layers, FEATURES, STRIDES)
        x, head = run(first, _named(variables, "first"), x, survive[0])
        tail, unit = [], ResidualUnit(net.rest, net.layers, FEATURES)
        for k in range(UNITS - 1):
            one = jax.tree.map(lambda leaf: leaf[k], _named(variables, "rest"))  # noqa: B023
            x, stats = run(unit, one, x, survive[k + 1])
            tail.append(stats["batch_stats"])
        rest = jax.tree.map(lambda *leaves: jnp.stack(leaves), *tail)
        return x, {"batch_stats": {"first": head["batch_stats"], "rest": rest}}

    return apply


def _named(variables, name):
    return {collection: tree[name] for collection, tree in variables.items()}


def _run(unit, variables, x, survival, *, train):
    rngs = {"drop_path": key(0)}  # survival is 0 or 1 here: the draw decides nothing
    return unit.apply(
        variables, x, survival, train=train, mutable=["batch_stats"], rngs=rngs
    )


def equal(a, b):
    close = functools.partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-9)
    jax.tree.map(close, a, b)


UNIT = {
    "basic": UnitSpec(gate=SE(4)),
    "bottleneck": UnitSpec(branch=BOTTLENECK, order=FULL_PRE, shortcut="A"),
}


@pytest.mark.compile
@pytest.mark.parametrize("unit", UNIT)
def test_all_ways_to_run_a_stage_are_equal(unit):
    nets = [stage(mode, unit=UNIT[unit]) for mode in MODES]
    data = example(nets[0], None)
    loop = train(looped(nets[0], None), *data)
    for net in nets:
        equal(train(rolled(net, None, {}), *data), loop)


@pytest.mark.compile
def test_closed_units_are_equal_too():
    """Stochastic depth with draws that are certain: two are closed."""
    survival = jnp.asarray([1.0, 0.0, 1.0, 1.0, 0.0, 1.0])
    nets = [stage(mode, unit=UNIT["basic"]) for mode in NOISY]
    data = example(nets[0], survival)
    loop = train(looped(nets[0], survival), *data)
    for net in nets:
        apply = rolled(net, survival, {"drop_path": key(1)})
        gradients, (y, stats) = train(apply, *data)
        equal((gradients, (y, stats)), loop)
    kernel = gradients[0]["rest"]["branch"]["conv1"]["kernel"]
    assert [bool(unit.any()) for unit in kernel] == [False, True, True, False, True]


@pytest.mark.compile
@pytest.mark.parametrize(
    "unit, act, survival",
    [
        (UnitSpec(), RRelu(), None),
        (UnitSpec(join=Dropped(0.5)), PRelu(), None),
        (UnitSpec(shortcut="avgpool-A"), PRelu(), [0.9] + [0.5] * (UNITS - 1)),
    ],
    ids=["randomised rectifier", "dropout", "stochastic depth"],
)
def test_draws_do_not_depend_on_how_a_stage_runs(unit, act, survival):
    survival = None if survival is None else jnp.asarray(survival)
    nets = [stage(mode, unit=unit, act=act) for mode in NOISY]
    data = example(nets[0], survival)
    rngs = {"noise": key(1), "drop_path": key(2)}
    first, *others = [train(rolled(net, survival, rngs), *data) for net in nets]
    for other in others:
        equal(other, first)


def test_segments_refuse_noise():
    net = stage("sqrt", unit=UnitSpec(join=Dropped(0.5)))
    variables, x, _ = example(net, None)
    with pytest.raises(ConfigError, match=r"depth_mode='sqrt'.*use 'remat'"):
        net.apply(variables, x, None, train=True, rngs={"noise": key(1)}, mutable=BOTH)


@pytest.mark.compile
def test_randomised_rectifier_equals_a_loop_with_its_draws():
    """The divisors that the loop drew, unit by unit, given to the Python loop."""
    net = stage("scan", unit=UnitSpec(), act=RRelu())
    data = example(net, None)
    with nn.intercept_methods(note_divisors):
        apply = rolled(net, None, {"noise": key(1)}, collections=BOTH)
        gradients, (y, changed) = train(apply, *data)
    drawn = changed.pop("intermediates")
    units = [drawn["first"]] + [
        jax.tree.map(lambda leaf: leaf[k], drawn["rest"])  # noqa: B023
        for k in range(UNITS - 1)
    ]
    divisors = [leaf for unit in units for leaf in in_order(unit)]
    assert len(divisors) == 2 * UNITS
    assert all(leaf.min() >= 3 and leaf.max() <= 8 for leaf in divisors)
    with nn.intercept_methods(functools.partial(replay, iter(divisors))):
        equal((gradients, (y, changed)), train(looped(net, None), *data))


def note_divisors(call, args, kwargs, context):
    y = call(*args, **kwargs)
    if isinstance(context.module, RReluModule):
        below = args[0] < 0
        divisor = jnp.where(below, args[0] / jnp.where(below, y, 1.0), 5.5)
        context.module.sow("intermediates", "divisor", jax.lax.stop_gradient(divisor))
    return y


def in_order(unit):
    return unit["branch"]["act_1"]["divisor"] + unit["act_after"]["divisor"]


def replay(divisors, call, args, kwargs, context):
    if isinstance(context.module, RReluModule):
        return jnp.where(args[0] > 0, args[0], args[0] / next(divisors))
    return call(*args, **kwargs)


def test_units_draw_apart():
    """Every unit of a loop has its own noise."""
    net = stage("scan", unit=UnitSpec(join=Dropped(0.5)))
    variables, x, _ = example(net, None)
    _, changed = net.apply(
        variables, x, None, train=True, rngs={"noise": key(1)},
        capture_intermediates=lambda module, _: module.name == "shortcut_dropout",
        mutable=BOTH,
    )  # fmt: skip
    rest = changed["intermediates"]["rest"]["shortcut_dropout"]["__call__"][0]
    kept = np.asarray(rest != 0)
    assert all((kept[i] != kept[j]).mean() > 0.2 for i in range(2) for j in range(i))


@pytest.mark.parametrize("mode", MODES)
def test_one_layout_of_parameters(mode):
    spec = ResNetSpec(depths=(1, 3), widths=(4, 8), stem_width=4, depth_mode=mode)
    init = functools.partial(spec.build().init, train=False)
    params = jax.eval_shape(init, key(0), jnp.zeros((1, 8, 8, 3)))["params"]
    assert set(params["stage1"]) == {"first"}
    kernel = params["stage2"]["rest"]["branch"]["conv1"]["kernel"]
    assert kernel.shape == (2, 3, 3, 8, 8)


@pytest.mark.compile
@pytest.mark.parametrize(
    "mode, unit, maps",
    [
        ("scan", UnitSpec(), 3),
        ("scan", UnitSpec(BOTTLENECK, FULL_PRE, gate=SE(2)), 4),
        ("remat", UnitSpec(), 1),
    ],
)
def test_the_backward_pass_keeps_what_convolutions_gave(mode, unit, maps):
    """And the unit's input: PReLU's own input and output are not kept."""
    net = stage(mode, unit=unit)
    variables, x, _ = example(net, None)
    apply = rolled(net, None, {})

    def forward(params, x):
        return apply(variables | {"params": params}, x)[0]

    _, back = jax.vjp(forward, variables["params"], x)
    stacked = [leaf.shape for leaf in jax.tree.leaves(back) if leaf.ndim == 5]
    each = (UNITS - 1, 4, 4, 4)
    assert len([shape for shape in stacked if shape[:4] == each]) == maps


def test_program_does_not_grow_with_depth():
    def lines(units):
        net = ResNetSpec(depths=(units,), widths=(8,), stem_width=8).build()
        x = jax.ShapeDtypeStruct((1, 8, 8, 3), jnp.float32)
        shapes = jax.eval_shape(functools.partial(net.init, train=False), key(0), x)
        program = jax.jit(functools.partial(net.apply, train=False)).lower(shapes, x)
        return program.as_text().count("\n")

    assert lines(100) == lines(10)
