"""Wide nets (Zagoruyko & Komodakis 2016) and grouped ones (Xie et al. 2017)."""

from functools import partial

from resnet_jax.papers.facts import (
    ALL_BUT_SLOPES,
    CIFAR_SGD,
    IMAGENET_SGD,
    ORIGINAL,
    Facts,
    counted,
    epochs,
    said,
)
from resnet_jax.papers.value import Table

_Z = "Zagoruyko & Komodakis 2016"
_ONE_VIEW = "test, one 32x32 view"
_wrn = partial(Table, paper="zagoruyko2016", statistic="median", runs=5)

# Table 2: kernels of the branch at width 2; the label of the depth fixes the units.
_T2 = {
    "B(1,3,1)": 6.06,
    "B(3,1)": 5.78,
    "B(1,3)": 6.42,
    "B(3,1,1)": 5.86,
    "B(3,3)": 5.73,
    "B(3,1,3)": 5.78,
}
# Table 3: convolutions per branch, WRN-40-2.
_T3 = {1: 6.69, 2: 5.43, 3: 5.65, 4: 5.93}
# Table 5: mean and std, no dropout: CIFAR-10, CIFAR-100.
_T5 = {"40-4": (4.53, 21.18), "16-8": (4.27, 20.43), "28-10": (4.00, 19.25)}
# Table 6: without and with dropout: CIFAR-10, CIFAR-100.
_T6 = {
    "16-4": ((5.02, 5.24), (24.03, 23.91)),
    "28-10": ((4.00, 3.89), (19.25, 18.85)),
    "52-1": ((6.43, 6.28), (29.89, 29.78)),
}
_ZCA = f"CIFAR-10 {_ONE_VIEW}, ZCA"

_DATA = ("CIFAR-10", "CIFAR-100")
WIDE = (
    *_wrn(table="T2", protocol=_ZCA).cells(_T2),
    *_wrn(table="T3", protocol=_ZCA).cells({f"l={n}": e for n, e in _T3.items()}),
    *(
        _wrn(table="T5", column=data, protocol=f"{data} {_ONE_VIEW}").cell(
            f"WRN-{net}", error
        )
        for net, errors in _T5.items()
        for data, error in zip(_DATA, errors, strict=True)
    ),
    *(
        _wrn(table="T6", column=data, protocol=f"{data} {_ONE_VIEW}").cell(
            f"WRN-{net} {dropout}", error
        )
        for net, table in _T6.items()
        for data, errors in zip(_DATA, table, strict=True)
        for dropout, error in zip(("without", "with dropout"), errors, strict=True)
    ),
)

_X = "Xie et al. 2017"
_VIEW_224 = "ImageNet val, single crop 224"
# Table 3: template, single-crop top-1 error.
_T3_50 = {"1x64d": 23.9, "2x40d": 23.0, "4x24d": 22.6, "8x14d": 22.3, "32x4d": 22.2}
_T3_101 = {"1x64d": 22.0, "2x40d": 21.7, "4x24d": 21.4, "8x14d": 21.3, "32x4d": 21.2}
# Table 7: mean of ten runs on CIFAR-10 and CIFAR-100.
_T7 = {"8x64d": (3.65, 17.77), "16x64d": (3.58, 17.31)}

GROUPED = (
    *(
        Table(paper="xie2017", table="T3", protocol=_VIEW_224).cell(
            f"ResNeXt-{depth}-{template}", error
        )
        for depth, errors in {50: _T3_50, 101: _T3_101}.items()
        for template, error in errors.items()
    ),
    *(
        Table(
            paper="xie2017", table="T7", column=data, statistic="mean", runs=10,
            protocol=f"{data} {_ONE_VIEW}",
        ).cell(f"ResNeXt-29-{template}", error)
        for template, errors in _T7.items()
        for data, error in zip(_DATA, errors, strict=True)
    ),
)  # fmt: skip

VALUES = (*WIDE, *GROUPED)


