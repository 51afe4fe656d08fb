"""Wide ResNets (Zagoruyko & Komodakis 2016) and ResNeXt (Xie et al. 2017)."""

from functools import partial

from resnet_jax.papers.facts import (
    CENTRE_CROP,
    CIFAR100,
    CIFAR_SGD,
    IMAGENET_SGD,
    ORIGINAL,
    PAD_FLIP,
    TORCH,
    Facts,
    counted,
    epochs,
    said,
)
from resnet_jax.papers.value import Table

_Z = "Zagoruyko & Komodakis 2016"
_ONE_VIEW = "{column} test, one 32x32 view"
_DATA = ("CIFAR-10", "CIFAR-100")
_wrn = partial(Table, paper="zagoruyko2016", statistic="median", runs=5)
_ZCA = "CIFAR-10 test, one 32x32 view, ZCA"
_T6 = {
    "WRN-16-4 without": (5.02, 24.03),
    "WRN-16-4 with dropout": (5.24, 23.91),
    "WRN-28-10 without": (4.00, 19.25),
    "WRN-28-10 with dropout": (3.89, 18.85),
    "WRN-52-1 without": (6.43, 29.89),
    "WRN-52-1 with dropout": (6.28, 29.78),
}
WIDE = (
    # Table 2: kernels of the branch at width 2; the label of the depth fixes the units
    *_wrn(table="T2", protocol=_ZCA).cells(
        ("B(1,3,1)", 6.06),
        ("B(3,1)", 5.78),
        ("B(1,3)", 6.42),
        ("B(3,1,1)", 5.86),
        ("B(3,3)", 5.73),
        ("B(3,1,3)", 5.78),
    ),
    # Table 3: convolutions per branch, WRN-40-2
    *_wrn(table="T3", protocol=_ZCA).cells(
        ("l=1", 6.69), ("l=2", 5.43), ("l=3", 5.65), ("l=4", 5.93)
    ),
    # Table 5: images normalised by mean and std, no dropout
    *_wrn(table="T5", protocol=_ONE_VIEW).grid(
        _DATA,
        {
            "WRN-40-4": (4.53, 21.18),
            "WRN-16-8": (4.27, 20.43),
            "WRN-28-10": (4.00, 19.25),
        },
    ),
    *_wrn(table="T6", protocol=_ONE_VIEW).grid(_DATA, _T6),
)

_X = "Xie et al. 2017"
_VIEW_224 = "ImageNet val, single crop 224"
# Table 3: top-1 error by template, and parameters
_T3 = {
    50: {
        "1x64d": (23.9, 25_557_032),
        "2x40d": (23.0, 25_425_000),
        "4x24d": (22.6, 25_292_968),
        "8x14d": (22.3, 25_603_016),
        "32x4d": (22.2, 25_028_904),
    },
    101: {
        "1x64d": (22.0, 44_549_160),
        "2x40d": (21.7, 44_456_296),
        "4x24d": (21.4, 44_363_432),
        "8x14d": (21.3, 45_104_328),
        "32x4d": (21.2, 44_177_704),
    },
}
GROUPED = (
    *(
        Table(paper="xie2017", table="T3", protocol=_VIEW_224).cell(
            f"ResNeXt-{depth}-{template}", error
        )
        for depth, nets in _T3.items()
        for template, (error, _) in nets.items()
    ),
    *Table(
        paper="xie2017", table="T7", statistic="mean", runs=10, protocol=_ONE_VIEW
    ).grid(
        _DATA, {"ResNeXt-29-8x64d": (3.65, 17.77), "ResNeXt-29-16x64d": (3.58, 17.31)}
    ),
)

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


