"""Residual networks of the papers as functions to specs; each cites its table.

Fields of the unit beyond the branch (order, shortcut, gate, join) are keywords.
"""

from collections.abc import Mapping
from typing import TypeVar, Unpack

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.dropout import Noise
from resnet_jax.models.nets.resnet import ResNetSpec
from resnet_jax.models.nets.stem_head import CIFAR, IMAGENET, Stem
from resnet_jax.models.units.branch import BASIC, BOTTLENECK, B, Branch
from resnet_jax.models.units.unit import UnitFields, UnitSpec

Key = TypeVar("Key")
Entry = TypeVar("Entry")

# Units per stage: He et al. 2016a, Table 1; 200 from He et al. 2016b (released code).
IMAGENET_DEPTHS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}
MIXED = B((3, 1, 1, 1))


def lookup(field: str, value: Key, table: Mapping[Key, Entry]) -> Entry:
    """Entry of a table; ConfigError with the field and the choices if there is none."""
    if value not in table:
        raise ConfigError(f"model.{field}={value!r}: must be one of {(*table,)}")
    return table[value]


def units_per_stage(depth: int, *, layers: int, extra: int = 2, stages: int = 3) -> int:
    """n of the papers' depth rules, depth = (layers x stages) n + extra."""
    slope = layers * stages
    n, left = divmod(depth - extra, slope)
    if left or n < 1:
        example = slope * 18 + extra
        raise ConfigError(
            f"model.depth={depth}: must be {slope}n+{extra} (e.g. {example})"
        )
    return n


def scaled(widths: tuple[int, ...], k: int | float) -> tuple[int, ...]:
    """Widths times the widening factor k; all products must be whole."""
    wide = tuple(width * k for width in widths)
    if k <= 0 or any(w != round(w) for w in wide):
        raise ConfigError(f"model.width={k}: widths {wide} must be whole and positive")
    return tuple(round(w) for w in wide)


def cifar_resnet(
    depth: int,
    *,
    branch: Branch = BASIC,
    width: int | float = 1,
    **unit: Unpack[UnitFields],
) -> ResNetSpec:
    """6n+2 (basic), 9n+2 (bottleneck) or 3n+2 (single) layers for 32x32 images.

    He et al. 2016a, Sec. 4.2; 2016b, Sec. 4 and appendix. Widths 16, 32, 64, times 4
    with bottlenecks. ResNeXt-29 is the bottleneck net of width 4 (Xie et al. 2017).
    ConfigError for other depths, and where a width is not whole.
    """
    n = units_per_stage(depth, layers=len(branch.kernels))
    bottleneck = branch.kernels == BOTTLENECK.kernels
    widths = (64, 128, 256) if bottleneck else (16, 32, 64)
    return ResNetSpec(
        depths=(n,) * 3,
        widths=scaled(widths, width),
        unit=UnitSpec(branch, **unit),
        stem_width=scaled((16,), width)[0],
    )


def wide_resnet(
    depth: int,
    *,
    width: int | float = 1,
    kernels: tuple[int, ...] = (3, 3),
    noise: Noise | None = None,
    **unit: Unpack[UnitFields],
) -> ResNetSpec:
    """WRN-depth-width of B(kernels): 3 l n + 4 layers, l per branch, for 32x32 images.

    Zagoruyko & Komodakis 2016, Table 1; depth counts the stem and three projections.
    Dropout is before a branch's last convolution (Table 6). The stem has 16 channels
    for any width. At width 1 the first stage has no projection: its identity takes the
    stem's output without norm (released code). ConfigError for other depths, and where
    a width is not whole.
    """
    n = units_per_stage(depth, layers=len(kernels), extra=4)
    return ResNetSpec(
        depths=(n,) * 3,
        widths=scaled((16, 32, 64), width),
        unit=UnitSpec(B(kernels, noise=noise), **unit),
        stem=Stem(steps=()) if width == 1 else CIFAR,
    )


def plain(
    depth: int, *, width: int | float = 1, **unit: Unpack[UnitFields]
) -> ResNetSpec:
    """Stem, units of one 3x3 and three 1x1 convolutions in three stages, fc: 4n+2.

    For the 22 and 30 layers of He et al. 2015, Fig. 2 and 3, without norms; like their
    nets these widen (16, 32, 64) and subsample. Their theory neglects zero padding: on
    maps of 8x8, 4x4 and 2x2 pixels it multiplies the variance after a 3x3 layer by
    0.84, 0.69 and 0.44. Hence the 1x1. ConfigError for other depths, for shortcuts, and
    where a width is not whole.
    """
    if "branch" in unit or unit.get("shortcut") != "none":
        raise ConfigError(
            "plain: has a fixed branch and no shortcuts; leave out `branch` and give "
            "shortcut='none'"
        )
    n = units_per_stage(depth, layers=len(MIXED.kernels), stages=1)
    if n < 3:
        raise ConfigError(f"model.depth={depth}: must be at least 14 (e.g. 22)")
    widths = scaled((16, 32, 64), width)
    return ResNetSpec(
        depths=(n // 3, (n + 1) // 3, (n + 2) // 3),
        widths=widths,
        unit=UnitSpec(MIXED, **unit),
        stem_width=widths[0],
    )


def imagenet_resnet(
    depth: int,
    *,
    branch: Branch | None = None,
    width: int | float = 1,
    **unit: Unpack[UnitFields],
) -> ResNetSpec:
    """ResNet-18 ... 200 for 224x224 images (He et al. 2016a, Table 1).

    Basic units below 50 layers, bottlenecks from 50 on, unless `branch` says otherwise.
    Wide nets have the stem's 64 channels, too (Zagoruyko & Komodakis 2016). ConfigError
    for other depths, and where a width is not whole.
    """
    depths = lookup("depth", depth, IMAGENET_DEPTHS)
    branch = branch or (BASIC if depth < 50 else BOTTLENECK)
    expansion = 4 if len(branch.kernels) == 3 else 1
    return ResNetSpec(
        depths=depths,
        widths=scaled(tuple(expansion * w for w in (64, 128, 256, 512)), width),
        unit=UnitSpec(branch, **unit),
        stem=IMAGENET,
        stem_width=scaled((64,), min(width, 1))[0],
        num_classes=1000,
    )
