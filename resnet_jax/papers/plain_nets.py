"""Plain nets and their errors: NIN, SPP-net's ZF-5, All-CNN, PReLU-nets, VGG.

Lin et al. 2014, He et al. 2014, Springenberg et al. 2015 (errors as reproductions quote
them), He et al. 2015, Liu et al. 2017.
"""

from functools import partial

from resnet_jax.papers.facts import (
    NO_SLOTS,
    FactCertainty,
    Facts,
    Quantities,
    counted,
    said,
)
from resnet_jax.papers.value import Table

# ---------------------------------------------------------------- errors

# Springenberg et al. 2015, Table 3: model, its Strided, ConvPool and All-CNN forms.
FORMS = ("", "Strided", "ConvPool", "All-CNN")
_T3 = {
    "A": (12.47, 13.46, 10.21, 10.30),
    "B": (10.20, 10.98, 9.33, 9.10),
    "C": (9.74, 10.19, 9.31, 9.08),
}
_ONE_VIEW = "CIFAR-10 test, one view"
_PLAIN_VIEW = "CIFAR-10 test, no augmentation, one view"
_known = partial(Table, paper="springenberg2015", certainty="known")
ALL_CNN = (
    *(
        _known(table="T3", protocol=_PLAIN_VIEW).cell(f"{form}-{letter}".strip("-"), e)
        for letter, errors in _T3.items()
        for form, e in zip(FORMS, errors, strict=True)
    ),
    _known(table="text", protocol=_ONE_VIEW).cell("All-CNN-C with augmentation", 7.25),
    _known(
        table="text", column="CIFAR-100", protocol="CIFAR-100 test, one view"
    ).cell("All-CNN-C", 33.71),
    _known(
        table="text", column="ImageNet", protocol="ImageNet val, centre crop"
    ).cell("All-CNN-B", 41.2),
)  # fmt: skip