# key: depth, width, parameters, further arguments of `_wide`
_WIDE = {
    # 6, 4 or 3 units per stage, whatever depth the label has
    "T2/B(1,3,1)": (58, 2, 1_429_082, {"kernels": (1, 3, 1)}),
    "T2/B(3,1)": (40, 2, 1_211_354, {"kernels": (3, 1)}),
    "T2/B(1,3)": (40, 2, 1_297_370, {"kernels": (1, 3)}),
    "T2/B(3,1,1)": (58, 2, 1_343_066, {"kernels": (3, 1, 1)}),
    "T2/B(3,3)": (28, 2, 1_467_610, {}),
    "T2/B(3,1,3)": (31, 2, 1_145_498, {"kernels": (3, 1, 3)}),
    **{f"T3/l={n}": (40, 2, 2_243_546, {"kernels": (3,) * n}) for n in (1, 2, 3, 4)},
    "T5/WRN-40-4/CIFAR-10": (40, 4, 8_949_210, {}),
    "T5/WRN-16-8/CIFAR-10": (16, 8, 10_961_370, {}),
    "T5/WRN-28-10/CIFAR-10": (28, 10, 36_479_194, {}),
    "T5/WRN-16-8/CIFAR-100": (16, 8, 11_007_540, {"classes": 100}),
    "T5/WRN-28-10/CIFAR-100": (28, 10, 36_536_884, {"classes": 100}),
    "T6/WRN-16-4 with dropout/CIFAR-10": (16, 4, 2_748_890, {"dropout": 0.3}),
    "T6/WRN-28-10 with dropout/CIFAR-10": (28, 10, 36_479_194, {"dropout": 0.3}),
    "T6/WRN-52-1 without/CIFAR-10": (52, 1, 758_362, {}),
    "T6/WRN-52-1 with dropout/CIFAR-10": (52, 1, 758_362, {"dropout": 0.3}),
}
NETWORKS: dict[str, Facts] = {
    f"zagoruyko2016/{key}": _wide(f"Table {key[1]}", depth, width, params, **more)
    for key, (depth, width, params, more) in _WIDE.items()
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
    for depth, nets in _T3.items()
    for template, (_, params) in nets.items()
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

_TORCH = TORCH | {"Nesterov": "nesterov"}
_CODE = "szagoruyko/wide-residual-networks"
_WRN_CIFAR = (
    said(
        f"{_Z}, Sec. 3",
        CIFAR_SGD
        | {
            "batch": 128,
            "learning rate": 0.1,
            "divided by": 5,
            "weight decay": 5e-4,
            "Nesterov": "nesterov",
        },
    )
    | epochs(f"{_Z}, Sec. 3", 200, (60, 120, 160))
    | said(
        _CODE,
        _TORCH
        | {
            "augmentation": "4-pixel reflect pad, crop, flip",
            "normalisation": "channel",
            "initialisation": "he_fan_in",
            "BatchNorm group": 128,
        },
        certainty="code",
    )
)
_XIE = "facebookresearch/ResNeXt"
_FB = said(
    _XIE,
    _TORCH | {"initialisation": "he_fan_out", "normalisation": "channel"},
    certainty="code",
)
_RESNEXT_CIFAR = (
    said(
        f"{_X}, Sec. 5.3",
        CIFAR_SGD
        | PAD_FLIP
        | {"batch": 128, "learning rate": 0.1, "weight decay": 5e-4},
    )
    | epochs(f"{_X}, Sec. 5.3", 300, (150, 225))
    | _FB
    | said(f"{_XIE}, 8 GPUs", {"BatchNorm group": 16}, certainty="code")
)
_RESNEXT_IMAGENET = (
    said(
        f"{_X}, Sec. 4",
        IMAGENET_SGD
        | CENTRE_CROP
        | {"batch": 256, "learning rate": 0.1, "weight decay": 1e-4},
    )
    | epochs(f"{_X}, Sec. 4; 100 epochs in the code", 100, (30, 60, 90))
    | _FB
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
    "zagoruyko2016/cifar100": _WRN_CIFAR | said(f"{_Z}, Sec. 3", CIFAR100),
    "xie2017/cifar": _RESNEXT_CIFAR,
    "xie2017/cifar100": _RESNEXT_CIFAR | said(f"{_X}, Sec. 5.3", CIFAR100),
    "xie2017/imagenet": _RESNEXT_IMAGENET,
}
