"""Huang et al. 2017, "Densely Connected Convolutional Networks": tables, nets, recipes.

One run per cell: the error at the end of training, on SVHN at the lowest validation
error. Wide nets are from the README of the released code, two nets from the README of
the memory report (Pleiss et al. 2017).
"""

from functools import partial

from resnet_jax.papers.facts import (
    CENTRE_CROP,
    CIFAR100,
    CIFAR_DATA,
    IMAGENET_DATA,
    PAD_FLIP_CHANNEL,
    PLAIN_SGD,
    TORCH,
    Facts,
    counted,
    epochs,
    said,
    silent,
)
from resnet_jax.papers.value import Certainty, Origin, Table, Value

_CIFAR = "CIFAR-{} test, one 32x32 view, at the end of training{}"
PROTOCOLS = {  # of the columns; "+": with augmentation
    "C10": _CIFAR.format(10, ", no augmentation"),
    "C10+": _CIFAR.format(10, ""),
    "C100": _CIFAR.format(100, ", no augmentation"),
    "C100+": _CIFAR.format(100, ""),
    "SVHN": "SVHN test, tested at the lowest validation error (6,000 images held out)",
}
ONE_CROP = "ImageNet val, single crop 224, shorter side 256"
TEN_CROP = "ImageNet val, 10-crop, shorter side 256"


def _row(
    row: str,
    *errors: float | None,
    params_m: float | None = None,
    table: str = "T2",
    certainty: Certainty = "text",
    origin: Origin = "own",
) -> tuple[Value, ...]:
    """A row of Table 2; None where the paper has no number."""
    return tuple(
        Table(
            paper="huang2017", table=table, column=column, protocol=protocol,
            selection="best_val" if column == "SVHN" else "last",
            views="other" if column == "SVHN" else "1crop",
            certainty=certainty, origin=origin,
        ).cell(row, error, params_m=params_m)
        for (column, protocol), error in zip(PROTOCOLS.items(), errors, strict=True)
        if error is not None
    )  # fmt: skip


_quoted = partial(_row, origin="quoted")
T2 = (
    *_quoted("FractalNet", 10.18, 5.22, 35.34, 23.30, 2.01),
    *_quoted("FractalNet, dropout and drop-path", 7.33, 4.60, 28.20, 23.73, 1.87),
    *_quoted("ResNet-110", 13.63, 6.41, 44.74, 27.22, 2.01),
    *_quoted("ResNet-110, stochastic depth", 11.66, 5.23, 37.80, 24.58, 1.75),
    *_row("PreAct-164", 11.26, None, 35.58, None, None),
    *_row("PreAct-1001", 10.56, None, 33.47, None, None),
    *_row("40 k=12", 7.00, 5.24, 27.55, 24.42, 1.79, params_m=1.0),
    *_row("100 k=12", 5.77, 4.10, 23.79, 20.20, 1.67, params_m=7.0),
    *_row("100 k=24", 5.83, 3.74, 23.42, 19.25, 1.59, params_m=27.2),
    *_row("BC 100 k=12", 5.92, 4.51, 24.15, 22.27, 1.76, params_m=0.8),
    *_row("BC 250 k=24", 5.19, 3.62, 19.64, 17.60, 1.74, params_m=15.3),
    *_row("BC 190 k=40", None, 3.46, None, 17.18, None, params_m=25.6),
)
_wide = partial(_row, table="README", certainty="code")
WIDE = (
    *_wide("BC 40 k=36", None, 4.58, None, 22.30, None, params_m=1.5),
    *_wide("BC 40 k=48", None, 3.99, None, 20.29, None, params_m=2.7),
    *_wide("BC 40 k=60", None, 4.01, None, 19.99, None, params_m=4.3),
)


def _imagenet(
    depth: int,
    one_crop: tuple[float, float],
    ten_crop: tuple[float, float],
    *,
    certainty: Certainty = "text",
) -> tuple[Value, ...]:
    """A row of Table 3: top-1 and top-5 error by one crop, and by ten."""
    table = partial(Table, paper="huang2017", table="T3", certainty=certainty)
    row = f"DenseNet-{depth}"
    return (
        table(column="1-crop", protocol=ONE_CROP).cell(row, *one_crop),
        table(column="10-crop", protocol=TEN_CROP, views="10crop").cell(row, *ten_crop),
    )


T3 = (
    *_imagenet(121, (25.02, 7.71), (23.61, 6.66)),
    *_imagenet(169, (23.80, 6.85), (22.08, 5.92)),
    *_imagenet(201, (22.58, 6.34), (21.46, 5.54)),
    *_imagenet(264, (22.15, 6.12), (20.80, 5.29)),
    *_imagenet(161, (22.33, 6.15), (20.85, 5.30), certainty="known"),
)
MEMORY = Table(
    paper="pleiss2017", table="README", protocol=ONE_CROP, certainty="code"
).cells(
    ("DenseNet-264", 22.1),
    ("DenseNet-264 cosine", 21.6),
    ("DenseNet-264 k=48 cosine", 20.4),
)
VALUES = (*T2, *WIDE, *T3, *MEMORY)

