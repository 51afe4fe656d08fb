"""Parameters and multiply-adds of the papers' networks, to the last digit.

Integers follow from the papers' tables and released code. Multiply-adds given as text
("1.814 G") are published or derived to that many digits only.
"""

import dataclasses
import math

import counted
import jax
import pytest
import tiers

from resnet_jax.models import complexity
from resnet_jax.models.layers.activations import PRelu
from resnet_jax.models.layers.layers import LayersSpec
from resnet_jax.models.units.branch import BASIC, BOTTLENECK, BOTTLENECK_3X3, SINGLE
from resnet_jax.models.units.separable import XCEPTION_50
from resnet_jax.models.units.shortcut import Dropped, Gated, Scaled
from resnet_jax.models.units.unit import (
    FULL_PRE,
    NORM_AFTER_ADDITION,
    ORIGINAL,
    RELU_BEFORE_ADDITION,
    RELU_ONLY_PRE,
    SE,
)
from resnet_jax.models.zoo.resnets import cifar_resnet, imagenet_resnet, wide_resnet
from resnet_jax.models.zoo.xceptions import xception


def cifar(depth, classes=10, **fields):
    spec = cifar_resnet(depth, **fields)
    return dataclasses.replace(spec, num_classes=classes)


def neck(depth, classes=10, branch=BOTTLENECK, **fields):
    return cifar(depth, classes, branch=branch, **fields)


def preact(depth, classes=10, branch=BOTTLENECK, **fields):
    return cifar(depth, classes, branch=branch, order=FULL_PRE, **fields)


def imagenet(depth, **fields):
    return imagenet_resnet(depth, **fields)


def wrn(depth, width, classes=10, **fields):
    spec = wide_resnet(depth, width=width, order=FULL_PRE, **fields)
    return dataclasses.replace(spec, num_classes=classes)


def grouped(groups, width):
    """C x Dd of ResNeXt; 1 x 128d is the branch of WRN-50-2."""
    inner = groups * width / 256
    return dataclasses.replace(BOTTLENECK_3X3, inner=inner, cardinality=groups)


def resnext(groups, width, classes=10):
    return cifar(29, classes, branch=grouped(groups, width), width=4)


def resnext_imagenet(depth, groups, width, **fields):
    return imagenet(depth, branch=grouped(groups, width), **fields)


M, V = BOTTLENECK, BOTTLENECK_3X3  # strides in the first 1x1, or in the 3x3
GATES = 54 * 262_144  # multiply-adds of 54 1x1 gates: k^2 c^2 h w is the same a stage

