"""What the papers' networks are made of: layers, slots, parameters, multiply-adds.

Keyed as the cells of their tables are (`he2016a/T6/ResNet-20`); nets without a cell have
a place instead (`he2016a/Fig6/plain-20`). Parameters and multiply-adds are exact, and
derived from the papers' tables and released code: convolutions without bias, BatchNorm
with scale and offset, the last layer with bias. A paper rounds them; its own figure is
in the source.
"""

from typing import Any

from resnet_jax.errors import ConfigError
from resnet_jax.report.paper.recipes import Facts, Sureness, said, silent
from resnet_jax.spec import did_you_mean

# A residual net in which nothing is varied.
ORIGINAL = {
    "order": "original",
    "join": "add",
    "gate": "none",
    "survival of the last unit": 1.0,
    "width": 1.0,
    "rectifier": "relu",
    "BatchNorm": "yes",
}
BOTTLENECK = {"branch": "bottleneck", "stride of a bottleneck": "1x1"}
GATED = silent("what gates see", source="not stated, nor how their weights are drawn")


def _net(
    source: str,
    values: dict[str, Any],
    *,
    params: int | None,
    macs: float | None,
    printed: str = "",
    counted: Sureness = "derived",
) -> Facts:
    """`values` as the paper states them; counts as derived, with what it prints."""
    counts: dict[str, Facts] = {}
    if params is not None:
        place = source + (f" prints {printed}" if printed else "")
        counts |= said(place, {"parameters": params}, certainty=counted)
    if macs is not None:
        unit = "" if isinstance(macs, int) else "G"
        counts |= said(
            source, {"multiply-adds": macs}, certainty=counted, unit=unit
        )
    return said(source, ORIGINAL | values) | counts


def _cifar(
    source: str,
    depth: int,
    *,
    classes: int = 10,
    branch: str = "basic",
    shortcut: str = "A",
    **more: Any,
) -> Facts:
    """A net of the CIFAR form: 6n+2, 9n+2 or 3n+2 layers in three stages."""
    layers = {"single": 1, "basic": 2, "bottleneck": 3}[branch]
    counts = {name: more.pop(name, None) for name in ("params", "macs")}
    hints = {name: more.pop(name) for name in ("printed", "counted") if name in more}
    values = {
        "form": "cifar_resnet",
        "weighted layers": depth,
        "units a stage": ((depth - 2) // (3 * layers),) * 3,
        "branch": branch,
        "shortcut": shortcut,
        "classes": classes,
    }
    if branch == "bottleneck":
        values |= BOTTLENECK
    return _net(source, values | more.pop("slots", {}), **counts, **hints)


_T6 = "He et al. 2016a, Table 6"
# depth: parameters and multiply-adds of nets with shortcuts of type A, or none; printed
PLAIN_COUNTS = {
    20: (269_722, 40_551_040, "0.27M"),
    32: (464_154, 68_862_592, "0.46M"),
    44: (658_586, 97_174_144, "0.66M"),
    56: (853_018, 125_485_696, "0.85M"),
    110: (1_727_962, 252_887_680, "1.7M"),
    1202: (19_421_274, 2_829_238_912, "19.4M"),
}


def _basic(source: str, depth: int, *, shortcut: str = "A", **more: Any) -> Facts:
    params, macs, printed = PLAIN_COUNTS[depth]
    counts = {"params": params, "macs": macs, "printed": printed} | more
    return _cifar(source, depth, shortcut=shortcut, **counts)


HE2016A_CIFAR = {
    f"he2016a/T6/ResNet-{depth}": _basic(_T6, depth) for depth in PLAIN_COUNTS
} | {
    f"he2016a/Fig6/plain-{depth}": _basic(
        "He et al. 2016a, Fig. 6", depth, shortcut="none", printed=""
    )
    for depth in (20, 32, 44, 56, 110)
}

IMAGENET_UNITS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}
CEIL = "3x3, stride 2, no padding, rounded up"
PADDED = "3x3, stride 2, padding 1"


