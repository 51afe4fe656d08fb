"""Nets of the CIFAR tables: layers, slots, parameters, multiply-adds.

He et al. 2016a, Table 6 and Fig. 6; 2016b, Tables 1 to 4; Huang et al. 2016.
"""

from resnet_jax.papers.facts import (
    BOTTLENECK,
    NO_SLOTS,
    ORIGINAL,
    Facts,
    Quantities,
    counted,
    said,
    silent,
)

LAYERS = {"single": 1, "basic": 2, "bottleneck": 3}  # of a unit


def _cifar(source: str, depth: int, slots: Quantities = NO_SLOTS) -> Facts:
    """Net of 3n+2, 6n+2 or 9n+2 layers in three stages."""
    values = {**ORIGINAL, "branch": "basic", "shortcut": "A", "classes": 10, **slots}
    units = (depth - 2) // (3 * LAYERS[str(values["branch"])])
    values |= {"form": "cifar_resnet", "depth": depth, "weighted layers": depth}
    return said(source, values | {"units a stage": (units,) * 3})


# depth: parameters and multiply-adds with shortcuts of type A or none, as printed
COUNTS = {
    20: (269_722, 40_551_040, "0.27M"),
    32: (464_154, 68_862_592, "0.46M"),
    44: (658_586, 97_174_144, "0.66M"),
    56: (853_018, 125_485_696, "0.85M"),
    110: (1_727_962, 252_887_680, "1.7M"),
    1202: (19_421_274, 2_829_238_912, "19.4M"),
}


def _basic(source: str, depth: int, slots: Quantities = NO_SLOTS) -> Facts:
    """Net of basic units without parameters on its shortcuts."""
    params, macs, printed = COUNTS[depth]
    counts = counted(source, params=params, macs=macs, printed=printed)
    return _cifar(source, depth, slots) | counts


def _bottleneck(
    source: str,
    depth: int,
    *,
    macs: int,
    params: int | None = None,
    printed: str = "",
    classes: int = 10,
    order: str = "original",
) -> Facts:
    """Net of bottlenecks, with projections where resized (type B)."""
    slots = {**BOTTLENECK, "shortcut": "B", "classes": classes, "order": order}
    # A projection ends with a norm where its branch does, in both released codes.
    norm = {"norm on projections": "yes" if order == "original" else "no"}
    counts = counted(source, params=params, macs=macs, printed=printed)
    net = _cifar(source, depth, slots) | counts
    return net | said("the released code", norm, certainty="code")


_T6, _F6 = "He et al. 2016a, Table 6", "He et al. 2016a, Fig. 6"
HE2016A = {f"he2016a/T6/ResNet-{depth}": _basic(_T6, depth) for depth in COUNTS} | {
    f"he2016a/Fig6/plain-{depth}": _basic(_F6, depth, {"shortcut": "none"})
    for depth in (20, 32, 44, 56, 110)
}

_T1 = "He et al. 2016b, Table 1"


def _gated(gates: str, bias: float) -> Facts:
    """Gated shortcuts: 98,784 more parameters, if gates see the resized shortcut."""
    slots = {"join": f"{gates}_gating", "gate bias": bias}
    return (
        _cifar(_T1, 110, slots)
        | counted(_T1, params=1_826_746, macs=267_043_456, certainty="unsure")
        | silent("what gates see", source="not stated, nor how their weights are drawn")
    )


def _scaled(shortcut: float, branch: float) -> Facts:
    return _basic(_T1, 110, {"join": "scaled", "scales": (shortcut, branch)})


T1 = {
    "original": _basic(_T1, 110),
    "constant scaling 0, 1": _scaled(0.0, 1.0),
    "constant scaling 0.5, 1": _scaled(0.5, 1.0),
    "constant scaling 0.5, 0.5": _scaled(0.5, 0.5),
    "exclusive gating/bias 0 to -5": _gated("exclusive", 0.0),
    "exclusive gating/bias -6": _gated("exclusive", -6.0),
    "exclusive gating/bias -7": _gated("exclusive", -7.0),
    "shortcut-only gating/bias 0": _gated("shortcut_only", 0.0),
    "shortcut-only gating/bias -6": _gated("shortcut_only", -6.0),
    "1x1 conv shortcut": _cifar(_T1, 110, {"shortcut": "C"})
    | counted(_T1, params=1_826_202, macs=266_781_312, certainty="unsure")
    | silent("norm on projections"),
    "dropout shortcut": _basic(
        _T1, 110, {"join": "dropout", "dropout of the shortcut": 0.5}
    ),
}

