"""He et al. 2016b, "Identity Mappings in Deep Residual Networks", Tables 1 to 5.

Every CIFAR number is the median of 5 runs; ImageNet is one run. "fail" in Table 1 means
a test error above 20 %.
"""

from functools import partial

from resnet_jax.papers.value import Value

CIFAR10 = "CIFAR-10 test, one 32x32 view"
CIFAR100 = "CIFAR-100 test, one 32x32 view"

_cell = partial(Value, paper="he2016b")
_median = partial(_cell, statistic="median", runs=5)
_T1 = partial(_median, table="T1", protocol=f"{CIFAR10}, ResNet-110")
_fail = partial(_T1, above=20.0)
_T4_10 = partial(_cell, table="T4", column="CIFAR-10", protocol=CIFAR10)
_T4_100 = partial(_cell, table="T4", column="CIFAR-100", protocol=CIFAR100)
_OURS = {"statistic": "median", "runs": 5}
_QUOTED = {"origin": "quoted"}

T1 = (
    _T1(row="original", top1_err=6.61),
    _fail(row="constant scaling 0, 1", note="a plain net"),
    _fail(row="constant scaling 0.5, 1"),
    _T1(row="constant scaling 0.5, 0.5", top1_err=12.35, note="frozen gating"),
    _fail(row="exclusive gating", column="bias 0 to -5"),
    _T1(row="exclusive gating", column="bias -6", top1_err=8.70),
    _T1(row="exclusive gating", column="bias -7", top1_err=9.81),
    _T1(row="shortcut-only gating", column="bias 0", top1_err=12.86),
    _T1(row="shortcut-only gating", column="bias -6", top1_err=6.91),
    _T1(row="1x1 conv shortcut", top1_err=12.22),
    _fail(row="dropout shortcut", note="rate 0.5 on the shortcut's output"),
)


def _order(row, *, deep110, deep164):
    """The two cells of a row of Table 2."""
    cell = partial(_median, table="T2", row=row, protocol=CIFAR10)
    return (
        cell(column="ResNet-110", top1_err=deep110),
        cell(column="ResNet-164", top1_err=deep164),
    )


T2 = (
    *_order("original", deep110=6.61, deep164=5.93),
    *_order("BN after addition", deep110=8.17, deep164=6.50),
    *_order("ReLU before addition", deep110=7.84, deep164=6.14),
    *_order("ReLU-only pre-activation", deep110=6.71, deep164=5.91),
    *_order("full pre-activation", deep110=6.37, deep164=5.46),
)


def _pair(row, *, baseline, preact, protocol=CIFAR10):
    """The two cells of a row of Table 3."""
    cell = partial(_median, table="T3", row=row, protocol=protocol)
    return (
        cell(column="baseline", top1_err=baseline),
        cell(column="pre-activation", top1_err=preact),
    )


T3 = (
    *_pair("ResNet-110 1-layer skip", baseline=9.90, preact=8.91),
    *_pair("ResNet-110", baseline=6.61, preact=6.37),
    *_pair("ResNet-164", baseline=5.93, preact=5.46),
    *_pair("ResNet-1001", baseline=7.61, preact=4.92),
    *_pair("ResNet-164 C100", baseline=25.16, preact=24.33, protocol=CIFAR100),
    *_pair("ResNet-1001 C100", baseline=27.82, preact=22.71, protocol=CIFAR100),
)

T4 = (
    _T4_10(row="NIN", top1_err=8.81, **_QUOTED),
    _T4_10(row="DSN", top1_err=8.22, **_QUOTED),
    _T4_10(row="FitNet", top1_err=8.39, **_QUOTED),
    _T4_10(row="Highway", top1_err=7.72, **_QUOTED),
    _T4_10(row="All-CNN", top1_err=7.25, **_QUOTED),
    _T4_10(row="ELU", top1_err=6.55, note="no augmentation", **_QUOTED),
    _T4_10(row="FitResNet LSUV", top1_err=5.84, **_QUOTED),
    _T4_10(row="ResNet-110", top1_err=6.61, params_m=1.7, **_QUOTED),
    _T4_10(row="ResNet-1202", top1_err=7.93, params_m=19.4, **_QUOTED),
    _T4_10(row="ResNet-164", top1_err=5.46, params_m=1.7, **_OURS),
    _T4_10(
        row="ResNet-1001", top1_err=4.92, mean=4.89, std=0.14, params_m=10.2, **_OURS
    ),
    _T4_10(
        row="ResNet-1001 batch 64",
        top1_err=4.62,
        mean=4.69,
        std=0.20,
        params_m=10.2,
        **_OURS,
    ),
    _T4_100(row="NIN", top1_err=35.68, **_QUOTED),
    _T4_100(row="DSN", top1_err=34.57, **_QUOTED),
    _T4_100(row="FitNet", top1_err=35.04, **_QUOTED),
    _T4_100(row="Highway", top1_err=32.39, **_QUOTED),
    _T4_100(row="All-CNN", top1_err=33.71, **_QUOTED),
    _T4_100(row="ELU", top1_err=24.28, note="no augmentation", **_QUOTED),
    _T4_100(row="FitNet LSUV", top1_err=27.66, **_QUOTED),
    _T4_100(row="ResNet-164", top1_err=24.33, params_m=1.7, **_OURS),
    _T4_100(
        row="ResNet-1001", top1_err=22.71, mean=22.68, std=0.22, params_m=10.2, **_OURS
    ),
)


def _single(row, *, top1, top5, crop, aug="scale", origin="own", table="T5"):
    """A single-crop ImageNet error: one run, trained with 224 crops."""
    return _cell(
        table=table,
        row=row,
        column=f"crop {crop}",
        top1_err=top1,
        top5_err=top5,
        origin=origin,
        protocol=f"ImageNet val, single crop {crop}, trained with {aug} augmentation",
    )


T5 = (
    _single("ResNet-152", top1=23.0, top5=6.7, crop=224),
    _single("ResNet-152", top1=21.3, top5=5.5, crop=320),
    _single("ResNet-152 pre-act", top1=21.1, top5=5.5, crop=320),
    _single("ResNet-200", top1=21.8, top5=6.0, crop=320),
    _single("ResNet-200 pre-act", top1=20.7, top5=5.3, crop=320),
    _single(
        "ResNet-200 pre-act aspect",
        top1=20.1,
        top5=4.8,
        crop=320,
        aug="scale and aspect",
    ),
    _single(
        "Inception-v3",
        top1=21.2,
        top5=5.6,
        crop=299,
        aug="scale and aspect",
        origin="quoted",
    ),
)

# Printed in the running text beside Table 2.
ORDERS = (
    _single("ResNet-101", top1=23.6, top5=7.1, crop=224, table="text"),
    _single(
        "ResNet-101 BN after addition", top1=24.6, top5=7.5, crop=224, table="text"
    ),
)

VALUES = (*T1, *T2, *T3, *T4, *T5, *ORDERS)