def _imagenet(
    source: str,
    depth: int,
    *,
    shortcut: str = "B",
    pool: str = CEIL,
    slots: dict[str, Any] | None = None,
    **counts: Any,
) -> Facts:
    """A net of the ImageNet form: four stages, bottlenecks from 50 layers on."""
    values = {
        "form": "imagenet_resnet",
        "weighted layers": depth,
        "units a stage": IMAGENET_UNITS[depth],
        "branch": "basic",
        "shortcut": shortcut,
        "classes": 1000,
    }
    if depth >= 50:
        values |= BOTTLENECK
    projections: Facts = {}
    if shortcut in ("B", "C"):
        ended = "no" if (slots or {}).get("order") == "full_pre" else "yes"
        projections = said(
            "both released codes", {"norm on projections": ended}, certainty="code"
        )
    return (
        _net(source, values | (slots or {}), **counts)
        | said("the released code", {"pool of the stem": pool}, certainty="code")
        | projections
    )


_T1 = "He et al. 2016a, Table 1"
_BIAS = "25.6M; the released ResNet-50 has 64 more, a bias in conv1"
_PLAIN_18 = _imagenet(_T1, 18, shortcut="none", params=11_515_688, macs=1.795)
_PLAIN_34 = _imagenet(_T1, 34, shortcut="none", params=21_623_848, macs=3.644)
_18_A = _imagenet(_T1, 18, shortcut="A", params=11_515_688, macs=1.795)
_34_A = _imagenet(_T1, 34, shortcut="A", params=21_623_848, macs=3.644)
_34_B = _imagenet(_T1, 34, shortcut="B", params=21_797_672, macs=3.664)
_34_C = _imagenet(_T1, 34, shortcut="C", params=22_716_840, macs=3.831)
_50 = _imagenet(_T1, 50, params=25_557_032, macs=3_857_973_248)
_101 = _imagenet(_T1, 101, params=44_549_160, macs=7_570_194_432)
_152 = _imagenet(_T1, 152, params=60_192_808, macs=11_282_415_616)

_FB = "fb.resnet.torch"
_STRIDE_3X3 = {"stride of a bottleneck": "3x3"}
_PRE = _STRIDE_3X3 | {"order": "full_pre"}
HE2016A_IMAGENET = {
    "he2016a/T2/plain-18": _PLAIN_18,
    "he2016a/T2/plain-34": _PLAIN_34,
    "he2016a/T2/ResNet-18 A": _18_A,
    "he2016a/T2/ResNet-34 A": _34_A,
    "he2016a/T3/plain-34": _PLAIN_34,
    "he2016a/T3/ResNet-34 A": _34_A,
    **{
        f"he2016a/{table}/{name}": net
        for table in ("T3", "T4")
        for name, net in {
            "ResNet-34 B": _34_B,
            "ResNet-34 C": _34_C,
            "ResNet-50": _50,
            "ResNet-101": _101,
            "ResNet-152": _152,
        }.items()
    },
    # Not in Table 3: type B at 18 layers is what libraries call ResNet-18.
    "fb.resnet.torch/ResNet-18": _imagenet(
        _FB, 18, pool=PADDED, params=11_689_512, macs=1.814
    ),
    "fb.resnet.torch/ResNet-50": _imagenet(
        _FB, 50, slots=_STRIDE_3X3, pool=PADDED,
        params=25_557_032, macs=4_089_184_256,
    ),
}  # fmt: skip


def _wide(source: str, depth: int, **more: Any) -> Facts:
    """A bottleneck net on CIFAR with projections where resized (type B)."""
    original = more.get("slots", {}).get("order", "original") == "original"
    ended = "yes" if original else "no"
    return _cifar(source, depth, branch="bottleneck", shortcut="B", **more) | said(
        "the released code", {"norm on projections": ended}, certainty="code"
    )


def _preact(source: str, depth: int, *, classes: int = 10, **more: Any) -> Facts:
    slots = {"order": "full_pre"} | more.pop("slots", {})
    return _wide(source, depth, classes=classes, slots=slots, **more)


_B3 = "He et al. 2016b, Table 3"
_UNSURE_PAD = said(
    "type A assumed; not stated whether it takes the pre-activation where resized",
    {"shortcut": "A"},
    certainty="unsure",
)
_1M7 = {"printed": "1.7M"}
_10M2 = {"printed": "10.2M, without BatchNorm"}
_PRE_164 = _preact(_B3, 164, params=1_703_258, macs=244_500_992, **_1M7)
_PRE_1001 = _preact(_B3, 1001, params=10_327_706, macs=1_487_849_984, **_10M2)
_PRE_110 = _basic(_B3, 110, slots={"order": "full_pre"}, counted="unsure") | _UNSURE_PAD
_POST_164 = _wide(_B3, 164, params=1_704_154, macs=244_500_992, **_1M7)
_PRE_164_C100 = _preact(
    _B3, 164, classes=100, params=1_726_388, macs=244_524_032, **_1M7
)
_PRE_1001_C100 = _preact(
    _B3, 1001, classes=100, params=10_350_836, macs=1_487_873_024, **_10M2
)