_nin = partial(Table, paper="lin2014")
NIN = (
    _nin(table="T1", protocol=_PLAIN_VIEW).cell("NIN", 10.41),
    _nin(table="T1", protocol=_ONE_VIEW).cell("NIN with augmentation", 8.81),
    _nin(
        table="T2", protocol="CIFAR-100 test, no augmentation, one view"
    ).cell("NIN", 35.68),
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
_spp_net = partial(
    Table,
    paper="he2014",
    protocol="ImageNet val, 10-view, shorter side 256, 224 crops",
    views="10crop",
)
SPP_NET = (
    *(
        _spp_net(
            table="T2", certainty="text" if (row, column) in _READ else "known"
        ).cell(row, *errors, column=column)
        for row, cells in _T2.items()
        for column, errors in zip(SIZES, cells, strict=True)
    ),
    _spp_net(table="text").cell("ZF-5", 35.06, 14.04, column="30 bins"),
)

VGG = Table(paper="liu2017", table="T1", protocol="{column} test, one view").grid(
    ("CIFAR-10", "CIFAR-100"), {"VGG-19": (6.34, 26.74)}
)

VALUES = (*ALL_CNN, *NIN, *SPP_NET, *VGG)

# ---------------------------------------------------------------- nets


def _net(
    source: str,
    form: str,
    layers: int,
    slots: Quantities = NO_SLOTS,
    *,
    params: int | None = None,
    macs: int | float | None = None,
    certainty: FactCertainty = "text",
) -> Facts:
    """Net without norms, unless `slots` has them."""
    values = {"form": form, "weighted layers": layers, "classes": 10, "width": 1.0}
    values |= {"rectifier": "relu", "BatchNorm": "no", **slots}
    net = said(source, values, certainty=certainty)
    return net | counted(source, params=params, macs=macs)


# Layers and parameters; ConvPool and All-CNN forms have two more convolutions.
_SHORT = {"A": (5, 839_242), "B": (7, 885_610), "C": (7, 954_730)}
_LONG = {"A": (7, 1_254_250), "B": (9, 1_300_618), "C": (9, 1_369_738)}
_S = "Springenberg et al. 2015, Tables 1 and 2, as reproductions have them"
_L = "Lin et al. 2014, mavenlin/cuda-convnet"


def _all_cnn(model: str) -> Facts:
    layers, params = (_LONG if model.startswith(FORMS[2:]) else _SHORT)[model[-1]]
    slots = {"variant": model}
    return _net(_S, "all_cnn", layers, slots, params=params, certainty="known")


NETWORKS: dict[str, Facts] = {
    f"springenberg2015/T3/{cell.row}": _all_cnn(cell.row)
    for cell in ALL_CNN
    if cell.table == "T3"
}
NETWORKS |= {
    "springenberg2015/text/All-CNN-C with augmentation": _all_cnn("All-CNN-C"),
    "lin2014/T1/NIN": _net(_L, "nin", 9, params=966_986),
    "lin2014/T1/NIN with augmentation": _net(_L, "nin", 9, params=966_986),
    "lin2014/T2/NIN": _net(_L, "nin", 9, {"classes": 100}, params=984_356),
}

_U = "Liu et al. 2017, released code"
_V19 = {"depth": 19, "BatchNorm": "yes", "size": "cifar", "variant": "mean"}


def _vgg(depth: int, *, macs: float, params: int | None = None) -> Facts:
    slots = {"classes": 1000, "size": "imagenet", "depth": depth, "variant": "fc"}
    source = "Simonyan & Zisserman 2015"
    return _net(source, "vgg", depth, slots, params=params, macs=macs)


NETWORKS |= {
    "liu2017/T1/VGG-19/CIFAR-10": _net(
        _U, "vgg", 17, _V19, params=20_035_018, macs=398_136_320
    ),
    "liu2017/T1/VGG-19/CIFAR-100": _net(
        _U, "vgg", 17, {**_V19, "classes": 100}, params=20_081_188
    ),
    "simonyan2015/VGG-16": _vgg(16, macs=15.470),
    "simonyan2015/VGG-19": _vgg(19, macs=19.632, params=143_667_240),
}


def _small(params: int, rectifier: str = "relu", depth: int = 14) -> Facts:
    values = {"depth": depth, "classes": 1000, "rectifier": rectifier}
    source = "He et al. 2015, Table 1"
    return _net(source, "prelu_small", depth, values, params=params)


NETWORKS |= {
    "he2015/T2/ReLU": _small(74_993_896),
    "he2015/T2/PReLU channel-shared": _small(74_993_909, "prelu_shared"),
    "he2015/T2/PReLU channel-wise": _small(75_004_200, "prelu"),
    "he2015/text/14 layers/He": _small(74_993_896),
    "he2015/text/14 layers/Xavier": _small(74_993_896),
    "he2015/text/30 layers/He": _small(79_192_296, depth=30),
}
NETWORKS |= {
    f"he2015/{table}/{model} {act}": _net(
        "He et al. 2015, Table 3",
        "prelu_large",
        layers,
        {"variant": model, "classes": 1000, "rectifier": act.lower()},
        params=params,
    )
    for table in ("T5", "T6")
    for model, act, layers, params in (
        ("A", "ReLU", 19, 178_017_384),
        ("A", "PReLU", 19, 178_017_384 + 14_688),  # one slope per channel
        ("B", "PReLU", 22, 183_327_080 + 15_968),
        ("C", "PReLU", 22, 330_603_368 + 20_576),
    )
}


def _zf(params: int, *levels: int, sizes: tuple[int, ...] = (224,)) -> Facts:
    slots = {"levels of the pyramid": levels, "training sizes": sizes}
    prototxt = "He et al. 2014, released prototxt"
    return _net(prototxt, "spp_net", 8, {"classes": 1000, **slots}, params=params)


NETWORKS |= {
    "he2014/T2/ZF-5/no SPP": _zf(62_357_608),
    "he2014/T2/ZF-5/single-size": _zf(77_037_672, 1, 2, 3, 6),
    "he2014/T2/ZF-5/multi-size": _zf(77_037_672, 1, 2, 3, 6, sizes=(224, 180)),
    "he2014/text/ZF-5/30 bins": _zf(56_066_152, 1, 2, 3, 4),
}