def _wide(
    place: str,
    depth: int,
    width: int | float,
    params: int,
    *,
    classes: int = 10,
    kernels: tuple[int, ...] = (3, 3),
    dropout: float | None = None,
) -> Facts:
    """WRN-depth-width; `kernels` of the branch."""
    units = ((depth - 4) // (3 * len(kernels)),) * 3
    values = {"form": "wide_resnet", "depth": depth, "units a stage": units}
    values |= {"order": "full_pre", "shortcut": "B", "classes": classes}
    values |= {"width": float(width), "kernels": kernels}
    values |= {} if dropout is None else {"dropout": dropout}
    source = f"{_Z}, {place}"
    return said(source, ORIGINAL | values) | counted(source, params=params)


NETWORKS: dict[str, Facts] = {
    # Table 2: 6, 4 or 3 units per stage, whatever depth the label has
    "zagoruyko2016/T2/B(1,3,1)": _wide("Table 2", 58, 2, 1_429_082, kernels=(1, 3, 1)),
    "zagoruyko2016/T2/B(3,1)": _wide("Table 2", 40, 2, 1_211_354, kernels=(3, 1)),
    "zagoruyko2016/T2/B(1,3)": _wide("Table 2", 40, 2, 1_297_370, kernels=(1, 3)),
    "zagoruyko2016/T2/B(3,1,1)": _wide("Table 2", 58, 2, 1_343_066, kernels=(3, 1, 1)),
    "zagoruyko2016/T2/B(3,3)": _wide("Table 2", 28, 2, 1_467_610),
    "zagoruyko2016/T2/B(3,1,3)": _wide("Table 2", 31, 2, 1_145_498, kernels=(3, 1, 3)),
    **{
        f"zagoruyko2016/T3/l={n}": _wide("Table 3", 40, 2, 2_243_546, kernels=(3,) * n)
        for n in _T3
    },
    "zagoruyko2016/T5/WRN-40-4/CIFAR-10": _wide("Table 5", 40, 4, 8_949_210),
    "zagoruyko2016/T5/WRN-16-8/CIFAR-10": _wide("Table 5", 16, 8, 10_961_370),
    "zagoruyko2016/T5/WRN-28-10/CIFAR-10": _wide("Table 5", 28, 10, 36_479_194),
    "zagoruyko2016/T5/WRN-16-8/CIFAR-100": _wide(
        "Table 5", 16, 8, 11_007_540, classes=100
    ),
    "zagoruyko2016/T5/WRN-28-10/CIFAR-100": _wide(
        "Table 5", 28, 10, 36_536_884, classes=100
    ),
    "zagoruyko2016/T6/WRN-16-4 with dropout/CIFAR-10": _wide(
        "Table 6", 16, 4, 2_748_890, dropout=0.3
    ),
    "zagoruyko2016/T6/WRN-28-10 with dropout/CIFAR-10": _wide(
        "Table 6", 28, 10, 36_479_194, dropout=0.3
    ),
    "zagoruyko2016/T6/WRN-52-1 without/CIFAR-10": _wide("Table 6", 52, 1, 758_362),
    "zagoruyko2016/T6/WRN-52-1 with dropout/CIFAR-10": _wide(
        "Table 6", 52, 1, 758_362, dropout=0.3
    ),
}


def _grouped(
    place: str,
    form: str,
    depth: int,
    template: str,
    params: int,
    *,
    classes: int,
    width: float = 1.0,
) -> Facts:
    """ResNeXt whose bottlenecks have C groups of d channels (`template` CxDd)."""
    groups, channels = template.removesuffix("d").split("x")
    units = {29: (3, 3, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}[depth]
    values = {"form": form, "depth": depth, "weighted layers": depth, "shortcut": "B"}
    values |= {"units a stage": units, "branch": "bottleneck"}
    values |= {"stride of a bottleneck": "3x3", "norm on projections": "yes"}
    values |= {"groups": int(groups), "width of a group": float(channels)}
    values |= {"width": width, "classes": classes}
    source = f"{_X}, {place}"
    return said(source, ORIGINAL | values) | counted(source, params=params)


NETWORKS |= {
    f"xie2017/T3/ResNeXt-{depth}-{template}": _grouped(
        "Table 3", "imagenet_resnet", depth, template, params, classes=1000
    )
    for depth, nets in {
        50: {
            "1x64d": 25_557_032,
            "2x40d": 25_425_000,
            "4x24d": 25_292_968,
            "8x14d": 25_603_016,
            "32x4d": 25_028_904,
        },
        101: {
            "1x64d": 44_549_160,
            "2x40d": 44_456_296,
            "4x24d": 44_363_432,
            "8x14d": 45_104_328,
            "32x4d": 44_177_704,
        },
    }.items()
    for template, params in nets.items()
}
NETWORKS |= {
    f"xie2017/T7/ResNeXt-29-{template}/{data}": _grouped(
        "Table 7", "cifar_resnet", 29, template, params,
        classes=int(data.removeprefix("CIFAR-")), width=4.0,
    )
    for template, data, params in (
        ("8x64d", "CIFAR-10", 34_426_698),
        ("8x64d", "CIFAR-100", 34_518_948),
        ("16x64d", "CIFAR-10", 68_155_210),
        ("16x64d", "CIFAR-100", 68_247_460),
    )
}  # fmt: skip

_TORCH = {"momentum dialect": "torch", "dampening": 0.0, "Nesterov": "nesterov"}
_ALL = {"decayed parameters": ALL_BUT_SLOPES}
_CODE = "szagoruyko/wide-residual-networks"
_WRN_CIFAR = (
    said(
        f"{_Z}, Sec. 3",
        CIFAR_SGD
        | {
            "data set": "cifar10",
            "batch": 128,
            "learning rate": 0.1,
            "divided by": 5,
            "weight decay": 5e-4,
            "Nesterov": "nesterov",
            "evaluation": "one view of 32x32",
        },
    )
    | epochs(f"{_Z}, Sec. 3", 200, (60, 120, 160))
    | said(
        _CODE,
        _TORCH
        | _ALL
        | {
            "augmentation": "4-pixel reflect pad, crop, flip",
            "normalisation": "channel",
            "initialisation": "he_fan_in",
            "running statistics": "torch",
            "BatchNorm group": 128,
        },
        certainty="code",
    )
)
_XIE = "facebookresearch/ResNeXt"
_FB = _TORCH | _ALL | {"running statistics": "torch", "initialisation": "he_fan_out"}
_RESNEXT_CIFAR = (
    said(
        f"{_X}, Sec. 5.3",
        CIFAR_SGD
        | {
            "data set": "cifar10",
            "batch": 128,
            "learning rate": 0.1,
            "weight decay": 5e-4,
            "augmentation": "4-pixel zero pad, crop, flip",
            "evaluation": "one view of 32x32",
        },
    )
    | epochs(f"{_X}, Sec. 5.3", 300, (150, 225))
    | said(_XIE, _FB | {"normalisation": "channel"}, certainty="code")
    | said(f"{_XIE}, 8 GPUs", {"BatchNorm group": 16}, certainty="code")
)
_RESNEXT_IMAGENET = (
    said(
        f"{_X}, Sec. 4",
        IMAGENET_SGD
        | {
            "batch": 256,
            "learning rate": 0.1,
            "weight decay": 1e-4,
            "evaluation": "centre crop of 224, shorter side 256",
        },
    )
    | epochs(f"{_X}, Sec. 4; 100 epochs in the code", 100, (30, 60, 90))
    | said(_XIE, _FB | {"normalisation": "channel"}, certainty="code")
    | said(f"{_XIE}, 8 GPUs", {"BatchNorm group": 32}, certainty="code")
    | said(
        "that of fb.resnet.torch",
        {
            "augmentation": "random area and aspect, crop 224, flip, colour jitter "
            "0.4, AlexNet colours"
        },
        certainty="code",
    )
)
RECIPES: dict[str, Facts] = {
    "zagoruyko2016/cifar": _WRN_CIFAR,
    "zagoruyko2016/cifar100": _WRN_CIFAR
    | said(f"{_Z}, Sec. 3", {"data set": "cifar100"}),
    "xie2017/cifar": _RESNEXT_CIFAR,
    "xie2017/cifar100": _RESNEXT_CIFAR
    | said(f"{_X}, Sec. 5.3", {"data set": "cifar100"}),
    "xie2017/imagenet": _RESNEXT_IMAGENET,
}
