"""Plain nets and their errors: NIN, SPP-net's ZF-5, All-CNN, PReLU-nets, VGG.

Lin et al. 2014, He et al. 2014, Springenberg et al. 2015 (errors as reproductions quote
them), He et al. 2015, Liu et al. 2017.
"""

from functools import partial
from typing import Any

from resnet_jax.papers.facts import Facts, Sureness, counted, said
from resnet_jax.papers.value import Value

# ---------------------------------------------------------------- errors

# Springenberg et al. 2015, Table 3: model, its Strided, ConvPool and All-CNN forms.
FORMS = ("", "Strided", "ConvPool", "All-CNN")
_T3 = {
    "A": (12.47, 13.46, 10.21, 10.30),
    "B": (10.20, 10.98, 9.33, 9.10),
    "C": (9.74, 10.19, 9.31, 9.08),
}
_cifar = partial(Value, protocol="CIFAR-10 test, no augmentation, one view")
_augmented = partial(Value, protocol="CIFAR-10 test, one view")

ALL_CNN = (
    *(
        _cifar(
            paper="springenberg2015",
            table="T3",
            row=f"{form}-{letter}".strip("-"),
            top1_err=error,
            certainty="known",
        )
        for letter, errors in _T3.items()
        for form, error in zip(FORMS, errors, strict=True)
    ),
    _augmented(
        paper="springenberg2015", table="text", row="All-CNN-C with augmentation",
        top1_err=7.25, certainty="known",
    ),
    Value(
        paper="springenberg2015", table="text", row="All-CNN-C", column="CIFAR-100",
        top1_err=33.71, certainty="known", protocol="CIFAR-100 test, one view",
    ),
    Value(
        paper="springenberg2015", table="text", row="All-CNN-B", column="ImageNet",
        top1_err=41.2, certainty="known", protocol="ImageNet val, centre crop",
    ),
)  # fmt: skip

NIN = (
    _cifar(paper="lin2014", table="T1", row="NIN", top1_err=10.41),
    _augmented(paper="lin2014", table="T1", row="NIN with augmentation", top1_err=8.81),
    Value(
        paper="lin2014", table="T2", row="NIN", top1_err=35.68,
        protocol="CIFAR-100 test, no augmentation, one view",
    ),
)  # fmt: skip

# He et al. 2014, Table 2: no pyramid, trained at one size, at two; [known] but where
# a transcription of the paper was read.
SIZES = ("no SPP", "single-size", "multi-size")
_T2 = {
    "ZF-5": ((35.99, 14.76), (34.98, 14.14), (34.60, 13.64)),
    "Convnet*-5": ((34.93, 13.92), (34.38, 13.54), (33.94, 13.33)),
    "Overfeat-5": ((34.13, 13.52), (32.87, 12.80), (32.26, 12.33)),
    "Overfeat-7": ((32.01, 11.97), (30.36, 11.12), (29.68, 10.95)),
}
_READ = {("ZF-5", "no SPP"), ("ZF-5", "single-size"), ("Overfeat-7", "multi-size")}
_TEN_VIEW = "ImageNet val, 10-view, shorter side 256, 224 crops"
SPP_NET = (
    *(
        Value(
            paper="he2014", table="T2", row=row, column=column, top1_err=top1,
            top5_err=top5, protocol=_TEN_VIEW,
            certainty="text" if (row, column) in _READ else "known",
        )
        for row, cells in _T2.items()
        for column, (top1, top5) in zip(SIZES, cells, strict=True)
    ),
    Value(
        paper="he2014", table="text", row="ZF-5", column="30 bins", top1_err=35.06,
        top5_err=14.04, protocol=_TEN_VIEW,
    ),
)  # fmt: skip

VGG = tuple(
    Value(
        paper="liu2017", table="T1", row="VGG-19", column=data, top1_err=error,
        protocol=f"{data} test, one view",
    )
    for data, error in (("CIFAR-10", 6.34), ("CIFAR-100", 26.74))
)  # fmt: skip

VALUES = (*ALL_CNN, *NIN, *SPP_NET, *VGG)

# ---------------------------------------------------------------- nets


def _net(
    source: str,
    form: str,
    layers: int,
    counts: Any = (),
    certainty: Sureness = "text",
    **values: Any,
) -> Facts:
    """A net without norms, unless said otherwise; `counts` are parameters, MACs."""
    known = {"form": form, "weighted layers": layers, "classes": 10, "width": 1.0}
    known |= {"rectifier": "relu", "BatchNorm": "no"} | values
    params, macs = (*counts, None, None)[:2]
    net = said(source, known, certainty=certainty)
    return net | counted(source, params=params, macs=macs)


