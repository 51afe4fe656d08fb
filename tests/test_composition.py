"""Every slot with every other: shapes, gradients, the loop; what is refused."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
import tiers

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.activations import (
    Elu,
    LeakyRelu,
    Linear,
    PRelu,
    Relu,
    RRelu,
)
from resnet_jax.models.layers.dropout import DropBlock
from resnet_jax.models.layers.layers import LayersSpec
from resnet_jax.models.layers.operators import BWN, XNOR, Binary, Ghost
from resnet_jax.models.units.branch import BASIC, BOTTLENECK, SINGLE, B
from resnet_jax.models.units.min import Min
from resnet_jax.models.units.multigrid import Multigrid
from resnet_jax.models.units.runge_kutta import MIDPOINT, RungeKutta
from resnet_jax.models.units.shake import ShakeShake
from resnet_jax.models.units.shortcut import Add, Dropped, Gated, Scaled, Separable
from resnet_jax.models.units.stage import Stage
from resnet_jax.models.units.unit import (
    FULL_PRE,
    NORM_AFTER_ADDITION,
    ORIGINAL,
    PYRAMID,
    RELU_BEFORE_ADDITION,
    RELU_ONLY_PRE,
    SE,
    ResidualUnit,
    UnitSpec,
)

SLOTS = {
    "branch": {
        "basic": BASIC,
        "bottleneck": BOTTLENECK,
        "single": SINGLE,
        "ResNeXt": B((1, 3, 1), inner=1 / 2, cardinality=4, stride_at=1),
        "Min": Min(),
        "multigrid": Multigrid(group=8, coarsest=16),
        "Runge-Kutta": RungeKutta(MIDPOINT),
    },
    "order": {
        "original": ORIGINAL,
        "norm after addition": NORM_AFTER_ADDITION,
        "relu before addition": RELU_BEFORE_ADDITION,
        "relu-only pre": RELU_ONLY_PRE,
        "full pre": FULL_PRE,
        "pyramid": PYRAMID,
    },
    "shortcut": {
        name: name for name in ("A", "B", "C", "avgpool-A", "none")
    } | {"separable": Separable()},
    "gate": {"open": None}
    | {place: SE(4, place) for place in ("standard", "pre", "post", "identity")},
    "act": {
        "ReLU": Relu(),
        "LReLU": LeakyRelu(),
        "PReLU": PRelu("channel"),
        "PReLU a layer": PRelu("layer"),
        "ELU": Elu(),
        "none": Linear(),
    },
    "operator": {
        "plain": None,
        "Ghost": Ghost(),
        "BWN": BWN,
        "XNOR": XNOR,
        "signs": Binary("signs"),
    },
    "rank": {"1D": 1, "2D": 2, "3D": 3},
    "join": {"add": Add(), "scaled": Scaled(), "gated": Gated(), "both": Gated("both")},
}  # fmt: skip
PRIME = 7  # no slot has more values

# Any two values of any two slots meet in one of these 49: an orthogonal array, from the
# lines of the plane over 7 elements.
PAIRWISE = [
    {
        slot: list(values)[((i + k * j) if k < PRIME else j) % PRIME % len(values)]
        for k, (slot, values) in enumerate(SLOTS.items())
    }
    for i, j in itertools.product(range(PRIME), repeat=2)
]
NOISY = {
    "dropped shortcut": ({"join": Dropped()}, Relu()),
    "DropBlock": ({"branch": B((3, 3), noise=DropBlock(block=3))}, Relu()),
    "Shake-Shake": ({"branch": ShakeShake(), "order": RELU_ONLY_PRE}, Relu()),
    "RReLU": ({}, RRelu()),
}


def refused(words):
    """The reason why these words make no unit; None for those that do."""
    if words["shortcut"] == "none" and words["join"] != "add":
        return "needs a shortcut, not 'none'"
    if words["shortcut"] == "none" and words["gate"] == "identity":
        return "model.unit.gate.place='identity': needs a shortcut"
    return None


def cover(rows):
    """A few of the rows in which every value of every slot occurs."""

    def begun_with(words):
        chosen, left = [words], {value for row in rows for value in row.items()}
        while left := left - chosen[-1].items():
            chosen.append(max(rows, key=lambda row: len(left & row.items())))
        return chosen

    return min(map(begun_with, rows), key=len)


LEGAL = [words for words in PAIRWISE if not refused(words)]
COVER = cover(LEGAL)


def specs(words):
    """(UnitSpec, LayersSpec) of a word a slot; the first word where none is given."""
    first = {slot: next(iter(values)) for slot, values in SLOTS.items()}
    given = {slot: SLOTS[slot][word] for slot, word in (first | words).items()}
    shared = {name: given.pop(name) for name in ("act", "operator", "rank")}
    return UnitSpec(**given), LayersSpec(**shared)


def images(rank, side=4):
    shape = (3, *(side,) * rank, 8)
    return np.random.default_rng(0).normal(size=shape)


def key(seed):
    return jax.random.key(seed, impl="rbg")  # compiles fast


@pytest.mark.parametrize("branch", tiers.one_in(7, SLOTS["branch"]))
def test_shapes_where_three_values_meet(branch):
    """Units that subsample and widen; fields that all layers share take turns.

    One in three of the product of branch, order, shortcut and gate, so that any three
    values of these meet.
    """
    axes = [SLOTS[slot] for slot in ("order", "shortcut", "gate")]
    shared = [SLOTS[slot] for slot in ("act", "operator", "rank")]
    turns = itertools.cycle(itertools.product(*shared))
    own, made = list(SLOTS["branch"]).index(branch), 0
    for places in itertools.product(*map(range, map(len, axes))):
        if (sum(places) + own) % 3:
            continue
        order, shortcut, gate = (
            list(axis)[place] for axis, place in zip(axes, places, strict=True)
        )
        act, operator, rank = next(turns)
        words = {
            "branch": branch, "order": order, "shortcut": shortcut, "gate": gate,
            "act": act, "operator": operator, "rank": rank,
        }  # fmt: skip
        if refused(words | {"join": "add"}):
            continue
        unit, layers = specs(words)
        init = functools.partial(
            ResidualUnit(unit, layers, 16, 2).init_with_output, train=False
        )
        x = jnp.asarray(images(layers.rank), jnp.float32)
        out, _ = jax.eval_shape(init, key(0), x, None)
        assert out.shape == (3, *(2,) * layers.rank, 16), words
        assert out.dtype == jnp.float32, words
        made += 1
    assert made == 6 * (6 * 5 - 1) // 3


@pytest.mark.parametrize("words", [w for w in PAIRWISE if refused(w)], ids=str)
def test_illegal_ones_are_refused(words):
    with pytest.raises(ConfigError, match=refused(words)):
        specs(words)


def staged(unit, layers, mode="scan"):
    """Three units, the first subsamples and widens; variables drawn; images."""
    layers = dataclasses.replace(layers, dtype="float64")
    stage = Stage(unit, unit, layers, 3, 16, 2, mode)
    x = jnp.asarray(images(layers.rank))
    init = functools.partial(stage.init, train=False)
    shapes = jax.eval_shape(init, key(0), x, None)
    drawn = reference.draw(shapes, np.random.default_rng(1))
    return stage, jax.tree.map(jnp.asarray, drawn), x


def by_hand(stage, variables, x):
    """Unit after unit, on slices of what is stacked; (y, running statistics)."""
    run = {"train": True, "mutable": ["batch_stats"]}
    first = ResidualUnit(stage.first, stage.layers, stage.features, stage.strides)
    own = {name: tree.get("first", {}) for name, tree in variables.items()}
    x, changed = first.apply(own, x, None, **run)
    stats, rest = [], ResidualUnit(stage.rest, stage.layers, stage.features)
    for k in range(stage.units - 1):
        held = {name: tree.get("rest", {}) for name, tree in variables.items()}
        x, new = rest.apply(jax.tree.map(lambda a, k=k: a[k], held), x, None, **run)
        stats.append(new.get("batch_stats", {}))
    stacked = jax.tree.map(lambda *each: jnp.stack(each), *stats)
    return x, {"first": changed.get("batch_stats", {}), "rest": stacked}


def by_stage(stage, variables, x, **rngs):
    y, new = stage.apply(
        variables, x, None, train=True, mutable=["batch_stats"], rngs=rngs
    )
    return y, {"first": {}, "rest": {}} | dict(new.get("batch_stats", {}))


@functools.partial(jax.jit, static_argnums=(0, 1))
def forward(run, stage, variables, x):
    """(y, statistics)"""
    return run(stage, variables, x)


@functools.partial(jax.jit, static_argnums=(0, 1))
def with_gradients(run, stage, variables, x, **rngs):
    """((loss, (y, statistics)), gradients by every parameter and by the images)."""

    def loss(params, x):
        y, stats = run(stage, variables | {"params": params}, x, **rngs)
        return jnp.square(y + 1.0).sum(), (y, stats)

    gradients = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
    return gradients(variables["params"], x)


def assert_alike(found, wanted):
    """Up to rounding: of a leaf itself, and of the largest where that cancels in it."""
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(wanted))

    def compare(path, a, b):
        close = 1e-10 * max(np.abs(b).max(), 1.0) + 1e-14 * largest
        where = jax.tree_util.keystr(path)
        np.testing.assert_allclose(a, b, rtol=0, atol=close, err_msg=where)
        assert np.isfinite(a).all(), where

    jax.tree_util.tree_map_with_path(compare, found, wanted)


@pytest.mark.compile
@pytest.mark.parametrize("words", [w for w in LEGAL if w not in COVER], ids=str)
def test_the_loop_is_unit_after_unit(words, float64):
    """Outputs and running statistics as by hand."""
    stage, variables, x = staged(*specs(words))
    found = forward(by_stage, stage, variables, x)
    assert_alike(found, forward(by_hand, stage, variables, x))


@pytest.mark.compile
@pytest.mark.parametrize("words", COVER, ids=str)
def test_gradients_of_the_loop_are_those_of_unit_after_unit(words, float64):
    """And outputs and statistics; finite. Every value once, as gradients take long."""
    stage, variables, x = staged(*specs(words))
    found = with_gradients(by_stage, stage, variables, x)
    wanted = with_gradients(by_hand, stage, variables, x)
    assert_alike(found, wanted)


def test_every_value_is_among_those_with_gradients():
    for slot, values in SLOTS.items():
        assert {words[slot] for words in COVER} == set(values), slot


@pytest.mark.compile
@pytest.mark.parametrize("slots, act", NOISY.values(), ids=NOISY)
def test_noise_in_the_loop_is_noise_in_straight_lines(slots, act, float64):
    unit, layers = UnitSpec(**slots), LayersSpec(act=act)
    stage, variables, x = staged(unit, layers)
    straight, _, _ = staged(unit, layers, "unroll")
    rngs = {"noise": key(3)}
    looped = with_gradients(by_stage, stage, variables, x, **rngs)
    assert_alike(looped, with_gradients(by_stage, straight, variables, x, **rngs))
    other = with_gradients(by_stage, stage, variables, x, noise=key(4))
    assert not np.allclose(looped[0][0], other[0][0])


def test_every_pair_of_values_meets():
    for a, b in itertools.combinations(SLOTS, 2):
        met = {(words[a], words[b]) for words in PAIRWISE}
        assert met == set(itertools.product(SLOTS[a], SLOTS[b]))


def test_a_branch_without_inner_channels_is_refused():
    init = ResidualUnit(UnitSpec(B((1, 3, 1), inner=1 / 64)), LayersSpec(), 16).init
    with pytest.raises(ConfigError, match="conv1: rounds to no channels"):
        jax.eval_shape(
            functools.partial(init, train=False), key(0), jnp.zeros((1, 4, 4, 16)), None
        )


def test_a_gate_that_leaves_nothing_is_refused():
    unit = UnitSpec(gate=SE(32))
    init = functools.partial(ResidualUnit(unit, LayersSpec(), 16).init, train=False)
    with pytest.raises(ConfigError, match=r"gate.reduction=32: must be at most the 16"):
        jax.eval_shape(init, key(0), jnp.zeros((1, 4, 4, 16)), None)
