"""He et al. 2016b, "Identity Mappings in Deep Residual Networks", Tables 1 to 5.

Every CIFAR number is the median of 5 runs; ImageNet is one run. "fail" in Table 1 means
a test error above 20 %.
"""

from functools import partial

from resnet_jax.papers.value import Table, Views

CIFAR10 = "CIFAR-10 test, one 32x32 view"
CIFAR100 = "CIFAR-100 test, one 32x32 view"


_medians = partial(Table, paper="he2016b", statistic="median", runs=5)

_T1 = _medians(table="T1", protocol=f"{CIFAR10}, ResNet-110")
_failed = partial(_T1.cell, above=20.0)
T1 = (
    _T1.cell("original", 6.61),
    _failed("constant scaling 0, 1", note="a plain net"),
    _failed("constant scaling 0.5, 1"),
    _T1.cell("constant scaling 0.5, 0.5", 12.35, note="frozen gating"),
    _failed("exclusive gating", column="bias 0 to -5"),
    _T1.cell("exclusive gating", 8.70, column="bias -6"),
    _T1.cell("exclusive gating", 9.81, column="bias -7"),
    _T1.cell("shortcut-only gating", 12.86, column="bias 0"),
    _T1.cell("shortcut-only gating", 6.91, column="bias -6"),
    _T1.cell("1x1 conv shortcut", 12.22),
    _failed("dropout shortcut", note="rate 0.5 on the shortcut's output"),
)

T2 = _medians(table="T2", protocol=CIFAR10).grid(
    ("ResNet-110", "ResNet-164"),
    {
        "original": (6.61, 5.93),
        "BN after addition": (8.17, 6.50),
        "ReLU before addition": (7.84, 6.14),
        "ReLU-only pre-activation": (6.71, 5.91),
        "full pre-activation": (6.37, 5.46),
    },
)

_ORDERS = ("baseline", "pre-activation")
T3 = (
    *_medians(table="T3", protocol=CIFAR10).grid(
        _ORDERS,
        {
            "ResNet-110 1-layer skip": (9.90, 8.91),
            "ResNet-110": (6.61, 6.37),
            "ResNet-164": (5.93, 5.46),
            "ResNet-1001": (7.61, 4.92),
        },
    ),
    *_medians(table="T3", protocol=CIFAR100).grid(
        _ORDERS,
        {"ResNet-164 C100": (25.16, 24.33), "ResNet-1001 C100": (27.82, 22.71)},
    ),
)

_C10 = Table(paper="he2016b", table="T4", column="CIFAR-10", protocol=CIFAR10).quoted
_OURS_10 = _medians(table="T4", column="CIFAR-10", protocol=CIFAR10)
_C100 = Table(paper="he2016b", table="T4", column="CIFAR-100", protocol=CIFAR100).quoted
_OURS_100 = _medians(table="T4", column="CIFAR-100", protocol=CIFAR100)
T4 = (
    *_C10.cells(("NIN", 8.81), ("DSN", 8.22), ("FitNet", 8.39), ("Highway", 7.72)),
    _C10.cell("All-CNN", 7.25),
    _C10.cell("ELU", 6.55, note="no augmentation"),
    _C10.cell("FitResNet LSUV", 5.84),
    _C10.cell("ResNet-110", 6.61, params_m=1.7),
    _C10.cell("ResNet-1202", 7.93, params_m=19.4),
    _OURS_10.cell("ResNet-164", 5.46, params_m=1.7),
    _OURS_10.cell("ResNet-1001", 4.92, mean=4.89, std=0.14, params_m=10.2),
    _OURS_10.cell("ResNet-1001 batch 64", 4.62, mean=4.69, std=0.20, params_m=10.2),
    *_C100.cells(("NIN", 35.68), ("DSN", 34.57), ("FitNet", 35.04), ("Highway", 32.39)),
    _C100.cell("All-CNN", 33.71),
    _C100.cell("ELU", 24.28, note="no augmentation"),
    _C100.cell("FitNet LSUV", 27.66),
    _OURS_100.cell("ResNet-164", 24.33, params_m=1.7),
    _OURS_100.cell("ResNet-1001", 22.71, mean=22.68, std=0.22, params_m=10.2),
)


_VIEWS: dict[int, Views] = {224: "1crop", 299: "299crop", 320: "320crop"}  # by size


def _imagenet(crop: int, table: str = "T5", *, augmentation: str = "scale") -> Table:
    """Table of single runs, trained with crops of 224 and tested with one crop."""
    return Table(
        paper="he2016b",
        table=table,
        column=f"crop {crop}",
        protocol=f"ImageNet val, single crop {crop}, "
        f"trained with {augmentation} augmentation",
        views=_VIEWS[crop],
    )


_ASPECT = "scale and aspect"
T5 = (
    _imagenet(224).cell("ResNet-152", 23.0, 6.7),
    *_imagenet(320).cells(
        ("ResNet-152", 21.3, 5.5),
        ("ResNet-152 pre-act", 21.1, 5.5),
        ("ResNet-200", 21.8, 6.0),
        ("ResNet-200 pre-act", 20.7, 5.3),
    ),
    _imagenet(320, augmentation=_ASPECT).cell("ResNet-200 pre-act aspect", 20.1, 4.8),
    _imagenet(299, augmentation=_ASPECT).quoted.cell("Inception-v3", 21.2, 5.6),
)

# Printed in the running text beside Table 2.
ORDERS = _imagenet(224, "text").cells(
    ("ResNet-101", 23.6, 7.1), ("ResNet-101 BN after addition", 24.6, 7.5)
)

VALUES = (*T1, *T2, *T3, *T4, *T5, *ORDERS)
