"""Rows of the founding papers' successors: stochastic depth's CIFAR rows (Huang et al.
2016) and SENet's ResNet rows (Hu et al. 2018, journal version)."""

from functools import partial

from resnet_jax.papers.value import Value

_SD = partial(Value, paper="huang2016", selection="best_val")


def _depth(row, *, constant, stochastic, data, table="T1", note=""):
    """Constant against stochastic depth: one run each, trained on 45k, tested at the
    epoch of the lowest validation error."""
    cell = partial(_SD, table=table, row=row, note=note)
    protocol = f"{data}, one view, tested at the lowest validation error (45k/5k)"
    return (
        cell(column="constant", top1_err=constant, protocol=protocol),
        cell(column="stochastic", top1_err=stochastic, protocol=protocol),
    )


STOCHASTIC_DEPTH = (
    *_depth(
        "ResNet-110 C10+",
        constant=6.41,
        stochastic=5.25,
        data="CIFAR-10 test",
        note="early arXiv versions print 5.23 for stochastic depth",
    ),
    *_depth(
        "ResNet-110 C100+",
        constant=27.76,
        stochastic=24.98,
        data="CIFAR-100 test",
        note="the running text has 27.22 for constant depth; early arXiv versions "
        "print 24.58 for stochastic depth",
    ),
    *_depth(
        "ResNet-110 C10",
        constant=13.63,
        stochastic=11.66,
        data="CIFAR-10 test, no augmentation",
        table="text",
    ),
    *_depth(
        "ResNet-110 C100",
        constant=44.74,
        stochastic=37.80,
        data="CIFAR-100 test, no augmentation",
        table="text",
    ),
    *_depth(
        "ResNet-1202 C10+",
        constant=6.67,
        stochastic=4.91,
        data="CIFAR-10 test",
        table="text",
    ),
)

IMAGENET = "ImageNet val, single crop 224, shorter side 256"


def _imagenet(row, *, original, again, squeezed):
    """A row of Table 2: the original figure, their re-implementation, and with SE."""
    cell = partial(Value, paper="hu2018", table="T2", row=row, protocol=IMAGENET)
    columns = {"original": original, "re-implementation": again, "SE": squeezed}
    return tuple(
        cell(
            column=column,
            top1_err=top1,
            top5_err=top5,
            origin="quoted" if column == "original" else "own",
        )
        for column, (top1, top5) in columns.items()
    )


def _cifar(row, *, table, data, original, squeezed):
    """A row of Tables 4 and 5: the baseline, and with SE."""
    cell = partial(Value, paper="hu2018", table=table, row=row, protocol=data)
    return (
        cell(
            column="original",
            top1_err=original,
            origin="quoted",
            note="equals the published figure of the pre-activation net",
        ),
        cell(column="SE", top1_err=squeezed),
    )


_C10 = partial(_cifar, table="T4", data="CIFAR-10 test, one 32x32 view")
_C100 = partial(_cifar, table="T5", data="CIFAR-100 test, one 32x32 view")

SQUEEZE_EXCITATION = (
    *_imagenet(
        "ResNet-50", original=(24.7, 7.8), again=(24.80, 7.48), squeezed=(23.29, 6.62)
    ),
    *_imagenet(
        "ResNet-101", original=(23.6, 7.1), again=(23.17, 6.52), squeezed=(22.38, 6.07)
    ),
    *_imagenet(
        "ResNet-152", original=(23.0, 6.7), again=(22.42, 6.34), squeezed=(21.57, 5.73)
    ),
    *_C10("ResNet-110", original=6.37, squeezed=5.21),
    *_C10("ResNet-164", original=5.46, squeezed=4.39),
    *_C100("ResNet-110", original=26.88, squeezed=23.85),
    *_C100("ResNet-164", original=24.33, squeezed=21.31),
)

VALUES = (*STOCHASTIC_DEPTH, *SQUEEZE_EXCITATION)