# name, network, parameters, multiply-adds
# fmt: off
CIFAR = [
    # He et al. 2016a, Table 6, shortcut A: 0.27, 0.46, 0.66, 0.85, 1.7, 19.4 M
    ("ResNet-20",   cifar(20, shortcut="A"),       269_722,    40_551_040),
    ("ResNet-32",   cifar(32, shortcut="A"),       464_154,    68_862_592),
    ("ResNet-44",   cifar(44, shortcut="A"),       658_586,    97_174_144),
    ("ResNet-56",   cifar(56, shortcut="A"),       853_018,   125_485_696),
    ("ResNet-110",  cifar(110, shortcut="A"),    1_727_962,   252_887_680),
    ("ResNet-1202", cifar(1202, shortcut="A"),  19_421_274, 2_829_238_912),
    # the same, projections with norm at the two transitions: +2,752, +262,144
    ("ResNet-20 B",   cifar(20),       272_474,    40_813_184),
    ("ResNet-32 B",   cifar(32),       466_906,    69_124_736),
    ("ResNet-44 B",   cifar(44),       661_338,    97_436_288),
    ("ResNet-56 B",   cifar(56),       855_770,   125_747_840),
    ("ResNet-110 B",  cifar(110),    1_730_714,   253_149_824),
    ("ResNet-1202 B", cifar(1202),  19_424_026, 2_829_501_056),
    # no shortcut at all: equal to shortcut A
    ("plain-20",  cifar(20, shortcut="none"),     269_722,  40_551_040),
    ("plain-56",  cifar(56, shortcut="none"),     853_018, 125_485_696),
    ("plain-110", cifar(110, shortcut="none"),  1_727_962, 252_887_680),
    # CIFAR-100: +5,850 behind 64 channels, +23,130 behind 256
    ("ResNet-20 C100",    cifar(20, 100, shortcut="A"),     275_572,    40_556_800),
    ("ResNet-110 C100",   cifar(110, 100, shortcut="A"),  1_733_812,   252_893_440),
    ("PreAct-164 C100",   preact(164, 100),               1_726_388,   244_524_032),
    ("PreAct-1001 C100",  preact(1001, 100),             10_350_836, 1_487_873_024),
    # He et al. 2016b; PreAct-164 as printed in the log of Zagoruyko & Komodakis
    ("PreAct-164",        preact(164),                    1_703_258,   244_500_992),
    ("PreAct-1001",       preact(1001),                  10_327_706, 1_487_849_984),
    ("PreAct-110 A",      preact(110, branch=BASIC, shortcut="A"),
                                                          1_727_962,   252_887_680),
    ("PreAct-110 B",      preact(110, branch=BASIC),      1_730_522,   253_149_824),
    ("ResNet-164",        neck(164),                      1_704_154,   244_500_992),
    ("ResNet-1001",       neck(1001),                    10_328_602, 1_487_849_984),
    # Table 1: what is on the shortcut of all 54 units
    ("1x1 on all",        cifar(110, shortcut="C"),       1_826_202,   266_781_312),
    ("constant scaling",  cifar(110, shortcut="A", join=Scaled()),
                                                          1_727_962,   252_887_680),
    ("dropout",           cifar(110, shortcut="A", join=Dropped()),
                                                          1_727_962,   252_887_680),
    ("exclusive gating",  cifar(110, shortcut="A", join=Gated("both")),
                                              1_727_962 + 98_784, 252_887_680 + GATES),
    ("shortcut gating",   cifar(110, shortcut="A", join=Gated("shortcut")),
                                              1_727_962 + 98_784, 252_887_680 + GATES),
    # Hu et al. 2018, reduction 16, with biases
    ("SE-ResNet-20",   cifar(20, shortcut="A", gate=SE()),    272_095, None),
    ("SE-ResNet-110",  cifar(110, shortcut="A", gate=SE()), 1_742_200, None),
    ("SE-PreAct-164",  preact(164, gate=SE()),              1_905_362, None),
]
WIDE = [
    # Zagoruyko & Komodakis 2016, Tables 2 to 6; 8,949,210 is printed in their log
    ("WRN-16-4",   wrn(16, 4),    2_748_890, "0.393 G"),
    ("WRN-16-8",   wrn(16, 8),   10_961_370, "1.548 G"),
    ("WRN-16-10",  wrn(16, 10),  17_116_634, None),
    ("WRN-22-8",   wrn(22, 8),   17_158_106, None),
    ("WRN-22-10",  wrn(22, 10),  26_797_914, None),
    ("WRN-28-2",   wrn(28, 2),    1_467_610, None),
    ("WRN-28-10",  wrn(28, 10),  36_479_194, "5.243 G"),
    ("WRN-28-12",  wrn(28, 12),  52_517_850, None),
    ("WRN-40-1",   wrn(40, 1),      563_930, None),
    ("WRN-40-2",   wrn(40, 2),    2_243_546, None),
    ("WRN-40-4",   wrn(40, 4),    8_949_210, "1.299 G"),
    ("WRN-40-8",   wrn(40, 8),   35_748_314, None),
    ("WRN-40-10",  wrn(40, 10),  55_841_754, None),
    ("WRN-52-1",   wrn(52, 1),      758_362, None),
    ("WRN-16-8 C100",   wrn(16, 8, 100),   11_007_540, None),
    ("WRN-16-10 C100",  wrn(16, 10, 100),  17_174_324, None),
    ("WRN-28-10 C100",  wrn(28, 10, 100),  36_536_884, None),
    ("B(1,3,1)",   wrn(58, 2, kernels=(1, 3, 1)),   1_429_082, None),
    ("B(3,1)",     wrn(40, 2, kernels=(3, 1)),      1_211_354, None),
    ("B(1,3)",     wrn(40, 2, kernels=(1, 3)),      1_297_370, None),
    ("B(3,1,1)",   wrn(58, 2, kernels=(3, 1, 1)),   1_343_066, None),
    ("B(3,1,3)",   wrn(31, 2, kernels=(3, 1, 3)),   1_145_498, None),
    ("l=1",        wrn(40, 2, kernels=(3,)),        2_243_546, None),
    ("l=3",        wrn(40, 2, kernels=(3, 3, 3)),   2_243_546, None),
    ("l=4",        wrn(40, 2, kernels=(3,) * 4),    2_243_546, None),
    ("SE-WRN-16-8", wrn(16, 8, gate=SE()),         11_049_290, None),
    # Xie et al. 2017, Table 7; printed without norms: 34.4 and 68.1 M
    ("ResNeXt-29 8x64d",       resnext(8, 64),        34_426_698, "5.387 G"),
    ("ResNeXt-29 16x64d",      resnext(16, 64),       68_155_210, "10.689 G"),
    ("ResNeXt-29 8x64d C100",  resnext(8, 64, 100),   34_518_948, None),
    ("ResNeXt-29 16x64d C100", resnext(16, 64, 100),  68_247_460, None),
    ("ResNeXt-29 1x64d",       resnext(1, 64),         4_914_250, None),
    ("ResNeXt-29 2x64d",       resnext(2, 64),         9_130_314, None),
    ("ResNeXt-29 4x64d",       resnext(4, 64),        17_562_442, None),
    ("ResNeXt-29 1x128d",      resnext(1, 128),       13_775_178, None),
    ("ResNeXt-29 1x192d",      resnext(1, 192),       27_280_970, None),
    ("ResNeXt-29 1x256d",      resnext(1, 256),       45_431_626, None),
    ("ResNeXt-29 32x4d",       resnext(32, 4),         4_775_754, None),
]
IMAGENET = [
    # He et al. 2016a, Table 1: 1.8, 3.6, 3.8, 7.6, 11.3 e9
    ("ResNet-18 A",  imagenet(18, shortcut="A"),     11_515_688, "1.795 G"),
    ("ResNet-18 B",  imagenet(18),                   11_689_512, "1.814 G"),
    ("ResNet-18 C",  imagenet(18, shortcut="C"),     12_043_816, "1.878 G"),
    ("ResNet-34 A",  imagenet(34, shortcut="A"),     21_623_848, "3.644 G"),
    ("ResNet-34 B",  imagenet(34),                   21_797_672, "3.664 G"),
    ("ResNet-34 C",  imagenet(34, shortcut="C"),     22_716_840, "3.831 G"),
    ("plain-18",     imagenet(18, shortcut="none"),  11_515_688, "1.795 G"),
    ("plain-34",     imagenet(34, shortcut="none"),  21_623_848, "3.644 G"),
    ("ResNet-50",    imagenet(50, branch=M),         25_557_032,  3_857_973_248),
    ("ResNet-101",   imagenet(101, branch=M),        44_549_160,  7_570_194_432),
    ("ResNet-152",   imagenet(152, branch=M),        60_192_808, 11_282_415_616),
    # strides in the 3x3, as in fb.resnet.torch and torchvision
    ("ResNet-50 v",  imagenet(50, branch=V),         25_557_032,  4_089_184_256),
    ("ResNet-101 v", imagenet(101, branch=V),        44_549_160,  7_801_405_440),
    ("ResNet-152 v", imagenet(152, branch=V),        60_192_808, 11_513_626_624),
    ("ResNet-200 v", imagenet(200, branch=V),        64_673_832, "15.007 G"),
    # He et al. 2016b, as in fb.resnet.torch
    ("PreAct-152 v", imagenet(152, branch=V, order=FULL_PRE), 60_185_128, "11.514 G"),
    ("PreAct-200 v", imagenet(200, branch=V, order=FULL_PRE), 64_666_152, "15.007 G"),
    # Hu et al. 2018, released Caffe nets: biases on, strides in the first 1x1
    ("SE-ResNet-50",  imagenet(50, gate=SE()),   28_088_024, "3.860 G"),
    ("SE-ResNet-101", imagenet(101, gate=SE()),  49_326_872, "7.575 G"),
    ("SE-ResNet-152", imagenet(152, gate=SE()),  66_821_848, "11.289 G"),
]
IMAGENET += [
    # Zagoruyko & Komodakis 2016, Tables 7 and 8
    ("WRN-50-2",     resnext_imagenet(50, 1, 128),  68_883_240, "11.40 G"),
    ("WRN-18-1.5",   imagenet(18, width=1.5),       25_875_816, None),
    ("WRN-18-2",     imagenet(18, width=2),         45_618_216, None),
    ("WRN-18-3",     imagenet(18, width=3),        101_783_976, None),
    ("WRN-34-1.5",   imagenet(34, width=1.5),       48_613_608, None),
    ("WRN-34-2",     imagenet(34, width=2),         86_036_008, None),
    # Xie et al. 2017, Tables 3 and 4
    ("ResNeXt-50 2x40d",   resnext_imagenet(50, 2, 40),    25_425_000, None),
    ("ResNeXt-50 4x24d",   resnext_imagenet(50, 4, 24),    25_292_968, None),
    ("ResNeXt-50 8x14d",   resnext_imagenet(50, 8, 14),    25_603_016, None),
    ("ResNeXt-50 32x4d",   resnext_imagenet(50, 32, 4),    25_028_904, "4.230 G"),
    ("ResNeXt-101 2x40d",  resnext_imagenet(101, 2, 40),   44_456_296, None),
    ("ResNeXt-101 4x24d",  resnext_imagenet(101, 4, 24),   44_363_432, None),
    ("ResNeXt-101 8x14d",  resnext_imagenet(101, 8, 14),   45_104_328, None),
    ("ResNeXt-101 32x4d",  resnext_imagenet(101, 32, 4),   44_177_704, "7.970 G"),
    ("ResNeXt-101 1x100d", resnext_imagenet(101, 1, 100),  85_611_336, "15.27 G"),
    ("ResNeXt-101 2x64d",  resnext_imagenet(101, 2, 64),   84_198_184, "15.12 G"),
    ("ResNeXt-101 64x4d",  resnext_imagenet(101, 64, 4),   83_455_272, "15.46 G"),
    # Hu et al. 2018, released Caffe nets
    ("SE-ResNeXt-50",  resnext_imagenet(50, 32, 4, gate=SE()),  27_559_896, "4.233 G"),
    ("SE-ResNeXt-101", resnext_imagenet(101, 32, 4, gate=SE()), 48_955_416, "7.975 G"),
]
IMAGENET += [
    # He et al. 2017, Sec. 4.3: 4,450M, the reading of it that comes to that
    ("Xception-50", imagenet(50, branch=XCEPTION_50), 28_898_152, "4.450 G"),
]
XCEPTION = [
    # Chollet 2017, Table 3: 22,855,952; multiply-adds from Fig. 5
    ("Xception", xception(), 22_855_952, 8_357_403_496),
]
ROWS = [(*row, (32, 32, 3)) for row in CIFAR + WIDE]
ROWS += [(*row, (224, 224, 3)) for row in IMAGENET]
ROWS += [(*row, (299, 299, 3)) for row in XCEPTION]
# fmt: on


