"""RKCNN (Zhu et al. 2022) and MGIC (Eliasof et al. 2023): nets and released recipes.

No error of either is certain enough to be compared with.
"""

from resnet_jax.papers.facts import (
    CIFAR100,
    CIFAR_SGD,
    PAD_FLIP_CHANNEL,
    TORCH,
    Facts,
    counted,
    epochs,
    said,
)

_Z = "ZhuMai/RKCNN, released code"
_E = "BGUCompSci/MultigridInChannelsCNNs, released code"


def _rkcnn(variant: str, depth: int, params: int, macs: float, classes: int) -> Facts:
    values = {"form": "rkcnn", "variant": variant, "depth": depth, "width": 1.0}
    values |= {"classes": classes, "rectifier": "relu", "BatchNorm": "yes"}
    net = said(_Z, values, certainty="code")
    return net | counted(_Z, params=params, macs=macs)


def _mgic(params: int, macs: float) -> Facts:
    values = {"form": "mgic_net", "depth": 34, "units a stage": (3, 4, 6, 3)}
    values |= {"width": 1.0, "classes": 10, "order": "original", "rectifier": "relu"}
    values |= {"BatchNorm": "yes"}
    return said(_E, values, certainty="code") | counted(_E, params=params, macs=macs)


NETWORKS: dict[str, Facts] = {
    "zhu2022/RKCNN-E-5_5_5": _rkcnn("E", 32, 1_192_810, 0.527, 10),
    "zhu2022/RKCNN-I-5_5_5 C100": _rkcnn("I", 62, 2_572_900, 1.129, 100),
    "zhu2022/RKCNN-R-5_5_5 C100": _rkcnn("R", 62, 2_572_900, 1.129, 100),
    "eliasof2023/ResNet-34 MGIC": _mgic(4_414_154, 0.483),
}

_TRAINING = CIFAR_SGD | TORCH | PAD_FLIP_CHANNEL | {"weight decay": 1e-4}
_RKCNN = said(
    _Z,
    _TRAINING
    | {
        "batch": 32,
        "BatchNorm group": 32,
        "learning rate": 0.1,
        "Nesterov": "nesterov",
        "initialisation": "he_fan_in",
    },
    certainty="code",
) | epochs(_Z, 300, (150, 225), certainty="code")
_MGIC = said(
    _E,
    _TRAINING
    | {
        "batch": 64,
        "BatchNorm group": 64,
        "learning rate": 0.3,
        "Nesterov": "none",
        "initialisation": "he_fan_out",
    },
    certainty="code",
) | epochs(_E, 200, (30, 60, 90, 120, 150, 180), certainty="code")
RECIPES: dict[str, Facts] = {
    "zhu2022/cifar": _RKCNN,
    "zhu2022/cifar100": _RKCNN | said(_Z, CIFAR100, certainty="code"),
    "eliasof2023/cifar": _MGIC,
}
