"""He et al. 2016a, "Deep Residual Learning for Image Recognition", Tables 2 to 6.

One run per model, except ResNet-110 on CIFAR-10: the best of 5.
"""

from functools import partial

from resnet_jax.papers.he2015 import ENSEMBLE
from resnet_jax.papers.value import Table

TEN_CROP = "ImageNet val, 10-crop, shorter side 256"
MULTI_SCALE = "ImageNet val, fully convolutional, {224,256,384,480,640}, single model"
CIFAR = "CIFAR-10 test, one 32x32 view, trained on the whole training set"

_table = partial(Table, paper="he2016a")
T2 = _table(table="T2", protocol=TEN_CROP, views="10crop").cells(
    ("plain-18", 27.94),
    ("plain-34", 28.54),
    ("ResNet-18 A", 27.88),
    ("ResNet-34 A", 25.03),
)

_T3 = _table(table="T3", protocol=TEN_CROP, views="10crop")
T3 = (
    *_T3.quoted.cells(
        ("VGG-16", 28.07, 9.33),
        ("GoogLeNet", None, 9.15),
        ("PReLU-net C", 24.27, 7.38),
    ),
    *_T3.cells(
        ("plain-34", 28.54, 10.02),
        ("ResNet-34 A", 25.03, 7.76),
        ("ResNet-34 B", 24.52, 7.46),
        ("ResNet-34 C", 24.19, 7.40),
        ("ResNet-50", 22.85, 6.71),
        ("ResNet-101", 21.75, 6.05),
        ("ResNet-152", 21.43, 5.71),
    ),
)

_T4 = _table(table="T4", protocol=MULTI_SCALE, views="dense")
T4 = (
    *_T4.quoted.cells(
        ("VGG v5", 24.4, 7.1),
        ("PReLU-net C", 21.59, 5.71),
        ("BN-inception", 21.99, 5.81),
    ),
    *_T4.cells(
        ("ResNet-34 B", 21.84, 5.71),
        ("ResNet-34 C", 21.53, 5.60),
        ("ResNet-50", 20.74, 5.25),
        ("ResNet-101", 19.87, 4.60),
        ("ResNet-152", 19.38, 4.49),
    ),
)

_T5 = _table(table="T5", protocol=ENSEMBLE, views="ensemble")
T5 = (
    *_T5.quoted.cells(
        ("VGG 2014", None, 7.32),
        ("GoogLeNet", None, 6.66),
        ("VGG v5", None, 6.8),
        ("PReLU-nets", None, 4.94),
        ("BN-inception", None, 4.82),
    ),
    _T5.cell("ResNets", None, 3.57, note="six nets, two of them ResNet-152"),
)

_T6 = _table(table="T6", protocol=CIFAR)
_BEST = _table(table="T6", protocol=CIFAR, statistic="best", runs=5)
T6 = (
    *_T6.quoted.cells(("Maxout", 9.38), ("NIN", 8.81), ("DSN", 8.22)),
    _T6.quoted.cell("FitNet-19", 8.39, params_m=2.5),
    _BEST.quoted.cell(
        "Highway-19", 7.54, mean=7.72, std=0.16, params_m=2.3,
        note="the number of its runs is not certain",
    ),
    _T6.quoted.cell("Highway-32", 8.80, params_m=1.25),
    _T6.cell("ResNet-20", 8.75, params_m=0.27),
    _T6.cell("ResNet-32", 7.51, params_m=0.46),
    _T6.cell("ResNet-44", 7.17, params_m=0.66),
    _T6.cell("ResNet-56", 6.97, params_m=0.85),
    _BEST.cell("ResNet-110", 6.43, mean=6.61, std=0.16, params_m=1.7),
    _T6.cell("ResNet-1202", 7.93, params_m=19.4),
)  # fmt: skip

VALUES = (*T2, *T3, *T4, *T5, *T6)