def _shortcut(slots: dict[str, Any]) -> Facts:
    """ResNet-110 with something on the shortcut of each of its 54 units."""
    return _basic("He et al. 2016b, Table 1", 110, slots=slots, printed="")


def _gated(gates: str, bias: float) -> Facts:
    """+98,784 parameters, if gates see the resized shortcut."""
    slots = {"join": f"{gates}_gating", "gate bias": bias}
    counts = {"params": 1_826_746, "macs": 267_043_456, "counted": "unsure"}
    source = "He et al. 2016b, Table 1"
    return _basic(source, 110, slots=slots, printed="", **counts) | GATED


HE2016B_T1 = {
    "original": _shortcut({}),
    "constant scaling 0, 1": _shortcut({"join": "scaled", "scales": (0.0, 1.0)}),
    "constant scaling 0.5, 1": _shortcut({"join": "scaled", "scales": (0.5, 1.0)}),
    "constant scaling 0.5, 0.5": _shortcut({"join": "scaled", "scales": (0.5, 0.5)}),
    "exclusive gating/bias 0 to -5": _gated("exclusive", 0.0),
    "exclusive gating/bias -6": _gated("exclusive", -6.0),
    "exclusive gating/bias -7": _gated("exclusive", -7.0),
    "shortcut-only gating/bias 0": _gated("shortcut_only", 0.0),
    "shortcut-only gating/bias -6": _gated("shortcut_only", -6.0),
    "1x1 conv shortcut": _cifar(
        "He et al. 2016b, Table 1", 110, shortcut="C",
        params=1_826_202, macs=266_781_312, counted="unsure",
    )
    | silent("norm on projections"),
    "dropout shortcut": _shortcut({"join": "dropout", "dropout of the shortcut": 0.5}),
}  # fmt: skip

ORDERS = {
    "original": "original",
    "BN after addition": "norm_after_addition",
    "ReLU before addition": "relu_before_addition",
    "ReLU-only pre-activation": "relu_only_pre",
    "full pre-activation": "full_pre",
}
_B2 = "He et al. 2016b, Table 2"
# Of the orders between the original and the last, the shortcut's details are not stated.
_BETWEEN = silent("norm on projections")
HE2016B_T2 = {
    f"{name}/ResNet-110": _basic(_B2, 110, slots={"order": order})
    for name, order in ORDERS.items()
} | {
    f"{name}/ResNet-164": _wide(_B2, 164, slots={"order": order}, macs=244_500_992)
    | _BETWEEN
    for name, order in ORDERS.items()
}
HE2016B_T2 |= {
    "ReLU-only pre-activation/ResNet-110": HE2016B_T2[
        "ReLU-only pre-activation/ResNet-110"
    ]
    | _UNSURE_PAD,
    "full pre-activation/ResNet-110": _PRE_110,
    "original/ResNet-164": _POST_164,
    "full pre-activation/ResNet-164": _PRE_164,
}