# ---------------------------------------------------------------- nets

_T = "Huang et al. 2017, Table {}"
_DENSE = {"connectivity": "dense", "order": "full_pre", "shortcut": "none"}
_DENSE |= {"rectifier": "relu", "BatchNorm": "yes"}


def _cifar(
    row: str, column: str, growth: int, params: tuple[int, int], macs: int | float
) -> Facts:
    """Net of three equal blocks, with dropout if images are not augmented."""
    *kind, label, _ = row.split()
    depth, hundred = int(label), column.startswith("C100")
    values = _DENSE | {"form": "densenet", "depth": depth, "weighted layers": depth}
    values |= {"classes": 100 if hundred else 10, "growth rate": growth}
    values |= {"compression": 0.5 if kind else 1.0, "noise": "none"}
    if not column.endswith("+"):
        values |= {"noise": "dropout", "dropout": 0.2}
    return said(_T.format(2), values) | counted(
        _T.format(2), params=params[hundred], macs=None if hundred else macs
    )


# growth rate, parameters with 10 and with 100 classes, multiply-adds with 10
NETS = {
    "40 k=12": (12, (1_019_722, 1_060_132), 264_812_928),
    "100 k=12": (12, (6_979_642, 7_084_852), 1.770),
    "100 k=24": (24, (27_249_082, 27_457_972), 6.889),
    "BC 100 k=12": (12, (769_162, 800_032), 0.288),
    "BC 250 k=24": (24, (15_324_406, 15_480_556), 5.419),
    "BC 190 k=40": (40, (25_624_430, 25_821_620), 9.302),
}


def _deep(depth: int, growth: int, params: int, macs: float) -> Facts:
    values = _DENSE | {"form": "densenet_imagenet", "depth": depth}
    values |= {"weighted layers": 265 if depth == 264 else depth, "classes": 1000}
    values |= {"growth rate": growth, "compression": 0.5, "noise": "none"}
    return said(_T.format(1), values) | counted(_T.format(1), params=params, macs=macs)


DEEP = (  # "264" has 265 layers
    _deep(121, 32, 7_978_856, 2.834),
    _deep(169, 32, 14_149_480, 3.360),
    _deep(201, 32, 20_013_928, 4.291),
    _deep(264, 32, 33_337_704, 5.752),
    _deep(161, 48, 28_681_000, 7.728),
)
NETWORKS: dict[str, Facts] = {
    cell.key: _cifar(cell.row, cell.column, *NETS[cell.row])
    for cell in T2
    if cell.row in NETS and cell.column != "SVHN"
} | {
    f"huang2017/T3/DenseNet-{net['depth'].value}/{column}": net
    for net in DEEP
    for column in ("1-crop", "10-crop")
}

# ---------------------------------------------------------------- recipes

_S = "Huang et al. 2017, Sec. 4"
_CODE = "liuzhuang13/DenseNet, with fb.resnet.torch"
_TRAINING = (
    said(_CODE, TORCH | {"initialisation": "he_fan_out"}, certainty="code")
    | said(
        _S,
        PLAIN_SGD
        | {
            "learning rate": 0.1,
            "weight decay": 1e-4,
            "Nesterov": "nesterov",
            "dampening": 0.0,
        },
    )
    | said("Torch's default", {"arithmetic": "float32"}, certainty="known")
)
CIFAR = (
    _TRAINING
    | said(_S, CIFAR_DATA | PAD_FLIP_CHANNEL | {"batch": 64})
    | epochs(_S, 300, (150, 225))
    | said(_S + ", one GPU", {"BatchNorm group": 64}, certainty="derived")
)
IMAGENET = (
    _TRAINING
    | said(_S, IMAGENET_DATA | CENTRE_CROP | {"batch": 256})
    | epochs(_S, 90, (30, 60))
    | said(
        _CODE,
        {
            "augmentation": "random area and aspect, crop 224, flip, "
            "colour jitter 0.4, AlexNet colours",
            "normalisation": "channel",
        },
        certainty="code",
    )
    | silent("BatchNorm group")
)
_PLAIN = said(_S, {"augmentation": "none"})
_HUNDRED = said(_S, CIFAR100)
RECIPES: dict[str, Facts] = {
    "huang2017/C10": CIFAR | _PLAIN,
    "huang2017/C10+": CIFAR,
    "huang2017/C100": CIFAR | _HUNDRED | _PLAIN,
    "huang2017/C100+": CIFAR | _HUNDRED,
    "huang2017/imagenet": IMAGENET,
}
