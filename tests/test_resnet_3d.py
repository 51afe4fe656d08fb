"""Residual nets over three axes: published counts, values, clips too small."""

import dataclasses

import comparing
import counted
import numpy as np
import pytest
import reference_nd as nd

from resnet_jax.errors import ConfigError
from resnet_jax.models import complexity
from resnet_jax.models.layers.layers import LayersSpec
from resnet_jax.models.units.branch import BASIC
from resnet_jax.models.units.shortcut import Dropped
from resnet_jax.models.units.unit import FULL_PRE
from resnet_jax.models.zoo.resnets import imagenet_resnet
from resnet_jax.models.zoo.resnets_3d import RESNEXT, WIDE, resnet_3d, small_resnet_3d

pytestmark = pytest.mark.usefixtures("float64")


# name, net, parameters with 400 classes (released code), multiply-adds a clip (derived)
# fmt: off
COUNTS = [
    ("R-18 A",      resnet_3d(18),                   33_235_280, "8.30 G"),
    ("R-18 B",      resnet_3d(18, shortcut="B"),     33_409_104, None),
    ("R-34 A",      resnet_3d(34),                   63_544_912, "12.68 G"),
    ("R-34 B",      resnet_3d(34, shortcut="B"),     63_718_736, None),
    ("R-50",        resnet_3d(50),                   47_018_576, "10.07 G"),
    ("R-101",       resnet_3d(101),                  86_064_720, "13.89 G"),
    ("R-152",       resnet_3d(152),                 118_223_440, "18.61 G"),
    ("R-200",       resnet_3d(200),                 127_423_056, "25.80 G"),
    ("pre-act 200", resnet_3d(200, order=FULL_PRE), 127_419_088, "25.80 G"),
    ("WRN-50",      resnet_3d(50, branch=WIDE),     158_248_272, "26.24 G"),
    ("ResNeXt-101", resnet_3d(101, branch=RESNEXT),  48_340_816, "9.57 G"),
]
# fmt: on


@pytest.mark.parametrize("row", COUNTS, ids=lambda row: row[0])
def test_parameters_and_multiply_adds(row):
    """Hara et al. 2018, on 16 frames of 112x112."""
    _, spec, params, macs = row
    clip = (16, 112, 112, 3)
    assert counted.params(spec, clip) == params
    if macs is not None:
        assert f"{counted.multiply_adds(spec, clip) / 1e9:.2f} G" == macs


# ---------------------------------------------------------------- values


def stem(x, at):
    """7x7x7 at (1, 2, 2), then the maximum of 3x3x3 at 2, both padded."""
    x = at.norm_relu(at.conv(x, "stem_conv", stride=(1, 2, 2)), "stem")
    return max_pool(x)


def max_pool(x):
    x = np.pad(x, [(0, 0), *((1, 1),) * 3, (0, 0)], constant_values=-np.inf)
    for axis in (1, 2, 3):
        starts = range(0, x.shape[axis] - 2, 2)
        parts = [np.take(x, range(s, s + 3), axis).max(axis) for s in starts]
        x = np.stack(parts, axis)
    return x


def resnet(x, at, *, depths, unit, widths):
    x = stem(x, at)
    for stage, (depth, width) in enumerate(zip(depths, widths, strict=True), 1):
        for k in range(depth):
            stride = 2 if stage > 1 and k == 0 else 1
            x = unit(x, at[f"stage{stage}"].unit(k), width, stride)
    return at.dense(nd.mean(x), "head")


def basic(x, at, width, stride):
    """Two 3x3x3, and a shortcut of type A: every second point, zeros behind."""
    branch = at["branch"]
    y = branch.norm_relu(branch.conv(x, "conv1", stride=stride), "1")
    y = branch.norm(branch.conv(y, "conv2"), "2")
    x = x[:, ::stride, ::stride, ::stride]
    return nd.relu(nd.zero_pad(x, width) + y)


def preact(x, at, width, stride):
    """BN-ReLU-conv three times, also in the first unit; projections of x with norm."""
    y, branch = x, at["branch"]
    y = branch.conv(branch.norm_relu(y, "before"), "conv1")
    y = branch.conv(branch.norm_relu(y, "1"), "conv2", stride=stride)
    y = branch.conv(branch.norm_relu(y, "2"), "conv3")
    if stride > 1 or x.shape[-1] != width:
        x = at.norm(at.conv(x, "shortcut_conv", stride=stride), "shortcut")
    return x + y


