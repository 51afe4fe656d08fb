"""Xception (Chollet 2017): accuracies on ImageNet, the net, its recipe."""

from resnet_jax.papers.facts import IMAGENET_DATA, Facts, counted, said, silent
from resnet_jax.papers.value import Table, error

_C = "Chollet 2017"
_KERAS = "Keras Applications"

# top-1 and top-5 accuracy
_T1 = {
    "VGG-16": (71.5, 90.1),
    "ResNet-152": (77.0, 93.3),
    "Inception-V3": (78.2, 94.1),
    "Xception": (79.0, 94.5),
}
_TABLE = Table(
    paper="chollet2017",
    table="T1",
    protocol="ImageNet val, single crop 299, Polyak averages",
    views="299crop",
)
VALUES = tuple(
    (_TABLE.quoted if row in ("VGG-16", "ResNet-152") else _TABLE).cell(
        row, error(top1), error(top5)
    )
    for row, (top1, top5) in _T1.items()
)

NETWORKS: dict[str, Facts] = {
    "chollet2017/T1/Xception": said(
        f"{_C}, Fig. 5",
        {
            "form": "xception",
            "units a stage": (1, 1, 9, 1),
            "width": 1.0,
            "size": "imagenet",
            "weighted layers": 37,
            "classes": 1000,
            "rectifier": "relu",
            "BatchNorm": "yes",
        },
    )
    | counted(f"{_C}, Table 3", params=22_855_952, certainty="text")
}

RECIPES: dict[str, Facts] = {
    "chollet2017/imagenet": said(
        f"{_C}, Sec. 4.2 and 4.3",
        IMAGENET_DATA
        | {
            "optimizer": "sgd",
            "momentum": 0.9,
            "learning rate": 0.045,
            "schedule": "steps",
            "divided by": round(1 / 0.94, 6),
            "drops at": "every 2 epochs",
            "weight decay": 1e-5,
        },
    )
    | said(
        f"{_C}, Sec. 4.2",
        {"parameter average": "Polyak averages, of unknown decay"},
        certainty="unsure",
    )
    | said(
        f"{_C}, Table 1",
        {"evaluation": "single crop", "training sizes": (299,)},
        certainty="text",
    )
    | said(_KERAS, {"running statistics": "tensorflow"}, certainty="code")
    | silent(
        "batch",
        "iterations",
        "BatchNorm group",
        "momentum dialect",
        "decayed parameters",
        "augmentation",
        "normalisation",
        "initialisation",
        "label smoothing",
    )
}
