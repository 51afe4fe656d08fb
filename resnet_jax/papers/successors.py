"""Stochastic depth (Huang et al. 2016), and SENet (Hu et al. 2018, journal version)."""

from resnet_jax.papers.value import Table, Value

_Errors = tuple[float, float]
_C10, _C100 = "CIFAR-10 test", "CIFAR-100 test"
_PLAIN = "no augmentation"


def _depth(
    row: str,
    constant: float,
    stochastic: float,
    *,
    table: str,
    data: str,
    note: str = "",
) -> tuple[Value, ...]:
    """A row: constant and stochastic depth, one run each, trained on 45k images."""
    protocol = f"{data}, one view, tested at the lowest validation error (45k/5k)"
    return Table(
        paper="huang2016", table=table, selection="best_val", protocol=protocol
    ).grid(("constant", "stochastic"), {row: (constant, stochastic)}, note=note)


STOCHASTIC_DEPTH = (
    *_depth(
        "ResNet-110 C10+", 6.41, 5.25, data=_C10, table="T1",
        note="early arXiv versions print 5.23 for stochastic depth",
    ),
    *_depth(
        "ResNet-110 C100+", 27.76, 24.98, data=_C100, table="T1",
        note="the running text has 27.22 for constant depth; early arXiv versions "
        "print 24.58 for stochastic depth",
    ),
    *_depth("ResNet-110 C10", 13.63, 11.66, data=f"{_C10}, {_PLAIN}", table="text"),
    *_depth("ResNet-110 C100", 44.74, 37.80, data=f"{_C100}, {_PLAIN}", table="text"),
    *_depth("ResNet-1202 C10+", 6.67, 4.91, data=_C10, table="text"),
)  # fmt: skip

_T2 = Table(
    paper="hu2018",
    table="T2",
    protocol="ImageNet val, single crop 224, shorter side 256",
)


def _imagenet(
    row: str, original: _Errors, again: _Errors, squeezed: _Errors
) -> tuple[Value, ...]:
    """A row of Table 2: the original figure, the re-implementation, and SE."""
    return (
        _T2.quoted.cell(row, *original, column="original"),
        _T2.cell(row, *again, column="re-implementation"),
        _T2.cell(row, *squeezed, column="SE"),
    )


def _cifar(
    table: str, data: str, row: str, original: float, squeezed: float
) -> tuple[Value, ...]:
    """A row of Table 4 or 5: the baseline, and SE."""
    cells = Table(paper="hu2018", table=table, protocol=f"{data}, one 32x32 view")
    note = "equals the published figure of the pre-activation net"
    return (
        cells.quoted.cell(row, original, column="original", note=note),
        cells.cell(row, squeezed, column="SE"),
    )


SQUEEZE_EXCITATION = (
    *_imagenet("ResNet-50", (24.7, 7.8), (24.80, 7.48), (23.29, 6.62)),
    *_imagenet("ResNet-101", (23.6, 7.1), (23.17, 6.52), (22.38, 6.07)),
    *_imagenet("ResNet-152", (23.0, 6.7), (22.42, 6.34), (21.57, 5.73)),
    *_cifar("T4", _C10, "ResNet-110", 6.37, 5.21),
    *_cifar("T4", _C10, "ResNet-164", 5.46, 4.39),
    *_cifar("T5", _C100, "ResNet-110", 26.88, 23.85),
    *_cifar("T5", _C100, "ResNet-164", 24.33, 21.31),
)

VALUES = (*STOCHASTIC_DEPTH, *SQUEEZE_EXCITATION)