def bottleneck(x, at, width, stride, groups=1):
    """The 3x3x3 subsamples; groups of ResNeXt are in it as well."""
    y, branch = x, at["branch"]
    y = branch.norm_relu(branch.conv(y, "conv1"), "1")
    y = branch.conv(y, "conv2", stride=stride, groups=groups)
    y = branch.norm(branch.conv(branch.norm_relu(y, "2"), "conv3"), "3")
    if stride > 1 or x.shape[-1] != width:
        x = at.norm(at.conv(x, "shortcut_conv", stride=stride), "shortcut")
    return nd.relu(x + y)


def grouped(x, at, width, stride):
    return bottleneck(x, at, width, stride, groups=2)


IN_TWO = dataclasses.replace(RESNEXT, cardinality=2)
NETS = {
    "basic, A": (resnet_3d(18, width=1 / 16), basic),
    "pre-activation, B": (resnet_3d(50, width=1 / 16, order=FULL_PRE), preact),
    "bottleneck, B": (resnet_3d(50, width=1 / 16), bottleneck),
    "ResNeXt, B": (resnet_3d(50, width=1 / 16, branch=IN_TWO), grouped),
}


@pytest.mark.compile
@pytest.mark.parametrize("name", NETS)
def test_nets_over_three_axes(name):
    """One or two units a stage; clips that no stride divides."""
    spec, unit = NETS[name]
    layers = dataclasses.replace(spec.layers, dtype="float64")
    depths = (1, 2, 1, 1)
    spec = dataclasses.replace(spec, depths=depths, layers=layers, num_classes=5)

    def expected(x, at):
        return resnet(x, at, depths=depths, unit=unit, widths=spec.widths)

    comparing.compare(spec.build(), expected, comparing.drawn(2, 9, 18, 17, 3))


@pytest.mark.compile
def test_the_small_net():
    spec = small_resnet_3d(8, width=1 / 4, shortcut="A")
    layers = dataclasses.replace(spec.layers, dtype="float64")

    def expected(x, at):
        x = at.norm_relu(at.conv(x, "stem_conv", stride=(1, 2, 2)), "stem")
        for stage, width in enumerate(spec.widths, 1):
            x = basic(x, at[f"stage{stage}"].unit(0), width, min(stage, 2))
        return at.dense(nd.mean(x), "head")

    net = dataclasses.replace(spec, layers=layers).build()
    comparing.compare(net, expected, comparing.drawn(2, 4, 8, 8, 1))


def test_a_join_of_the_users_stays_behind_the_norm_of_the_shortcut():
    spec = resnet_3d(50, order=FULL_PRE, join=Dropped(0.5))
    assert {unit.join.join for unit in spec.firsts} == {Dropped(0.5)}
    assert spec.unit.join == Dropped(0.5)


# ---------------------------------------------------------------- what is refused

TOO_SMALL = [
    (resnet_3d(18), (8, 112, 112, 3), r"clips of 8x112x112 .* needs 9x17x17"),
    (resnet_3d(18), (16, 16, 112, 3), r"clips of 16x16x112 .* needs 9x17x17"),
    (small_resnet_3d(8), (2, 16, 16, 1), r"clips of 2x16x16 .* needs 3x5x5"),
]


@pytest.mark.parametrize("spec, clip, message", TOO_SMALL)
def test_clips_shorter_than_the_net_needs(spec, clip, message):
    with pytest.raises(ConfigError, match=message):
        complexity.shapes(spec.build(), clip)


def test_the_least_clip_is_halved_to_one_point():
    """Every stride finds two points or more; one frame less, and the last would not."""
    sizes = []
    for frames in (9, 8):
        sizes.append([n := frames] + [n := -(-n // 2) for _ in range(4)])
    assert sizes == [[9, 5, 3, 2, 1], [8, 4, 2, 1, 1]]
    shapes = complexity.shapes(resnet_3d(18, width=1 / 16).build(), (9, 17, 17, 3))
    assert set(shapes["params"]) > {"stage4", "head"}


@pytest.mark.parametrize("rank", [2, 3])
def test_images_are_no_clips(rank):
    spec = dataclasses.replace(resnet_3d(18), layers=LayersSpec(rank=rank))
    with pytest.raises(ConfigError, match=r"takes clips .* not images"):
        complexity.shapes(spec.build(), (112, 112, 3))


def test_depths_are_those_of_the_paper():
    with pytest.raises(ConfigError, match=r"model\.depth=20: must be one of \(18, 34"):
        resnet_3d(20)
    assert resnet_3d(18).depths == imagenet_resnet(18).depths
    assert resnet_3d(18).unit.branch == BASIC