_B = "He et al. 2016b, Table 3"
# A resizing shortcut without parameters may take x or the pre-activation.
_UNSURE_A = said("type A is likely, not stated", {"shortcut": "A"}, certainty="unsure")
_1M7, _10M2 = "1.7M", "10.2M, without BatchNorm"
_POST_164 = _bottleneck(_B, 164, params=1_704_154, macs=244_500_992, printed=_1M7)
_POST_1001 = _bottleneck(_B, 1001, params=10_328_602, macs=1_487_849_984)
_FULL_PRE = {"order": "full_pre"}
_PRE_110 = (
    _basic(_B, 110, _FULL_PRE)
    | counted(_B, params=1_727_962, macs=252_887_680, certainty="unsure", printed=_1M7)
    | _UNSURE_A
)


_PRE_164, _PRE_1001, _PRE_164_C100, _PRE_1001_C100 = (
    _bottleneck(
        _B, depth, params=params, macs=macs, printed=printed, classes=classes,
        order="full_pre",
    )
    for depth, classes, params, macs, printed in (
        (164, 10, 1_703_258, 244_500_992, _1M7),
        (1001, 10, 10_327_706, 1_487_849_984, _10M2),
        (164, 100, 1_726_388, 244_524_032, _1M7),
        (1001, 100, 10_350_836, 1_487_873_024, _10M2),
    )
)  # fmt: skip

_T2 = "He et al. 2016b, Table 2"
BETWEEN = {  # orders between the original and full pre-activation, which Fig. 4 draws
    "BN after addition": "norm_after_addition",
    "ReLU before addition": "relu_before_addition",
    "ReLU-only pre-activation": "relu_only_pre",
}
T2 = {
    "original/ResNet-110": _basic(_T2, 110),
    "original/ResNet-164": _POST_164,
    **{
        f"{name}/ResNet-110": _basic(_T2, 110, {"order": o})
        for name, o in BETWEEN.items()
    },
    **{
        f"{name}/ResNet-164": _bottleneck(_T2, 164, order=order, macs=244_500_992)
        | silent("norm on projections")
        for name, order in BETWEEN.items()
    },
    "full pre-activation/ResNet-110": _PRE_110,
    "full pre-activation/ResNet-164": _PRE_164,
}
T2["ReLU-only pre-activation/ResNet-110"] |= _UNSURE_A

_SKIP_1 = {"branch": "single"}
_SINGLE = counted(_B, params=1_727_962, macs=252_887_680, printed=_1M7)
T3 = {
    "ResNet-110 1-layer skip/baseline": _cifar(_B, 110, _SKIP_1) | _SINGLE,
    "ResNet-110 1-layer skip/pre-activation": _cifar(_B, 110, _SKIP_1 | _FULL_PRE)
    | _SINGLE
    | _UNSURE_A,
    "ResNet-110/baseline": _basic(_B, 110),
    "ResNet-110/pre-activation": _PRE_110,
    "ResNet-164/baseline": _POST_164,
    "ResNet-164/pre-activation": _PRE_164,
    "ResNet-1001/baseline": _POST_1001,
    "ResNet-1001/pre-activation": _PRE_1001,
    "ResNet-164 C100/baseline": _bottleneck(_B, 164, macs=244_524_032, classes=100),
    "ResNet-164 C100/pre-activation": _PRE_164_C100,
    "ResNet-1001 C100/baseline": _bottleneck(_B, 1001, macs=1_487_873_024, classes=100),
    "ResNet-1001 C100/pre-activation": _PRE_1001_C100,
}
T4 = {
    "ResNet-164/CIFAR-10": _PRE_164,
    "ResNet-1001/CIFAR-10": _PRE_1001,
    "ResNet-1001 batch 64/CIFAR-10": _PRE_1001,
    "ResNet-164/CIFAR-100": _PRE_164_C100,
    "ResNet-1001/CIFAR-100": _PRE_1001_C100,
}
HE2016B = {
    f"he2016b/{table}/{row}": net
    for table, nets in {"T1": T1, "T2": T2, "T3": T3, "T4": T4}.items()
    for row, net in nets.items()
}

_SD = "Huang et al. 2016, released code"


def _huang(classes: int, survival: float) -> Facts:
    """ResNet-110 with 4,048 biases of convolutions, besides the offsets of norms."""
    slots = {"classes": classes, "shortcut": "avgpool-A"}
    more = classes - 10
    params, macs = 1_732_010 + 65 * more, 252_887_680 + 64 * more
    return _cifar(_SD, 110, {**slots, "survival of the last unit": survival}) | counted(
        _SD, params=params, macs=macs, certainty="code"
    )


HUANG2016 = {
    f"huang2016/{place}/{column}": _huang(classes, survival)
    for place, classes in {
        "T1/ResNet-110 C10+": 10,
        "T1/ResNet-110 C100+": 100,
        "text/ResNet-110 C10": 10,
        "text/ResNet-110 C100": 100,
    }.items()
    for column, survival in {"constant": 1.0, "stochastic": 0.5}.items()
}

NETWORKS: dict[str, Facts] = {**HE2016A, **HE2016B, **HUANG2016}