_PLAIN = {"A": 839_242, "B": 885_610, "C": 954_730}
_LONGER = {"A": 1_254_250, "B": 1_300_618, "C": 1_369_738}  # by two convolutions
_DEPTH = {"A": 5, "B": 7, "C": 7}
_S = "Springenberg et al. 2015, Tables 1 and 2, as reproductions have them"
_L = "Lin et al. 2014, mavenlin/cuda-convnet"

NETWORKS: dict[str, Facts] = {
    f"springenberg2015/T3/{cell.row}": _net(
        _S,
        "all_cnn",
        _DEPTH[cell.row[-1]] + 2 * (table is _LONGER),
        [table[cell.row[-1]]],
        certainty="known",
        variant=cell.row,
    )
    for cell in ALL_CNN
    if cell.table == "T3"
    for table in [_LONGER if cell.row.startswith(FORMS[2:]) else _PLAIN]
}
NETWORKS |= {
    "springenberg2015/text/All-CNN-C with augmentation": NETWORKS[
        "springenberg2015/T3/All-CNN-C"
    ],
    "lin2014/T1/NIN": _net(_L, "nin", 9, [966_986]),
    "lin2014/T1/NIN with augmentation": _net(_L, "nin", 9, [966_986]),
    "lin2014/T2/NIN": _net(_L, "nin", 9, [984_356], classes=100),
}

_norms = {"BatchNorm": "yes", "size": "cifar"}
_V19 = partial(_net, "Liu et al. 2017, released code", "vgg", 17, depth=19, **_norms)
_VGG = partial(_net, "Simonyan & Zisserman 2015", "vgg", classes=1000, size="imagenet")
NETWORKS |= {
    "liu2017/T1/VGG-19/CIFAR-10": _V19([20_035_018, 398_136_320], variant="mean"),
    "liu2017/T1/VGG-19/CIFAR-100": _V19([20_081_188], variant="mean", classes=100),
    "simonyan2015/VGG-16": _VGG(16, [None, 15.470], depth=16, variant="fc"),
    "simonyan2015/VGG-19": _VGG(19, [143_667_240, 19.632], depth=19, variant="fc"),
}

_E = "He et al. 2015, Table 1"
_SMALL = partial(_net, _E, "prelu_small", 14, depth=14, classes=1000)
NETWORKS |= {
    "he2015/T2/ReLU": _SMALL([74_993_896]),
    "he2015/T2/PReLU channel-shared": _SMALL([74_993_909], rectifier="prelu_shared"),
    "he2015/T2/PReLU channel-wise": _SMALL([75_004_200], rectifier="prelu"),
    "he2015/text/14 layers/He": _SMALL([74_993_896]),
    "he2015/text/14 layers/Xavier": _SMALL([74_993_896]),
    "he2015/text/30 layers/He": _net(
        _E, "prelu_small", 30, [79_192_296], depth=30, classes=1000
    ),
}
# Table 3: layers, parameters with ReLU, channel-wise slopes
_LARGE = {
    "A": (19, 178_017_384, 14_688),
    "B": (22, 183_327_080, 15_968),
    "C": (22, 330_603_368, 20_576),
}
NETWORKS |= {
    f"he2015/{table}/{model} {act}": _net(
        "He et al. 2015, Table 3",
        "prelu_large",
        _LARGE[model][0],
        [_LARGE[model][1] + (_LARGE[model][2] if act == "PReLU" else 0)],
        variant=model,
        classes=1000,
        rectifier=act.lower(),
    )
    for table in ("T5", "T6")
    for model, act in (("A", "ReLU"), ("A", "PReLU"), ("B", "PReLU"), ("C", "PReLU"))
}


def _zf(params: int, *levels: int, sizes: tuple[int, ...] = (224,)) -> Facts:
    values = {"levels of the pyramid": levels, "training sizes": sizes}
    prototxt = "He et al. 2014, released prototxt"
    return _net(prototxt, "spp_net", 8, [params], classes=1000, **values)


NETWORKS |= {
    "he2014/T2/ZF-5/no SPP": _zf(62_357_608),
    "he2014/T2/ZF-5/single-size": _zf(77_037_672, 1, 2, 3, 6),
    "he2014/T2/ZF-5/multi-size": _zf(77_037_672, 1, 2, 3, 6, sizes=(224, 180)),
    "he2014/text/ZF-5/30 bins": _zf(56_066_152, 1, 2, 3, 4),
}
