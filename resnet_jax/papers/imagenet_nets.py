"""Nets of the ImageNet tables: layers, slots, parameters, multiply-adds.

He et al. 2016a, Tables 1 to 4; 2016b, Table 5; Hu et al. 2018, Table 2.
"""

from resnet_jax.papers.facts import (
    BOTTLENECK,
    NO_SLOTS,
    ORIGINAL,
    Facts,
    Quantities,
    counted,
    said,
)

UNITS = {  # per stage, by depth
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}
_CAFFE = said(
    "KaimingHe/deep-residual-networks",
    {"pool of the stem": "3x3, stride 2, no padding, rounded up"},
    certainty="code",
)
_TORCH = said(
    "fb.resnet.torch",
    {"pool of the stem": "3x3, stride 2, padding 1"},
    certainty="known",
)


def _imagenet(source: str, depth: int, slots: Quantities = NO_SLOTS) -> Facts:
    """Net of four stages, with bottlenecks from 50 layers on."""
    values = {**ORIGINAL, "branch": "basic", "shortcut": "B", "classes": 1000}
    values |= {**(BOTTLENECK if depth >= 50 else {}), **slots}
    values |= {"form": "imagenet_resnet", "depth": depth, "weighted layers": depth}
    facts = said(source, values | {"units a stage": UNITS[depth]}) | _CAFFE
    if values["shortcut"] in ("B", "C"):
        # A projection ends with a norm where its branch does, in both released codes.
        norm = {"norm on projections": "yes" if values["order"] == "original" else "no"}
        facts |= said("the released code", norm, certainty="code")
    return facts


_T1 = "He et al. 2016a, Table 1"
_50 = "He et al. 2016a, Table 1; the released ResNet-50 has 64 more, a bias in conv1"
PLAIN_18 = _imagenet(_T1, 18, {"shortcut": "none"}) | counted(
    _T1, params=11_515_688, macs=1.795
)
PLAIN_34 = _imagenet(_T1, 34, {"shortcut": "none"}) | counted(
    _T1, params=21_623_848, macs=3.644
)
RESNET_18_A = _imagenet(_T1, 18, {"shortcut": "A"}) | counted(
    _T1, params=11_515_688, macs=1.795
)
RESNET_34_A = _imagenet(_T1, 34, {"shortcut": "A"}) | counted(
    _T1, params=21_623_848, macs=3.644
)
RESNET_34_B = _imagenet(_T1, 34) | counted(_T1, params=21_797_672, macs=3.664)
RESNET_34_C = _imagenet(_T1, 34, {"shortcut": "C"}) | counted(
    _T1, params=22_716_840, macs=3.831
)
RESNET_50 = _imagenet(_T1, 50) | counted(_50, params=25_557_032, macs=3_857_973_248)
RESNET_101 = _imagenet(_T1, 101) | counted(_T1, params=44_549_160, macs=7_570_194_432)
RESNET_152 = _imagenet(_T1, 152) | counted(_T1, params=60_192_808, macs=11_282_415_616)
DEEP = {
    "ResNet-34 B": RESNET_34_B,
    "ResNet-34 C": RESNET_34_C,
    "ResNet-50": RESNET_50,
    "ResNet-101": RESNET_101,
    "ResNet-152": RESNET_152,
}
HE2016A = {
    "he2016a/T2/plain-18": PLAIN_18,
    "he2016a/T2/plain-34": PLAIN_34,
    "he2016a/T2/ResNet-18 A": RESNET_18_A,
    "he2016a/T2/ResNet-34 A": RESNET_34_A,
    "he2016a/T3/plain-34": PLAIN_34,
    "he2016a/T3/ResNet-34 A": RESNET_34_A,
    **{f"he2016a/T3/{name}": net for name, net in DEEP.items()},
    **{f"he2016a/T4/{name}": net for name, net in DEEP.items()},
}

# ResNets of today's libraries: type B, bottlenecks that subsample in the 3x3.
_FB = "fb.resnet.torch"
_STRIDE = {"stride of a bottleneck": "3x3"}
TORCH = {
    "fb.resnet.torch/ResNet-18": _imagenet(_FB, 18)
    | _TORCH
    | counted(_FB, params=11_689_512, macs=1.814),
    "fb.resnet.torch/ResNet-50": _imagenet(_FB, 50, _STRIDE)
    | _TORCH
    | counted(_FB, params=25_557_032, macs=4_089_184_256),
    "fb.resnet.torch/ResNet-101": _imagenet(_FB, 101, _STRIDE)
    | _TORCH
    | counted(_FB, params=44_549_160, macs=7_801_405_440),
    "fb.resnet.torch/ResNet-152": _imagenet(_FB, 152, _STRIDE)
    | _TORCH
    | counted(_FB, params=60_192_808, macs=11_513_626_624),
}

# At 200 layers, and with pre-activation, the nets of fb.resnet.torch stand for them.
_T5 = "He et al. 2016b, Table 5"
_PRE = _STRIDE | {"order": "full_pre"}
HE2016B = {
    "he2016b/T5/ResNet-152/crop 224": RESNET_152,
    "he2016b/T5/ResNet-152/crop 320": RESNET_152,
    "he2016b/T5/ResNet-200/crop 320": _imagenet(_T5, 200, _STRIDE)
    | _TORCH
    | counted(_T5, params=64_673_832, macs=15.007),
    "he2016b/T5/ResNet-152 pre-act/crop 320": _imagenet(_T5, 152, _PRE)
    | _TORCH
    | counted(_T5, params=60_185_128, macs=11.514),
    "he2016b/T5/ResNet-200 pre-act/crop 320": _imagenet(_T5, 200, _PRE)
    | _TORCH
    | counted(_T5, params=64_666_152, macs=15.007),
}

# The released Caffe nets: biases in the gates, strides in the first 1x1.
_SE = {"gate": "se", "reduction of the gate": 16}
_H = "Hu et al. 2018, Table 2"
HU2018 = {
    f"hu2018/T2/ResNet-{depth}/SE": _imagenet(_H, depth, _SE)
    | counted(_H, params=params, macs=macs, certainty="code")
    for depth, params, macs in (
        (50, 28_088_024, 3.860),
        (101, 49_326_872, 7.575),
        (152, 66_821_848, 11.289),
    )
}

NETWORKS: dict[str, Facts] = {**HE2016A, **TORCH, **HE2016B, **HU2018}
