"""3D ResNets (Hara et al. 2018): errors on Kinetics, nets and released recipe."""

from resnet_jax.papers.facts import (
    NO_SLOTS,
    ORIGINAL,
    PLAIN_SGD,
    TORCH,
    Facts,
    Quantities,
    counted,
    epochs,
    said,
)
from resnet_jax.papers.imagenet_nets import UNITS
from resnet_jax.papers.value import Table, error

_H = "Hara et al. 2018"
_CODE = "kenshohara/3D-ResNets-PyTorch, branch CVPR2018"
_T2 = Table(
    paper="hara2018",
    table="T2",
    protocol="Kinetics-400 val, scores averaged over clips of 16 frames of 112x112",
    views="clips",
    certainty="known",
)

# top-1 and top-5 accuracy, and the mean of the two that the README prints
KINETICS = {
    "ResNet-18": (54.2, 78.1, 66.1),
    "ResNet-34": (60.1, 81.9, 71.0),
    "ResNet-50": (61.3, 83.1, 72.2),
    "ResNet-101": (62.8, 83.9, 73.3),
    "ResNet-152": (63.0, 84.4, 73.7),
    "ResNet-200": (63.1, 84.4, 73.7),
    "PreAct-200": (63.0, 83.7, 73.4),
    "WRN-50": (64.1, 85.3, 74.7),
    "ResNeXt-101": (65.1, 85.7, 75.4),
    "DenseNet-121": (59.7, 81.9, 70.8),
    "DenseNet-201": (61.3, 83.3, 72.3),
}
VALUES = tuple(
    _T2.cell(
        row,
        error(top1),
        error(top5),
        note=f"accuracies; their mean, {mean} %, is in the released README",
    )
    for row, (top1, top5, mean) in KINETICS.items()
)


def _net(depth: int, params: int, macs: float, slots: Quantities = NO_SLOTS) -> Facts:
    values = ORIGINAL | {"form": "resnet_3d", "depth": depth, "classes": 400}
    values |= {"units a stage": UNITS[depth], "branch": "basic", "shortcut": "A"}
    if depth >= 50:
        values |= {"branch": "bottleneck", "shortcut": "B", "groups": 1}
        values |= {"stride of a bottleneck": "3x3", "width of a group": 64.0}
    counts = counted(_CODE, params=params, certainty="code")
    counts |= counted(f"{_CODE}, 16 frames of 112x112", macs=macs)
    return said(_CODE, {**values, **slots}, certainty="code") | counts


_GROUPS = {"groups": 32, "width of a group": 4.0}
NETWORKS: dict[str, Facts] = {
    f"hara2018/T2/{row}": net
    for row, net in {
        "ResNet-18": _net(18, 33_235_280, 8.296),
        "ResNet-34": _net(34, 63_544_912, 12.685),
        "ResNet-50": _net(50, 47_018_576, 10.069),
        "ResNet-101": _net(101, 86_064_720, 13.891),
        "ResNet-152": _net(152, 118_223_440, 18.611),
        "ResNet-200": _net(200, 127_423_056, 25.805),
        "PreAct-200": _net(200, 127_419_088, 25.805, {"order": "full_pre"}),
        "WRN-50": _net(50, 158_248_272, 26.240, {"width of a group": 128.0}),
        "ResNeXt-101": _net(101, 48_340_816, 9.568, _GROUPS),
    }.items()
}

RECIPES: dict[str, Facts] = {
    "hara2018/kinetics": said(
        _CODE,
        PLAIN_SGD
        | TORCH
        | {
            "data set": "kinetics400",
            "batch": 128,
            "learning rate": 0.1,
            "drops at": "where the validation loss has not fallen for 10 epochs",
            "Nesterov": "none",
            "dampening": 0.9,
            "weight decay": 1e-3,
            "initialisation": "he_fan_out",
            "augmentation": "16 frames in a row, crops of 5 scales at corners and "
            "centre, resized to 112, flip",
            "normalisation": "mean of ActivityNet's channels, no std",
            "evaluation": "scores averaged over all clips of a video",
        },
        certainty="code",
    )
    | epochs(_CODE, 200, certainty="code")
}
