"""Cut networks: network slimming (Liu et al. 2017), channel pruning (He et al. 2017).

The counts of a cut network follow from weights and are not published exactly; those of
the networks before the cut are.
"""

from resnet_jax.papers.facts import Facts, counted, said
from resnet_jax.papers.value import Table, Value

# Rows of Liu et al. 2017, Table 1: (errors, millions of parameters) on CIFAR-10 and
# CIFAR-100; None where the table has no such share.
_T1 = {
    "VGG-19, 70 %": ((6.20, 2.30), None),
    "VGG-19, 50 %": (None, (26.52, 5.00)),
    "ResNet-164": ((5.42, 1.70), (23.37, 1.73)),
    "ResNet-164, 40 %": ((5.08, 1.44), (22.87, 1.46)),
    "ResNet-164, 60 %": ((5.27, 1.10), (23.91, 1.21)),
    "DenseNet-40": ((6.11, 1.02), (25.36, 1.06)),
    "DenseNet-40, 40 %": ((5.19, 0.66), (25.28, 0.66)),
    "DenseNet-40, 60 %": (None, (25.72, 0.46)),
    "DenseNet-40, 70 %": ((5.65, 0.35), None),
}
COLUMNS = ("CIFAR-10", "CIFAR-100")
SLIMMING = tuple(
    Table(
        paper="liu2017", table="T1", protocol=f"{column} test, one view", column=column
    ).cell(row, cell[0], params_m=cell[1])
    for row, cells in _T1.items()
    for column, cell in zip(COLUMNS, cells, strict=True)
    if cell
)

# Increase of the top-5 error after fine-tuning, by speed-up (He et al. 2017, Sec. 4)
_INCREASE = {
    "VGG-16": (10.1, {"2x": 0.0, "4x": 1.0, "5x": 1.7}),
    "ResNet-50": (7.8, {"2x": 1.4}),
    "Xception-50": (7.2, {"2x": 1.0}),
}


def _pruned(net: str, speedup: str, base: float, increase: float) -> Value:
    table = Table(
        paper="he2017",
        table="text",
        protocol="ImageNet val, single centre crop of 224",
        certainty="known",
        column=speedup,
    )
    note = f"{base} % before the cut, and {increase} more after fine-tuning"
    return table.cell(net, None, round(base + increase, 2), note=note)


VALUES = SLIMMING + tuple(
    _pruned(net, speedup, base, increase)
    for net, (base, increases) in _INCREASE.items()
    for speedup, increase in increases.items()
)

_U = "Liu et al. 2017, released code"
_PREACT = {
    "form": "cifar_resnet",
    "depth": 164,
    "units a stage": (18, 18, 18),
    "weighted layers": 164,
    "width": 1.0,
    "order": "full_pre",
    "branch": "bottleneck",
    "rectifier": "relu",
    "BatchNorm": "yes",
}
_DENSE = {
    "form": "densenet",
    "depth": 40,
    "growth rate": 12,
    "weighted layers": 40,
    "rectifier": "relu",
    "BatchNorm": "yes",
}
NETWORKS: dict[str, Facts] = {
    "liu2017/T1/ResNet-164/CIFAR-10": said(_U, _PREACT | {"classes": 10})
    | counted(_U, params=1_703_258, macs=247_646_720),
    "liu2017/T1/ResNet-164/CIFAR-100": said(_U, _PREACT | {"classes": 100})
    | counted(_U, params=1_726_388),
    "liu2017/T1/DenseNet-40/CIFAR-10": said(_U, _DENSE | {"classes": 10})
    | counted(_U, params=1_019_722, macs=264_812_928),
    "liu2017/T1/DenseNet-40/CIFAR-100": said(_U, _DENSE | {"classes": 100})
    | counted(_U, params=1_060_132),
}
