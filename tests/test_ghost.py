"""GhostNet, RegNetX and G-Ghost stages: counts, values, ways to run, what is refused.

Values against tests/ghost_reference.py, in float64.
"""

import copy
import functools

import counted
import ghost_reference
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
import tiers

from resnet_jax.errors import ConfigError
from resnet_jax.models import complexity
from resnet_jax.models.layers.activations import PRelu
from resnet_jax.models.layers.layers import LayersSpec
from resnet_jax.models.nets.resnet import ResNetSpec
from resnet_jax.models.units.branch import BASIC, BOTTLENECK
from resnet_jax.models.units.ghost import (
    LINEAR,
    GGhost,
    GhostBottleneck,
    GhostStage,
    XUnit,
)
from resnet_jax.models.units.shortcut import Separable
from resnet_jax.models.units.unit import FULL_PRE, ORIGINAL, SE, ResidualUnit, UnitSpec
from resnet_jax.models.zoo.ghostnets import (
    GHOSTNET,
    divisible,
    gghost,
    ghostnet,
    regnetx,
)

IMAGE = (224, 224, 3)

# fmt: off
ROWS = [  # name, network, parameters, multiply-adds
    # Han et al. 2020, Table 7: 2.6, 5.2, 7.3 M and 42, 141, 226 M
    ("GhostNet 0.5x",         ghostnet(0.5),      2_587_292,  "42.33 M"),
    ("GhostNet 1.0x",         ghostnet(1.0),      5_182_508, "141.15 M"),
    ("GhostNet 1.3x",         ghostnet(1.3),      7_358_820,  "227.0 M"),
    # Radosavovic et al. 2020; G-Ghost: README of g_ghost_pytorch, 10.5, 15.7, 24.6,
    # 32.4 M and 1.8, 2.2, 4.2, 9.0 G
    ("RegNetX-3.2GF",         regnetx("3.2GF"),  15_296_552,  "3.177 G"),
    ("RegNetX-4.0GF",         regnetx("4.0GF"),   "22.12 M",   "3.96 G"),
    ("RegNetX-8.0GF",         regnetx("8.0GF"),   "39.57 M",   "8.00 G"),
    ("RegNetX-16GF",          regnetx("16GF"),    "54.28 M",  "15.94 G"),
    ("G-Ghost-RegNetX-3.2GF", gghost("3.2GF"),   10_511_000,  "1.802 G"),
    ("G-Ghost-RegNetX-4.0GF", gghost("4.0GF"),   15_726_268,  "2.228 G"),
    ("G-Ghost-RegNetX-8.0GF", gghost("8.0GF"),   24_586_928,  "4.150 G"),
    ("G-Ghost-RegNetX-16GF",  gghost("16GF"),    32_381_704,  "8.997 G"),
]
# fmt: on


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_parameters_and_multiply_adds(row):
    _, spec, params, macs = row
    assert ghost_reference.same(counted.params(spec, IMAGE), params)
    assert ghost_reference.same(counted.multiply_adds(spec, IMAGE), macs)


@pytest.mark.parametrize("variant", ["3.2GF", "4.0GF", "8.0GF", "16GF"])
def test_intrinsic_channels_are_whole_groups(variant):
    spec = gghost(variant)
    for units, width in zip(spec.depths[1:], spec.widths[1:], strict=True):
        raw = spec.ghosts.intrinsic(width)
        assert raw % spec.ghosts.multiple == 0
        assert units <= 2 or 0 <= width / 2 - raw < spec.ghosts.multiple


def test_intrinsic_channels_of_regnetx_3_2():
    """72 of 192 and 216 of 432, as in the released code."""
    ghosts = gghost("3.2GF").ghosts
    assert [ghosts.intrinsic(width) for width in (192, 432)] == [72, 216]


def test_only_long_stages_behind_the_first_have_ghosts():
    spec = ResNetSpec(depths=(3, 2, 3), widths=(8, 8, 8), ghosts=GGhost())
    params = complexity.shapes(spec.build(), (32, 32, 3))["params"]
    whole, ghosted = {"first", "rest"}, {
        "first", "rest", "last", "cheap_conv", "norm_cheap", "mix_conv1", "mix_conv2",
        "norm_mix_1", "norm_mix_2",
    }  # fmt: skip
    stages = [set(params[f"stage{i}"]) for i in (1, 2, 3)]
    assert stages == [whole, whole, ghosted]
    kernel = params["stage3"]["rest"]["branch"]["conv1"]["kernel"]
    assert kernel.shape == (1, 3, 3, 4, 4)


