"""GhostNet (Han et al. 2020) and G-Ghost stages (Han et al. 2022).

The papers print accuracies; errors here are 100 % minus accuracy. One run per model.
"""

from functools import partial

from resnet_jax.papers.facts import (
    ALL_BUT_SLOPES,
    CENTRE_CROP,
    IMAGENET_DATA,
    IMAGENET_SGD,
    ORIGINAL,
    Facts,
    Quantities,
    counted,
    epochs,
    said,
    silent,
)
from resnet_jax.papers.value import Table, error

_H = "Han et al. 2020"
_CIFAR = "CIFAR-10 test, one 32x32 view"
_IMAGENET = "ImageNet val, single crop 224, shorter side 256"


# Ghost-VGG-16: kernel d of the cheap operation at s = 2, and ratio s at d = 3
T3 = {1: 93.5, 3: 93.7, 5: 93.4, 7: 93.1}
T4 = {2: 93.7, 3: 93.4, 4: 93.0, 5: 92.9}
# accuracy, and parameters in millions as printed
T5 = {
    "VGG-16": (93.6, 15.0),
    "Ghost-VGG-16": (93.7, 7.7),
    "ResNet-56": (93.0, 0.85),
    "Ghost-ResNet-56": (92.7, 0.43),
}
T6 = {
    "ResNet-50": (75.3, 92.2, 25.6),
    "Ghost-ResNet-50 s=2": (75.0, 92.3, 13.0),
    "Ghost-ResNet-50 s=4": (74.1, 91.9, 6.5),
}
T7 = {
    "GhostNet 0.5x": (66.2, 86.6, 2.6),
    "GhostNet 1.0x": (73.9, 91.4, 5.2),
    "GhostNet 1.3x": (75.7, 92.7, 7.3),
}
_README = "README of g_ghost_pytorch, released code"
G_GHOST = {"3.2GF": 77.8, "4.0GF": 78.6, "8.0GF": 79.0, "16GF": 79.9}


_cifar = partial(Table, paper="han2020", protocol=_CIFAR)
_imagenet = partial(Table, paper="han2020", protocol=_IMAGENET)
_ghost_stages = Table(
    paper="han2022", table="README", protocol=_IMAGENET, certainty="code"
)
VALUES = (
    *_cifar(table="T3").cells(*((f"d={d}", error(right)) for d, right in T3.items())),
    *_cifar(table="T4").cells(*((f"s={s}", error(right)) for s, right in T4.items())),
    *(
        _cifar(table="T5").cell(row, error(right), params_m=params)
        for row, (right, params) in T5.items()
    ),
    *(
        _imagenet(table=table).cell(row, error(top1), error(top5), params_m=params)
        for table, rows in {"T6": T6, "T7": T7}.items()
        for row, (top1, top5, params) in rows.items()
    ),
    *(
        _ghost_stages.cell(f"G-Ghost-RegNetX-{variant}", error(top1), note=_README)
        for variant, top1 in G_GHOST.items()
    ),
)

_PLAIN = {"operator": "none"}


def _ghost(ratio: int = 2, kernel: int = 3) -> Quantities:
    return {
        "operator": "ghost",
        "ratio of the ghosts": ratio,
        "kernel of the ghosts": kernel,
    }


def _resnet56(params: int, macs: int | float, slots: Quantities) -> Facts:
    values = ORIGINAL | {"form": "cifar_resnet", "depth": 56, "shortcut": "A"}
    values |= {"units a stage": (9, 9, 9), "branch": "basic", "classes": 10}
    source = f"{_H}, Table 5"
    return said(source, {**values, **slots}) | counted(source, params=params, macs=macs)


def _vgg16(table: str, params: int | None, macs: float, slots: Quantities) -> Facts:
    """VGG-16 with a hidden layer of 512; all 13 convolutions have the operator."""
    values = {"form": "vgg", "depth": 16, "weighted layers": 15, "size": "cifar"}
    values |= {"width": 1.0, "classes": 10, **slots}
    values |= {"rectifier": "relu", "BatchNorm": "yes"}
    source = f"{_H}, {table}"
    return said(source, values) | counted(source, params=params, macs=macs)


def _resnet50(macs: float, slots: Quantities) -> Facts:
    """ResNet-50; no reading of the paper gives the printed parameters."""
    values = ORIGINAL | {"form": "imagenet_resnet", "depth": 50, "shortcut": "B"}
    values |= {"units a stage": (3, 4, 6, 3), "branch": "bottleneck", "classes": 1000}
    values |= {"stride of a bottleneck": "3x3", **slots}
    return said(f"{_H}, Table 6", values) | counted(f"{_H}, Table 6", macs=macs)


