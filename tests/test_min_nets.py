"""Min-Nets: published counts, values against NumPy, and who learns."""

import dataclasses

import comparing
import counted
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference_nd as nd
import tiers

from resnet_jax.errors import ConfigError
from resnet_jax.models import complexity
from resnet_jax.models.layers.activations import PRelu
from resnet_jax.models.layers.layers import Layers, LayersSpec
from resnet_jax.models.units.branch import BASIC
from resnet_jax.models.units.min import Beside, Min
from resnet_jax.models.units.unit import FULL_PRE, SE, ResidualUnit, UnitSpec
from resnet_jax.models.zoo.densenets import BOTTLENECK, densenet
from resnet_jax.models.zoo.steps_and_grids import min_densenet, min_net
from resnet_jax.papers import gruening2021

pytestmark = pytest.mark.usefixtures("float64")


def baseline_densenet(depth):
    return densenet(depth, branch=BOTTLENECK, compression=0.5)


# name, net, parameters: the released code's results.md
# fmt: off
COUNTS = [
    ("Min-Net N=3",      min_net(20),                217_082),
    ("Pyramid N=3",      min_net(20, branch=BASIC),  270_298),
    ("Min-Net N=5",      min_net(32),                411_962),
    ("Pyramid N=5",      min_net(32, branch=BASIC),  465_178),
    ("Min-Net N=7",      min_net(44),                606_842),
    ("Pyramid N=7",      min_net(44, branch=BASIC),  660_058),
    ("Min-Net N=9",      min_net(56),                801_722),
    ("Pyramid N=9",      min_net(56, branch=BASIC),  854_938),
    ("Min-DenseNet 22",  min_densenet(22),            57_040),
    ("DenseNet-BC 22",   baseline_densenet(22),       71_686),
    ("Min-DenseNet 58",  min_densenet(58),           298_564),
    ("DenseNet-BC 58",   baseline_densenet(58),      314_470),
    ("Min-DenseNet 100", min_densenet(100),          751_786),
    ("DenseNet-BC 100",  baseline_densenet(100),     769_162),
]
# fmt: on


@pytest.mark.parametrize("row", COUNTS, ids=lambda row: row[0])
def test_published_parameters(row):
    _, spec, params = row
    assert counted.params(spec, (32, 32, 3)) == params


def test_published_tables_hold_the_same_nets():
    tables = {"N=": gruening2021.RESNETS, "": gruening2021.DENSENETS}
    names = {"N=": ("Min-Net", "Pyramid"), "": ("Min-DenseNet", "DenseNet-BC")}
    published = {
        f"{name} {sign}{n}": params
        for sign, table in tables.items()
        for n, pair in table.items()
        for name, (*_, params) in zip(names[sign], pair, strict=True)
    }
    assert published == {name: params for name, _, params in COUNTS}
    rows = {v.row for v in gruening2021.VALUES if v.table == "results"}
    assert rows == set(published)


# ---------------------------------------------------------------- values


def min_branch(x, at, *, stride=1, reduction=np.minimum, closed=True):
    """models/conv_blocks.py of the authors, in their order of operations."""
    u = at.norm_relu(at.conv(x, "conv1"), "1")
    arms = []
    for side in ("left", "right"):
        y = at.conv(u, f"{side}_conv", stride=stride, groups=u.shape[-1])
        axes = tuple(range(1, y.ndim - 1))
        y = y - y.mean(axes, keepdims=True)
        arms.append(nd.relu(y / np.sqrt((y**2).mean(axes, keepdims=True) + 1e-5)))
    y = at.conv(reduction(*arms), "conv2")
    return at.norm_relu(y, "2") if closed else y


def pyramid(x, at):
    """BN, 3x3, BN, ReLU, 3x3, BN; the sum is not rectified."""
    y = at.norm(x, "before")
    y = at.norm_relu(at.conv(y, "conv1"), "1")
    return x + at.norm(at.conv(y, "conv2"), "2")


@pytest.mark.parametrize("rank", tiers.one_in(3, [2, 1, 3]))
@pytest.mark.parametrize("stride", [1, 2])
def test_minimum_of_two_filters(rank, stride):
    x = comparing.drawn(3, *(6,) * rank, 4)
    comparing.compare_branch(
        Min(), lambda x, at: min_branch(x, at, stride=stride), x, 6,
        strides=stride, end=("norm", "act"),
    )  # fmt: skip


def test_product_of_two_filters():
    def expected(x, at):
        return min_branch(x, at, reduction=np.multiply, closed=False)

    branch = Min(expansion=1.5, reduction="product")
    comparing.compare_branch(branch, expected, comparing.drawn(2, 5, 5, 4), 4)