def test_widths_are_multiples_of_four_not_far_below():
    assert [divisible(c) for c in (18, 30, 168, 1, 5, 20.8)] == [20, 32, 168, 4, 8, 20]
    for width in (0.5, 0.7, 1.3):
        spec = ghostnet(width)
        for (_, _, channels, *_), wide in zip(GHOSTNET, spec.widths, strict=True):
            assert wide % 4 == 0 and wide >= 0.9 * width * channels


@pytest.mark.parametrize(
    "size, pixels, end", [("imagenet", 224, 7), ("cifar", 32, 4), ("digits", 8, 2)]
)
def test_small_images_are_subsampled_less(size, pixels, end):
    spec = ghostnet(0.5, images=size)
    assert pixels // np.prod([spec.stem.strides, *spec.strides]) == end
    first = [k for k, s in enumerate([spec.stem.strides, *spec.strides]) if s == 2]
    assert first == [0, 2, 4, 6, 12][5 - len(first) :]


# ---------------------------------------------------------------- values


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


def example(net, *, channels, size=6):
    """Made-up variables of a unit or a stage, and maps."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(3, size, size, channels))
    init = functools.partial(net.init, train=False)
    shapes = jax.eval_shape(init, jax.random.key(0), jnp.asarray(x), None)
    return reference.draw(shapes, generator), x


def compare(net, by_hand, *, channels):
    """Outputs and running statistics, at test and in training."""
    variables, x = example(net, channels=channels)
    for train in (False, True):
        with jax.disable_jit():
            y, changed = net.apply(
                jax.tree.map(jnp.asarray, variables), jnp.asarray(x), None,
                train=train, mutable=["batch_stats"],
            )  # fmt: skip
        mine = copy.deepcopy(variables)
        at = reference.Place(mine["params"], mine["batch_stats"])
        close(y, by_hand(x, at, train=train))
        jax.tree.map(close, changed["batch_stats"], mine["batch_stats"])


F64 = LayersSpec(dtype="float64")
BOTTLENECKS = [  # k, hidden, out, gate, stride
    (3, 16, 8, "", 1),
    (3, 18, 12, "", 2),
    (5, 24, 12, "se", 2),
    (5, 24, 10, "se", 1),
]


@pytest.mark.parametrize(
    "kernel, hidden, features, gate, strides", tiers.one_in(3, BOTTLENECKS)
)
def test_ghost_bottleneck(kernel, hidden, features, gate, strides, float64):
    row = kernel, hidden, features, gate, strides
    gate = SE(hidden=divisible(hidden / 4), squash="hard_sigmoid") if gate else None
    branch = GhostBottleneck(hidden, kernel, gate)
    unit = UnitSpec(branch, LINEAR, Separable(kernel))

    def by_hand(x, at, *, train):
        net = ghost_reference.Net((), (), train=train)
        return ghost_reference.ghost_bottleneck(net, x, at, row, train=train)

    net = ResidualUnit(unit, F64, features, strides)
    compare(net, by_hand, channels=8)


def test_regnetx_unit(float64):
    """1x1, 3x3 in groups, subsampling there, 1x1; norms and rectifiers behind each."""

    def by_hand(x, at, *, train):
        net, branch = ghost_reference.Net((), (), train=train), at["branch"]
        y = ghost_reference.conv(x, branch["conv1"].params["kernel"])
        y = net.steps("norm act", y, branch, "1")
        y = ghost_reference.grouped(
            y, branch["conv2"].params["kernel"], groups=3, stride=2
        )
        y = net.steps("norm act", y, branch, "2")
        y = ghost_reference.conv(y, branch["conv3"].params["kernel"])
        y = net.steps("norm", y, branch, "3")
        h = net.crossing(x, x, at, 12, 2, normed=True)
        return np.maximum(0, h + y)

    compare(ResidualUnit(UnitSpec(XUnit(4)), F64, 12, 2), by_hand, channels=8)


STAGES = {
    "basic": (BASIC, ORIGINAL, {"convs": 2, "order": "original"}),
    "pre-activation": (BASIC, FULL_PRE, {"convs": 2, "order": "full pre-activation"}),
    "bottleneck": (BOTTLENECK, ORIGINAL, {"convs": 3, "order": "original"}),
}


def ghost_stage(name, *, units=4, mode="scan", share=0.5, layers=F64):
    branch, order, _ = STAGES[name]
    unit = UnitSpec(branch, order)
    return GhostStage(unit, unit, layers, units, 16, 2, mode, GGhost(share))


@pytest.mark.compile
@pytest.mark.parametrize(
    "name, units, share",
    [("pre-activation", 4, 0.25), ("basic", 5, 0.5), ("bottleneck", 3, 0.5)],
)
def test_g_ghost_stage(name, units, share, float64):
    def by_hand(x, at, *, train):
        net = ghost_reference.Net((), (), train=train, **STAGES[name][2])
        return ghost_reference.g_ghost_stage(
            net, x, at, units=units, width=16, raw=round(16 * (1 - share)), stride=2
        )

    compare(ghost_stage(name, units=units, share=share), by_hand, channels=8)


# ---------------------------------------------------------------- ways to run


@pytest.mark.compile
def test_all_ways_to_run_a_g_ghost_stage_are_equal(float64):
    """Output, statistics and gradients of compiled loops, and none is empty."""
    results = []
    for mode in ("scan", "unroll", "remat", "sqrt"):
        net = ghost_stage("pre-activation", units=5, mode=mode)
        variables, x = example(net, channels=8)
        variables = jax.tree.map(jnp.asarray, variables)

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
        results.append(run(variables["params"], jnp.asarray(x)))
    for other in results[1:]:
        jax.tree.map(
            functools.partial(np.testing.assert_allclose, rtol=1e-8, atol=1e-8),
            other,
            results[0],
        )
    for path, leaf in jax.tree.leaves_with_path(results[0][0]):
        assert np.isfinite(leaf).all() and np.abs(leaf).max() > 0, path


def test_closed_units_of_a_g_ghost_stage(float64):
    """At test each branch is scaled by its own survival, the last unit's included."""
    net = ghost_stage("basic")
    variables, x = example(net, channels=8)
    keep = [0.9, 0.8, 0.3, 0.6]
    with jax.disable_jit():
        y = net.apply(
            jax.tree.map(jnp.asarray, variables),
            jnp.asarray(x),
            jnp.asarray(keep),
            train=False,
        )

    class Kept(ghost_reference.Net):
        def unit(self, x, at, width, stride, *, is_first, keep):
            return super().unit(
                x, at, width, stride, is_first=is_first, keep=kept.pop(0)
            )

    kept, at = (
        list(keep),
        reference.Place(variables["params"], variables["batch_stats"]),
    )
    close(
        y,
        ghost_reference.g_ghost_stage(
            Kept((), ()), x, at, units=4, width=16, raw=8, stride=2
        ),
    )