def _ghostnet(width: float, params: int, macs: float) -> Facts:
    source = f"{_H}, Table 7, and ghostnet.py"
    values = {"form": "ghostnet", "width": width, "classes": 1000, "rectifier": "relu"}
    values |= {"BatchNorm": "yes", **_ghost(), "operator": "none"}
    return said(source, values) | counted(source, params=params, macs=macs)


def _g_ghost(variant: str, params: int, macs: float) -> Facts:
    values = {"form": "gghost", "variant": variant, "classes": 1000}
    values |= {"order": "original", "rectifier": "relu", "BatchNorm": "yes"}
    return said(_README, values, certainty="code") | counted(
        _README, params=params, macs=macs
    )


GHOST_VGG = _vgg16("Table 5", 7_650_474, 0.158, _ghost())
NETWORKS: dict[str, Facts] = {
    "han2020/T5/ResNet-56": _resnet56(853_018, 125_485_696, _PLAIN),
    "han2020/T5/Ghost-ResNet-56": _resnet56(438_154, 0.065, _ghost()),
    "han2020/T5/VGG-16": _vgg16("Table 5", 14_986_698, 0.313, _PLAIN),
    "han2020/T5/Ghost-VGG-16": GHOST_VGG,
    "han2020/T3/d=1": _vgg16("Table 3", None, 0.157, _ghost(2, 1)),
    "han2020/T3/d=3": GHOST_VGG,
    "han2020/T3/d=5": _vgg16("Table 3", None, 0.160, _ghost(2, 5)),
    "han2020/T3/d=7": _vgg16("Table 3", None, 0.164, _ghost(2, 7)),
    "han2020/T4/s=2": GHOST_VGG,
    "han2020/T4/s=3": _vgg16("Table 4", 5_218_476, 0.107, _ghost(3)),
    "han2020/T4/s=4": _vgg16("Table 4", 3_982_362, 0.080, _ghost(4)),
    "han2020/T4/s=5": _vgg16("Table 4", 3_269_697, 0.066, _ghost(5)),
    "han2020/T6/ResNet-50": _resnet50(4.089, _PLAIN),
    "han2020/T6/Ghost-ResNet-50 s=2": _resnet50(2.151, _ghost()),
    "han2020/T6/Ghost-ResNet-50 s=4": _resnet50(1.182, _ghost(4)),
    "han2020/T7/GhostNet 0.5x": _ghostnet(0.5, 2_587_292, 0.042),
    "han2020/T7/GhostNet 1.0x": _ghostnet(1.0, 5_182_508, 0.141),
    "han2020/T7/GhostNet 1.3x": _ghostnet(1.3, 7_358_820, 0.227),
    "han2022/README/G-Ghost-RegNetX-3.2GF": _g_ghost("3.2GF", 10_511_000, 1.802),
    "han2022/README/G-Ghost-RegNetX-4.0GF": _g_ghost("4.0GF", 15_726_268, 2.228),
    "han2022/README/G-Ghost-RegNetX-8.0GF": _g_ghost("8.0GF", 24_586_928, 4.150),
    "han2022/README/G-Ghost-RegNetX-16GF": _g_ghost("16GF", 32_381_704, 8.997),
}

_TF = "main.py of ghostnet_tensorflow, released code"
_GHOSTNET = (
    said(
        _TF,
        IMAGENET_DATA
        | CENTRE_CROP
        | {
            "batch": 1024,
            "weight decay": 4e-5,
            "label smoothing": 0.1,
            "augmentation": "random area (from 0.08; from 0.49 below width 1) and "
            "aspect, crop 224, flip, brightness, contrast, saturation",
        },
        certainty="code",
    )
    | epochs(_TF, 400, certainty="code")
    | said(f"{_H}, Sec. 4", {"learning rate": 0.4}, certainty="known")
    | silent("schedule", "momentum dialect", "BatchNorm group")
)
_EXAMPLE = "README of g_ghost_pytorch: as the ImageNet example of PyTorch"
_GGHOST = (
    said(
        _EXAMPLE,
        IMAGENET_SGD
        | CENTRE_CROP
        | {
            "batch": 256,
            "learning rate": 0.1,
            "Nesterov": "none",
            "weight decay": 1e-4,
            "decayed parameters": ALL_BUT_SLOPES,
            "momentum dialect": "torch",
            "augmentation": "random area and aspect, crop 224, flip",
            "normalisation": "channel",
        },
        certainty="known",
    )
    | epochs(_EXAMPLE, 90, (30, 60), certainty="known")
    | said("g_ghost_regnet.py", {"initialisation": "he_fan_out"}, certainty="code")
)  # fmt: skip
RECIPES: dict[str, Facts] = {
    "han2020/imagenet": _GHOSTNET,
    "han2022/imagenet": _GGHOST,
}