@pytest.mark.parametrize(
    "row", tiers.one_in(4, [(row,) for row in ROWS]), ids=[row[0] for row in ROWS]
)
def test_parameters_and_multiply_adds(row):
    _, spec, params, macs, image = row
    assert counted.params(spec, image) == params
    if isinstance(macs, str):
        digits = len(macs.removesuffix(" G").partition(".")[2])
        assert f"{counted.multiply_adds(spec, image) / 1e9:.{digits}f} G" == macs
    elif macs is not None:
        assert counted.multiply_adds(spec, image) == macs


@pytest.mark.parametrize("n", [1, 3, 5, 7, 9, 18, 200])
def test_closed_form_of_6n_plus_2(n):
    net = cifar(6 * n + 2, shortcut="A").build()
    assert complexity.num_params(net, (32, 32, 3)) == 97_216 * n - 21_926


@pytest.mark.parametrize("n", [1, 3, 18, 111])
def test_closed_form_of_9n_plus_2(n):
    net = preact(9 * n + 2).build()
    assert complexity.num_params(net, (32, 32, 3)) == 92_736 * n + 34_010


def count(spec, image, names):
    """Parameters whose path ends with one of the names."""
    params = complexity.shapes(spec.build(), image)["params"]
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return sum(
        math.prod(leaf.shape)
        for path, leaf in leaves
        if any(key.key.startswith(names) for key in path)
    )