def test_ghosts_on_a_clip_and_in_low_precision():
    """Stages take any number of axes and any rectifier."""
    layers = LayersSpec(rank=3, dtype="bfloat16", act=PRelu())
    net = ghost_stage("basic", layers=layers)
    x = jax.ShapeDtypeStruct((2, 4, 6, 6, 8), jnp.bfloat16)
    init = functools.partial(net.init_with_output, train=False)
    y, variables = jax.eval_shape(init, jax.random.key(0), x, None)
    assert (y.shape, y.dtype) == ((2, 2, 3, 3, 16), jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert variables["params"]["act_after"]["slope"].shape == (8,)


@pytest.mark.parametrize("n, share", [(3, 0.5), (9, 0.5), (4, 0.25)])
def test_closed_form_of_a_g_ghost_stage(n, share):
    """n - 2 narrow units, three 1x1 convolutions with norms, one whole unit more."""

    def unit(c):
        return 2 * 9 * c**2 + 2 * 2 * c

    c, raw = 16, round(16 * (1 - share))
    ghosts = c - raw
    seen = c + (n - 2) * raw
    parts = [ghosts**2, seen * ghosts, ghosts**2, 3 * 2 * ghosts]  # cheap, mix, norms
    net = ghost_stage("basic", units=n, share=share, layers=LayersSpec())
    init = functools.partial(net.init, train=False)
    x = jnp.zeros((1, 4, 4, 8))
    params = jax.eval_shape(init, jax.random.key(0), x, None)["params"]
    params.pop("first")
    counted = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert counted == (n - 2) * unit(raw) + sum(parts) + unit(c)


# ---------------------------------------------------------------- what is refused

ILLEGAL = [
    (lambda: ghostnet(0.0), r"model\.width=0\.0: must be positive"),
    (
        lambda: regnetx("5GF"),
        r"model\.variant='5GF': must be one of \('3\.2GF', '4\.0GF'",
    ),
    (lambda: gghost("400MF"), r"model\.variant='400MF': must be one of"),
    (lambda: GGhost(share=1.0), r"model\.ghost_share=1\.0: must be in \(0, 1\)"),
    (
        lambda: GGhost(multiple=36).intrinsic(64),
        r"model\.ghost_share=0\.5: leaves 0 intrinsic of 64 channels",
    ),
]


@pytest.mark.parametrize("make, message", ILLEGAL)
def test_illegal_ghosts_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