_SKIP = {"branch": "single", **_1M7, "params": 1_727_962, "macs": 252_887_680}
HE2016B_T3 = {
    "ResNet-110 1-layer skip/baseline": _cifar(_B3, 110, **_SKIP),
    "ResNet-110 1-layer skip/pre-activation": _cifar(
        _B3, 110, slots={"order": "full_pre"}, **_SKIP
    )
    | _UNSURE_PAD,
    "ResNet-110/baseline": _basic(_B3, 110),
    "ResNet-110/pre-activation": _PRE_110,
    "ResNet-164/baseline": _POST_164,
    "ResNet-164/pre-activation": _PRE_164,
    "ResNet-1001/baseline": _wide(
        _B3, 1001, params=10_328_602, macs=1_487_849_984, printed="10.2M"
    ),
    "ResNet-1001/pre-activation": _PRE_1001,
    "ResNet-164 C100/baseline": _wide(_B3, 164, classes=100, macs=244_524_032),
    "ResNet-164 C100/pre-activation": _PRE_164_C100,
    "ResNet-1001 C100/baseline": _wide(_B3, 1001, classes=100, macs=1_487_873_024),
    "ResNet-1001 C100/pre-activation": _PRE_1001_C100,
}
HE2016B_T4 = {
    "ResNet-164/CIFAR-10": _PRE_164,
    "ResNet-1001/CIFAR-10": _PRE_1001,
    "ResNet-1001 batch 64/CIFAR-10": _PRE_1001,
    "ResNet-164/CIFAR-100": _PRE_164_C100,
    "ResNet-1001/CIFAR-100": _PRE_1001_C100,
}
_B5 = "He et al. 2016b, Table 5; stride and pool as in fb.resnet.torch"
HE2016B_T5 = {
    "ResNet-152/crop 224": _152,
    "ResNet-152/crop 320": _152,
    "ResNet-200/crop 320": _imagenet(
        _B5, 200, slots=_STRIDE_3X3, pool=PADDED, params=64_673_832, macs=15.007
    ),
    "ResNet-152 pre-act/crop 320": _imagenet(
        _B5, 152, slots=_PRE, pool=PADDED, params=60_185_128, macs=11.514
    ),
    "ResNet-200 pre-act/crop 320": _imagenet(
        _B5, 200, slots=_PRE, pool=PADDED, params=64_666_152, macs=15.007
    ),
}

# Convolutions there have biases: 4,048 more parameters than elsewhere.
_DEPTH = "Huang et al. 2016; released code"
_HUANG = {"shortcut": "avgpool-A", "params": 1_732_010, "counted": "code", "printed": ""}
HUANG2016 = {
    f"huang2016/{table}/ResNet-110 {data}/{column}": _cifar(
        _DEPTH, 110, classes=classes, macs=252_887_680 + 64 * (classes - 10),
        slots={"survival of the last unit": survival},
        **_HUANG | {"params": 1_732_010 + 65 * (classes - 10)},
    )
    for table, data, classes in (
        ("T1", "C10+", 10),
        ("T1", "C100+", 100),
        ("text", "C10", 10),
        ("text", "C100", 100),
    )
    for column, survival in (("constant", 1.0), ("stochastic", 0.5))
}  # fmt: skip

# The released Caffe nets: biases in the gates, strides in the first 1x1.
_SE = {"gate": "se", "reduction of the gate": 16}
HU2018 = {
    f"hu2018/T2/ResNet-{depth}/SE": _imagenet(
        "Hu et al. 2018, Table 2", depth, slots=_SE, params=params, macs=macs
    )
    for depth, params, macs in (
        (50, 28_088_024, 3.860),
        (101, 49_326_872, 7.575),
        (152, 66_821_848, 11.289),
    )
}

NETWORKS: dict[str, Facts] = {
    **HE2016A_CIFAR,
    **HE2016A_IMAGENET,
    **{f"he2016b/T1/{row}": net for row, net in HE2016B_T1.items()},
    **{f"he2016b/T2/{row}": net for row, net in HE2016B_T2.items()},
    **{f"he2016b/T3/{row}": net for row, net in HE2016B_T3.items()},
    **{f"he2016b/T4/{row}": net for row, net in HE2016B_T4.items()},
    **{f"he2016b/T5/{row}": net for row, net in HE2016B_T5.items()},
    **HUANG2016,
    **HU2018,
}

# Rectifiers, whatever the net: the slope of the negative part, at first.
_PRELU = said("He et al. 2015, Sec. 2.1", {"slope": 0.25})
RECTIFIERS: dict[str, Facts] = {
    "prelu": _PRELU,
    "prelu_shared": _PRELU,
    "leaky_relu": said("Maas et al. 2013", {"slope": 0.01}, certainty="known"),
}


def network(key: str) -> Facts | None:
    """The net behind a published value, or None where nothing of it is published."""
    return NETWORKS.get(key)


def named(key: str) -> Facts:
    """The net that an experiment file names; ConfigError where there is none."""
    if key in NETWORKS:
        return NETWORKS[key]
    near = did_you_mean(str(key), list(NETWORKS))
    raise ConfigError(f"NETWORK={key!r}: no such published net{near}")
