"""XNOR-Net (Rastegari et al. 2016), Tables 1 to 3.

The paper prints accuracies; errors here are 100 % minus accuracy. One run per model.
"""

from functools import partial

from resnet_jax.papers.facts import (
    IMAGENET_SGD,
    Facts,
    Quantities,
    counted,
    epochs,
    said,
    silent,
)
from resnet_jax.papers.value import Table, error

_R = "Rastegari et al. 2016"


# accuracies, top-1 and top-5
T1 = {  # AlexNet
    "full precision": (56.6, 80.2),
    "BWN": (56.8, 79.4),
    "XNOR-Net": (44.2, 69.2),
    "BinaryConnect": (35.4, 61.0),
    "BNN": (27.9, 50.42),
}
T2 = {
    "ResNet-18": {
        "full precision": (69.3, 89.2),
        "BWN": (60.8, 83.0),
        "XNOR-Net": (51.2, 73.2),
    },
    "GoogLeNet variant": {"full precision": (71.3, 90.0), "BWN": (65.5, 86.1)},
}
T3 = {  # AlexNet: how alpha is found (BWN), and the order of a block (XNOR-Net)
    "alpha by Eq. 6": (56.8, 79.4),
    "alpha learned": (46.2, 69.5),
    "conv norm sign pool": (30.3, 57.5),
    "norm sign conv pool": (44.2, 69.2),
}
_OTHERS = ("BinaryConnect", "BNN")  # methods of others, as this paper ran them

_table = partial(Table, paper="rastegari2016", protocol="ImageNet val, centre crop 224")
_CIFAR = "CIFAR-10 test, the net of BinaryConnect"
VALUES = (
    *(
        _table(table="T1", column="AlexNet").cell(
            row,
            *map(error, accuracy),
            note="another paper's method" if row in _OTHERS else "",
        )
        for row, accuracy in T1.items()
    ),
    *(
        _table(table="T2", column=net).cell(row, *map(error, accuracy))
        for net, rows in T2.items()
        for row, accuracy in rows.items()
    ),
    *(
        _table(table="T3", column="AlexNet").cell(row, *map(error, accuracy))
        for row, accuracy in T3.items()
    ),
    *_table(table="text", column="CIFAR-10", protocol=_CIFAR, views="other").cells(
        ("BWN", 9.88), ("XNOR-Net", 10.17)
    ),
)


def _resnet18(slots: Quantities, params: int | None = None) -> Facts:
    """ResNet-18, first and last layer in full precision; projections are not stated."""
    values = {"form": "imagenet_resnet", "depth": 18, "units a stage": (2, 2, 2, 2)}
    values |= {"branch": "basic", "shortcut": "B", "classes": 1000, "width": 1.0}
    values |= {"weighted layers": 18, "BatchNorm": "yes", **slots}
    source = f"{_R}, Sec. 4.1"
    return said(source, values) | counted(source, params=params)


NETWORKS: dict[str, Facts] = {
    "rastegari2016/T2/full precision/ResNet-18": _resnet18(
        {"operator": "none", "order": "original", "rectifier": "relu"}, 11_689_512
    ),
    "rastegari2016/T2/BWN/ResNet-18": _resnet18(
        {"operator": "binary", "rule of binary kernels": "paper"}, 11_689_512
    ),
    "rastegari2016/T2/XNOR-Net/ResNet-18": _resnet18(
        {"operator": "xnor", "rule of binary kernels": "paper", "order": "full_pre"}
    ),
}

RECIPES: dict[str, Facts] = {
    "rastegari2016/resnet": said(
        f"{_R}, Sec. 4.1",
        IMAGENET_SGD
        | {
            "batch": 256,
            "learning rate": 0.1,
            "divided by": 100,
            "augmentation": "shorter side 256 to 480, crop 224",
            "evaluation": "centre crop of 224",
        },
    )
    | epochs(f"{_R}, Sec. 4.1", 58, (30, 40))
    | said("SGD for the other nets, Adam for XNOR-AlexNet",
           {"optimizer": "sgd", "momentum": 0.9}, certainty="unsure")
    | silent("weight decay", "initialisation", "BatchNorm group", "Nesterov",
             "decayed parameters", "momentum dialect", "normalisation"),
}  # fmt: skip
