"""Network slimming: what is cut, what is left, and what that computes."""

import dataclasses
import json

import comparing
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiers

import resnet_jax
from resnet_jax.errors import ConfigError
from resnet_jax.models import complexity, serialize
from resnet_jax.models.layers.activations import PRelu
from resnet_jax.models.layers.layers import LayersSpec
from resnet_jax.models.nets.plain import (
    FC,
    Conv,
    Drop,
    Flatten,
    MaxPool,
    Mean,
    PlainSpec,
)
from resnet_jax.models.nets.stem_head import Stem
from resnet_jax.models.units.branch import BOTTLENECK, B
from resnet_jax.models.units.cut import Cut, chosen
from resnet_jax.models.units.unit import FULL_PRE, ORIGINAL
from resnet_jax.prune import slimming
from resnet_jax.prune.place import at, of_pixels
from resnet_jax.prune.places import filled, places
from resnet_jax.prune.separate import separated

F64 = LayersSpec(dtype="float64")


def small(spec, **fields):
    return dataclasses.replace(spec, layers=F64, **fields)


NETS = {
    "plain": small(
        PlainSpec(
            records=(
                Conv(6), MaxPool(), Conv(8, steps=()), Drop(0.0), Conv(4), Mean(),
                FC(5), FC(None, ()),
            )
        )
    ),
    "bottleneck": small(
        resnet_jax.cifar_resnet(20, branch=BOTTLENECK, order=FULL_PRE),
        depths=(1, 3), widths=(16, 32), stem_width=8,
    ),
    "basic": small(
        resnet_jax.cifar_resnet(14, order=FULL_PRE, shortcut="A"),
        depths=(2, 2), widths=(8, 16), stem_width=8, stem=Stem(steps=()),
    ),
    "PReLU": dataclasses.replace(
        resnet_jax.cifar_resnet(8, order=FULL_PRE),
        depths=(2,), widths=(8,), stem_width=8,
        layers=LayersSpec(dtype="float64", act=PRelu("channel")),
    ),
    "flattened": small(
        PlainSpec(records=(Conv(6), MaxPool(), Conv(4), Flatten(), FC(None, ())))
    ),
    "DenseNet": small(resnet_jax.densenet(10, growth=4, stem_width=6)),
    "DenseNet-BC": small(
        resnet_jax.densenet(10, growth=4, branch=B((1, 3), 4.0), compression=0.5)
    ),
}  # fmt: skip
IMAGES = comparing.drawn(2, 8, 8, 3)


def made(spec):
    """Variables whose scales tell every channel apart."""
    return comparing.made(spec.build(), IMAGES, train=False)


def run(spec, variables, *, train=False):
    """Logits."""
    return comparing.run(spec.build(), variables, IMAGES, train=train)[0]


