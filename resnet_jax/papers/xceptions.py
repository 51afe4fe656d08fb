"""Xception (Chollet 2017) and Xception-50 (He et al. 2017) on ImageNet."""

from resnet_jax.papers.facts import (
    IMAGENET_DATA,
    ORIGINAL,
    Facts,
    counted,
    said,
    silent,
)
from resnet_jax.papers.value import Table, error

_C = "Chollet 2017"
_H = "He et al. 2017, Sec. 4.3"

VALUES = (
    Table(
        paper="chollet2017",
        table="T1",
        protocol="ImageNet val, single crop 299, averaged parameters",
        views="299crop",
    ).cell("Xception", error(79.0), error(94.5), params="ema"),
    Table(
        paper="he2017",
        table="text",
        protocol="ImageNet val, single crop of 224, before the net is pruned",
        certainty="known",
    ).cell("Xception-50", None, error(92.8)),
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
    | counted(f"{_C}, Table 3", params=22_855_952, certainty="text"),
    # Bottlenecks of separable convolutions alone, twice as wide inside, come to the
    # complexity that the paper gives; the rest is that of ResNet-50.
    "he2017/text/Xception-50": said(
        f"{_H}: the reading that comes to its multiply-adds",
        ORIGINAL
        | {
            "form": "imagenet_resnet",
            "depth": 50,
            "units a stage": (3, 4, 6, 3),
            "weighted layers": 50,
            "branch": "separable_bottleneck",
            "shortcut": "B",
            "classes": 1000,
        },
        certainty="unsure",
    )
    | counted(_H, macs=4.450, certainty="known"),
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
    | silent(
        "parameter average",
        source=f"{_C}, Sec. 4.2: Polyak averages, whose decay is not stated",
    )
    | said(
        f"{_C}, Sec. 4.5.1 and Fig. 5",
        {"evaluation": "single crop of 299", "training sizes": (299,)},
    )
    | said("Keras Applications", {"running statistics": "tensorflow"}, certainty="code")
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
