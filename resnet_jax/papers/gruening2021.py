"""Min-Nets (Gruening & Barth 2021): released results, nets and recipe.

Errors of the last epoch on CIFAR-10, mean and std over seeds; and errors on test images
compressed as JPEG.
"""

from functools import partial

from resnet_jax.papers.facts import (
    CIFAR_SGD,
    PAD_FLIP_CHANNEL,
    TORCH,
    Facts,
    counted,
    epochs,
    said,
)
from resnet_jax.papers.value import Table

_G = "Gruening & Barth 2021"
_CODE = f"{_G}, released code"
_table = partial(Table, paper="gruening2021", statistic="mean", certainty="code")
_C10 = "CIFAR-10 test, one 32x32 view"

# N units per stage: error, std and parameters of the Min-Net, then of its baseline
RESNETS = {
    3: ((8.05, 0.22, 217_082), (8.32, 0.38, 270_298)),
    5: ((6.86, 0.23, 411_962), (7.20, 0.06, 465_178)),
    7: ((6.19, 0.10, 606_842), (6.78, 0.14, 660_058)),
    9: ((5.99, 0.11, 801_722), (6.27, 0.13, 854_938)),
}
# depth, at growth 12: error, std and parameters of Min-DenseNet, then of DenseNet-BC
DENSENETS = {
    22: ((9.22, 0.17, 57_040), (9.76, 0.19, 71_686)),
    58: ((5.67, 0.07, 298_564), (5.90, 0.30, 314_470)),
    100: ((4.55, 0.14, 751_786), (4.79, 0.06, 769_162)),
}
# test images at JPEG quality 90, 50 and 10
JPEG = {
    "Min-Net N=9": (10.1, 24.2, 58.8),
    "Pyramid N=9": (10.9, 25.6, 59.1),
    "Min-DenseNet 100": (8.8, 23.8, 61.4),
    "DenseNet-BC 100": (9.9, 25.9, 62.6),
}


_results = partial(_table, table="results", protocol=_C10)
VALUES = (
    *(
        _results(runs=5).cell(f"{name} N={n}", error, mean=error, std=std)
        for n, pair in RESNETS.items()
        for name, (error, std, _) in zip(("Min-Net", "Pyramid"), pair, strict=True)
    ),
    *(
        _results(runs=3).cell(f"{name} {depth}", error, mean=error, std=std)
        for depth, pair in DENSENETS.items()
        for name, (error, std, _) in zip(
            ("Min-DenseNet", "DenseNet-BC"), pair, strict=True
        )
    ),
    *(
        _table(
            table="jpeg", column=f"quality {quality}",
            runs=3 if "Dense" in row else 5, protocol=f"{_C10}, JPEG {quality}",
            views="other",
        ).cell(row, error)
        for row, errors in JPEG.items()
        for quality, error in zip((90, 50, 10), errors, strict=True)
    ),
)  # fmt: skip


def _net(n: int, params: int) -> Facts:
    values = {"form": "min_net", "depth": 6 * n + 2, "units a stage": (n,) * 3}
    values |= {"width": 1.0, "classes": 10, "order": "pyramid", "rectifier": "relu"}
    values |= {"shortcut": "avgpool-A", "join": "add", "BatchNorm": "yes"}
    return said(_CODE, values, certainty="code") | counted(
        _CODE, params=params, certainty="code"
    )


NETWORKS: dict[str, Facts] = {
    f"gruening2021/results/{name} N={n}": _net(n, params)
    for n, pair in RESNETS.items()
    for name, (*_, params) in zip(("Min-Net", "Pyramid"), pair, strict=True)
}

_CIFAR = (
    said(
        _CODE,
        CIFAR_SGD
        | TORCH
        | PAD_FLIP_CHANNEL
        | {
            "batch": 128,
            "BatchNorm group": 128,
            "learning rate": 0.1,
            "Nesterov": "none",
            "weight decay": 1e-4,
        },
        certainty="code",
    )
    | epochs(_CODE, 200, (100, 150), certainty="code")
)  # fmt: skip
_DRAWN = "Torch's default, U(-1/sqrt(n), 1/sqrt(n))"
RECIPES: dict[str, Facts] = {
    "gruening2021/min": _CIFAR
    | said(_CODE, {"initialisation": _DRAWN}, certainty="code"),
    "gruening2021/pyramid": _CIFAR
    | said(_CODE, {"initialisation": "he_fan_out"}, certainty="code"),
}