def with_zeros(spec, variables, masks):
    """The prepared network whose weights do not read the channels that are cut."""
    variables = jax.tree.map(np.array, variables)
    for place in places(spec):
        kernel = at(variables["params"], place.reader)["kernel"]
        kernel[..., ~of_pixels(masks[place.reader], kernel), :] = 0
    return variables


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("train", [False, True], ids=["test", "training"])
@pytest.mark.parametrize("name", tiers.one_in(7, NETS))
def test_a_cut_net_is_the_net_with_zeros(name, train):
    """Twice, as in several passes: the second one cuts a net that is cut."""
    spec, variables = NETS[name], made(NETS[name])
    for share in (0.3, 0.2):
        spec, variables = slimming.prepared(spec, variables)
        ranked = slimming.kept(slimming.scales(spec, variables), share=share, cap=0.7)
        masks = filled(spec, variables, ranked)
        expected = run(spec, with_zeros(spec, variables, masks), train=train)
        spec, variables = slimming.slimmed(spec, variables, share=share, cap=0.7)
        found = run(spec, variables, train=train)
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)
        shapes = complexity.shapes(spec.build(), IMAGES.shape[1:])
        assert jax.tree.map(np.shape, variables) == jax.tree.map(np.shape, shapes)
        assert serialize.from_json(json.loads(json.dumps(serialize.to_json(spec)))) == (
            spec
        )


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", ["bottleneck", "flattened", "DenseNet"])
def test_channels_that_contribute_nothing_change_no_output(name):
    spec, variables = NETS[name], made(NETS[name])
    expected = run(spec, variables)
    spec, variables = slimming.prepared(spec, variables)
    variables = jax.tree.map(np.array, variables)
    scales = slimming.scales(spec, variables)
    for place in (p for p in places(spec) if p.norm):
        leaves, scale = at(variables["params"], place.norm), scales[place.reader]
        for leaf in leaves.values():
            leaf[np.argsort(scale)[: len(scale) // 3]] = 0
    same = run(spec, variables)
    assert not np.allclose(same, expected)
    zeros = [*slimming.scales(spec, variables).values()]
    share = np.mean(np.concatenate(zeros) == 0)
    cut, rest = slimming.slimmed(spec, variables, share=float(share))
    np.testing.assert_allclose(run(cut, rest), same, rtol=1e-10, atol=1e-10)
    assert complexity.num_params(cut.build(), IMAGES.shape[1:]) < (
        complexity.num_params(spec.build(), IMAGES.shape[1:])
    )


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", ["bottleneck", "basic"])
def test_a_stage_for_every_unit_is_the_same_net(name):
    spec, variables = NETS[name], made(NETS[name])
    one, trees = separated(spec, variables)
    assert one.depths == (1,) * sum(spec.depths)
    np.testing.assert_array_equal(run(one, trees), run(spec, variables))
    assert set(trees["params"]) - {"stem_conv", "norm_stem", "norm_head", "head"} == {
        f"stage{k}" for k in range(1, sum(spec.depths) + 1)
    }


# Liu et al. 2017, Table 1, and the channels under the nets' norms: derived from the
# layers, and asserted in the released code.
@pytest.mark.parametrize(
    "spec, params, channels",
    [
        (resnet_jax.vgg(19, size="cifar", variant="mean"), 20_035_018, 5_504),
        (
            resnet_jax.cifar_resnet(164, branch=BOTTLENECK, order=FULL_PRE),
            1_703_258,
            12_112,
        ),
        (resnet_jax.densenet(40), 1_019_722, 9_048),
        (resnet_jax.densenet(40, stem_width=24), 1_059_298, 9_360),
    ],
    ids=["VGG-19", "ResNet-164", "DenseNet-40", "DenseNet-40, released"],
)
def test_published_nets_have_their_channels(spec, params, channels):
    shapes = complexity.shapes(spec.build(), (32, 32, 3))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes["params"])) == params
    ones = jax.tree.map(lambda leaf: np.ones(leaf.shape, np.float32), shapes)
    spec, ones = slimming.prepared(spec, ones)
    assert sum(len(scale) for scale in slimming.scales(spec, ones).values()) == channels


def test_the_percentile_is_of_all_channels_together():
    found = {"a": np.array([0.1, 0.9, 0.5, 0.2]), "b": np.array([0.3, 0.4, 0.8, 0.05])}
    masks = slimming.kept(found, share=0.5)
    assert {norm: mask.tolist() for norm, mask in masks.items()} == {
        "a": [False, True, True, False],
        "b": [False, True, True, False],
    }
    (one,) = slimming.kept({"a": found["a"]}, share=0.3).values()  # floor(1.2) = 1
    assert one.tolist() == [False, True, True, True]


def test_no_layer_loses_more_than_its_share():
    found = {"a": np.arange(1, 5) / 100, "b": np.arange(1, 5)}
    masks = slimming.kept(found, share=0.5, cap=0.5)
    assert masks["a"].tolist() == [False, False, True, True]
    assert masks["b"].all()


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"share": 0.6}, r"share=0.6: would leave a without .* 0.3750 does not"),
        ({"share": 1.0}, "share=1.0, cap=1.0: must be above 0, share below 1"),
        ({"share": 0.0}, "must be above 0"),
        ({"share": 0.5, "cap": 0.0}, "must be above 0"),
    ],
)
def test_shares_that_cannot_be_cut(changes, told):
    found = {"a": np.arange(1, 5) / 100, "b": np.arange(1, 5)}
    with pytest.raises(ConfigError, match=told):
        slimming.kept(found, **changes)


@pytest.mark.parametrize(
    "spec, told",
    [
        (
            resnet_jax.cifar_resnet(8, order=ORIGINAL),
            "stage1/first/branch/conv1: reads a map without a norm",
        ),
        (
            resnet_jax.cifar_resnet(8, gate=resnet_jax.SE(4), order=FULL_PRE),
            "stage1/first: pruning knows",
        ),
        (resnet_jax.vgg(16), "model.norm: slimming ranks"),
        (resnet_jax.vgg(16, size="cifar", levels=(1, 2)), "spp1: no rule"),
    ],
    ids=["post-activation", "gates", "no norm", "pyramid"],
)
def test_nets_without_a_rule(spec, told):
    with pytest.raises(ConfigError, match=told):
        slimming.prepared(spec, {"params": {}})


def test_channels_that_are_not_there():
    for channels in ((), (3,), (-1,)):
        with pytest.raises(ConfigError, match="must name some of the 3 channels"):
            chosen(jnp.ones((1, 2, 2, 3)), channels)
    with pytest.raises(ConfigError, match="needs a width for each but the last"):
        Cut((1, 3, 1), (4,))