def test_preact_1001_without_norms_is_the_papers_10_2m():
    spec = preact(1001)
    norms = count(spec, (32, 32, 3), ("norm_",))
    assert complexity.num_params(spec.build(), (32, 32, 3)) - norms == 10_178_490


def test_squeeze_and_excitation_adds_two_over_r_sums():
    """2,514,944 without biases (Hu et al. 2018, Eq. 5); 2,530,992 with."""
    spec, image = imagenet(50, gate=SE(16)), (224, 224, 3)
    units = list(zip(spec.depths, spec.widths, strict=True))
    biases = sum(n * (c // 16 + c) for n, c in units)
    assert sum(2 * n * c**2 // 16 for n, c in units) == 2_514_944
    assert count(spec, image, ("squeeze", "excite")) == 2_514_944 + biases == 2_530_992


ORDERS = {
    "norm after addition": NORM_AFTER_ADDITION,
    "relu before addition": RELU_BEFORE_ADDITION,
    "relu-only pre-activation": RELU_ONLY_PRE,
    "full pre-activation": FULL_PRE,
}


@pytest.mark.parametrize("order", ORDERS)
def test_orders_are_the_same_parts(order):
    """He et al. 2016b, Table 2: with shortcut A no order costs or saves a parameter."""
    net = cifar(110, shortcut="A", order=ORDERS[order]).build()
    assert complexity.num_params(net, (32, 32, 3)) == 1_727_962


@pytest.mark.parametrize("order", [ORIGINAL, FULL_PRE], ids=["original", "pre"])
def test_single_convolution_units(order):
    """He et al. 2016b, Table 3: 108 units of one convolution."""
    spec = cifar(110, branch=SINGLE, shortcut="A", order=order)
    assert sum(spec.depths) == 108
    assert complexity.num_params(spec.build(), (32, 32, 3)) == 1_727_962


@pytest.mark.parametrize("sharing", ["channel", "layer"])
def test_slopes_of_prelu(sharing):
    """He et al. 2015: one slope a channel or one a layer, behind every norm here."""
    spec = cifar(20, shortcut="A")
    act = LayersSpec(act=PRelu(sharing))
    net = dataclasses.replace(spec, layers=act).build()
    slopes = 16 + 3 * 2 * (16 + 32 + 64) if sharing == "channel" else 19
    assert complexity.num_params(net, (32, 32, 3)) == 269_722 + slopes
