"""Nets of the ImageNet tables: layers, slots, parameters, multiply-adds.

He et al. 2016a, Tables 1 to 4; 2016b, Table 5; Hu et al. 2018, Table 2.
"""

from resnet_jax.papers.facts import (
    BOTTLENECK,
    NO_SLOTS,
    ORIGINAL,
    FactCertainty,
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


def _imagenet(
    source: str,
    depth: int,
    params: int,
    macs: int | float,
    slots: Quantities = NO_SLOTS,
    *,
    counts: str = "",
    certainty: FactCertainty = "derived",
) -> Facts:
    """Net of four stages, with bottlenecks from 50 layers on.

    `counts` is the source of parameters and multiply-adds, `certainty` is theirs.
    """
    values = {**ORIGINAL, "branch": "basic", "shortcut": "B", "classes": 1000}
    values |= {**(BOTTLENECK if depth >= 50 else {}), **slots}
    values |= {"form": "imagenet_resnet", "depth": depth, "weighted layers": depth}
    facts = said(source, values | {"units a stage": UNITS[depth]}) | _CAFFE
    if values["shortcut"] in ("B", "C"):
        # A projection ends with a norm where its branch does, in both released codes.
        norm = {"norm on projections": "yes" if values["order"] == "original" else "no"}
        facts |= said("the released code", norm, certainty="code")
    return facts | counted(
        counts or source, params=params, macs=macs, certainty=certainty
    )


_T1 = "He et al. 2016a, Table 1"
_50 = "He et al. 2016a, Table 1; the released ResNet-50 has 64 more, a bias in conv1"
_PLAIN, _A, _C = ({"shortcut": kind} for kind in ("none", "A", "C"))
PLAIN_34 = _imagenet(_T1, 34, 21_623_848, 3.644, _PLAIN)
RESNET_34_A = _imagenet(_T1, 34, 21_623_848, 3.644, _A)
DEEP = {
    "ResNet-34 B": _imagenet(_T1, 34, 21_797_672, 3.664),
    "ResNet-34 C": _imagenet(_T1, 34, 22_716_840, 3.831, _C),
    "ResNet-50": _imagenet(_T1, 50, 25_557_032, 3_857_973_248, counts=_50),
    "ResNet-101": _imagenet(_T1, 101, 44_549_160, 7_570_194_432),
    "ResNet-152": _imagenet(_T1, 152, 60_192_808, 11_282_415_616),
}
HE2016A = {
    "he2016a/T2/plain-18": _imagenet(_T1, 18, 11_515_688, 1.795, _PLAIN),
    "he2016a/T2/plain-34": PLAIN_34,
    "he2016a/T2/ResNet-18 A": _imagenet(_T1, 18, 11_515_688, 1.795, _A),
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
    f"fb.resnet.torch/ResNet-{depth}": _imagenet(_FB, depth, params, macs, slots)
    | _TORCH
    for depth, params, macs, slots in (
        (18, 11_689_512, 1.814, NO_SLOTS),
        (50, 25_557_032, 4_089_184_256, _STRIDE),
        (101, 44_549_160, 7_801_405_440, _STRIDE),
        (152, 60_192_808, 11_513_626_624, _STRIDE),
    )
}

# At 200 layers, and with pre-activation, the nets of fb.resnet.torch stand for them.
_T5 = "He et al. 2016b, Table 5"
_PRE = _STRIDE | {"order": "full_pre"}
HE2016B = {
    "he2016b/T5/ResNet-152/crop 224": DEEP["ResNet-152"],
    "he2016b/T5/ResNet-152/crop 320": DEEP["ResNet-152"],
} | {
    f"he2016b/T5/ResNet-{row}/crop 320": net | _TORCH
    for row, net in {
        "200": _imagenet(_T5, 200, 64_673_832, 15.007, _STRIDE),
        "152 pre-act": _imagenet(_T5, 152, 60_185_128, 11.514, _PRE),
        "200 pre-act": _imagenet(_T5, 200, 64_666_152, 15.007, _PRE),
    }.items()
}

# The released Caffe nets: biases in the gates, strides in the first 1x1.
_SE = {"gate": "se", "reduction of the gate": 16}
_H = "Hu et al. 2018, Table 2"
HU2018 = {
    f"hu2018/T2/ResNet-{depth}/SE": _imagenet(
        _H, depth, params, macs, _SE, certainty="code"
    )
    for depth, params, macs in (
        (50, 28_088_024, 3.860),
        (101, 49_326_872, 7.575),
        (152, 66_821_848, 11.289),
    )
}

NETWORKS: dict[str, Facts] = {**HE2016A, **TORCH, **HE2016B, **HU2018}