def test_a_projection_with_bias_beside_a_branch():
    """What stands for the shortcut where a Min unit is a layer of a DenseNet."""

    def expected(x, at):
        bias = at.place["shortcut_conv"].params["bias"]
        return at.conv(x, "shortcut_conv") + bias + min_branch(x, at)

    x = comparing.drawn(2, 5, 5, 6)
    branch, end = Beside(Min()), ("norm", "act")
    comparing.compare_branch(branch, expected, x, 4, end=end)


def whole_net(x, at):
    """Stem, three stages of a Min unit and a pyramid unit, mean, fc: no last norm."""
    x = at.norm_relu(at.conv(x, "stem_conv"), "stem")
    for stage in (1, 2, 3):
        stride, here = min(stage, 2), at[f"stage{stage}"]
        f = min_branch(x, here.unit(0)["branch"], stride=stride)
        x = nd.zero_pad(nd.mean_pool(x, stride), f.shape[-1]) + f
        x = pyramid(x, here.unit(1)["branch"])
    return at.dense(nd.mean(x), "head")


def baseline(x, at):
    """Pyramid units throughout; shortcuts average x itself, ahead of its norm."""
    x = at.norm_relu(at.conv(x, "stem_conv"), "stem")
    for stage in (1, 2, 3):
        stride, here = min(stage, 2), at[f"stage{stage}"].unit(0)["branch"]
        y = here.norm_relu(
            here.conv(here.norm(x, "before"), "conv1", stride=stride), "1"
        )
        y = here.norm(here.conv(y, "conv2"), "2")
        x = nd.zero_pad(nd.mean_pool(x, stride), y.shape[-1]) + y
        x = pyramid(x, at[f"stage{stage}"].unit(1)["branch"])
    return at.dense(nd.mean(x), "head")


@pytest.mark.compile
@pytest.mark.parametrize("expected", [whole_net, baseline])
def test_nets(expected):
    branch = Min() if expected is whole_net else BASIC
    spec = min_net(14, branch=branch, width=1 / 4)
    spec = dataclasses.replace(spec, layers=LayersSpec(dtype="float64"))
    comparing.compare(spec.build(), expected, comparing.drawn(2, 8, 8, 3))


def test_instance_norm_learns_and_keeps_nothing():
    layers = Layers(LayersSpec(), train=True)
    x = jnp.asarray(comparing.drawn(2, 5, 4, 3), jnp.bfloat16)
    y = layers.instance_norm(x)
    assert y.dtype == jnp.bfloat16
    wide = np.asarray(x, np.float32)
    expected = (wide - wide.mean((1, 2), keepdims=True)) / np.sqrt(
        wide.var((1, 2), keepdims=True) + 1e-5
    )
    np.testing.assert_allclose(np.asarray(y, np.float32), expected, atol=0.02)


def test_the_gradient_goes_to_the_smaller_answer():
    """Where the left filter answers 0 everywhere, the right one learns nothing."""
    x = comparing.drawn(2, 6, 6, 4)
    net = comparing.applied(Min(), 4, train=False)
    variables = comparing.made(net, x)
    params = jax.tree.map(jnp.asarray, variables["params"])
    params["left_conv"]["kernel"] *= 0

    def loss(params):
        return jnp.sum(net.apply(variables | {"params": params}, jnp.asarray(x)) ** 2)

    silenced = comparing.gradient(loss, params)
    assert np.abs(silenced["right_conv"]["kernel"]).max() == 0
    usual = comparing.gradient(loss, variables["params"])
    assert np.abs(usual["right_conv"]["kernel"]).max() > 0


@pytest.mark.parametrize("rank", [2, 3])
def test_min_units_mix_with_orders_gates_and_rectifiers(rank):
    unit = UnitSpec(Min(), FULL_PRE, "B", SE(4))
    net = ResidualUnit(unit, LayersSpec(act=PRelu(), rank=rank), 8, 2)
    x = jnp.asarray(comparing.drawn(2, *(4,) * rank, 4), jnp.float32)
    variables = comparing.made(net, x, None, train=False)

    def loss(params):
        y, _ = net.apply(
            variables | {"params": params}, x, None, train=True, mutable=["batch_stats"]
        )
        return jnp.sum(y**2)

    gradients = jax.tree.leaves(comparing.gradient(loss, variables["params"]))
    assert all(np.isfinite(g).all() and np.abs(g).max() > 0 for g in gradients)


# ---------------------------------------------------------------- what is refused


def test_illegal_nets_are_refused():
    with pytest.raises(ConfigError, match=r"model\.depth=21: must be 6n\+2"):
        min_net(21)
    with pytest.raises(ConfigError, match=r"model\.depth=23: must be 6n\+4"):
        min_densenet(23)
    with pytest.raises(ConfigError, match=r"expansion=0.0: must be positive"):
        Min(expansion=0.0)
    with pytest.raises(ConfigError, match="instance norm of maps of one pixel"):
        complexity.num_params(min_net(8).build(), (4, 4, 3))
