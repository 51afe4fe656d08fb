"""Plain nets of the papers as functions to specs; each cites its table.

Most are published without norms: `Layers.norm` is then a bias.
"""

import dataclasses
from typing import Literal

from resnet_jax.models.layers.layers import LayersSpec
from resnet_jax.models.layers.pyramid import SPP, Levels
from resnet_jax.models.nets.plain import (
    FC,
    LRN,
    Conv,
    Drop,
    Flatten,
    MaxPool,
    Mean,
    PlainSpec,
    Record,
    Towers,
)
from resnet_jax.models.zoo.resnets import lookup

NO_NORM = LayersSpec(norm=None)
OVERLAPPING = MaxPool(3, 2, "up")


def nin(*, width: int | float = 1) -> PlainSpec:
    """Network in Network for 32x32 images (Lin et al. 2014; mavenlin/cuda-convnet).

    Both pools are max pools, and a rectifier follows the last convolution, too.
    ConfigError where a width is not whole.
    """

    def mlpconv(kernel, first, second, third):
        return Conv(first, kernel), Conv(second, 1), Conv(third, 1)

    records = (
        *mlpconv(5, 192, 160, 96), OVERLAPPING, Drop(0.5),
        *mlpconv(5, 192, 192, 192), OVERLAPPING, Drop(0.5),
        *mlpconv(3, 192, 192, None), Mean(),
    )  # fmt: skip
    return PlainSpec(records=records, layers=NO_NORM).widened(width)


KERNELS = {"A": (5,), "B": (5, 1), "C": (3, 3)}
VARIANTS = {
    f"{form}-{letter}".strip("-"): (form, kernels)
    for form in ("", "Strided", "ConvPool", "All-CNN")
    for letter, kernels in KERNELS.items()
}


def all_cnn(
    variant: str = "All-CNN-C",
    *,
    size: Literal["cifar", "digits"] = "cifar",
    width: int | float = 1,
) -> PlainSpec:
    """A, B, C and their Strided, ConvPool and All-CNN forms (Springenberg et al. 2015).

    Tables 1 and 2. The 3x3 after the second pool is unpadded, 8 to 6 pixels: the paper
    averages over 6x6; reproductions disagree. `cifar` is for 32x32 images; `digits`,
    ours: padded, for 8x8. ConfigError for other variants and sizes, and where a width
    is not whole.
    """
    form, kernels = lookup("variant", variant, VARIANTS)

    def stage(features):
        convs = [Conv(features, kernel) for kernel in kernels]
        if form == "Strided":
            convs[-1] = Conv(features, kernels[-1], strides=2)
        elif form:
            convs.append(Conv(features, strides=2 if form == "All-CNN" else 1))
        pools = () if form in ("Strided", "All-CNN") else (OVERLAPPING,)
        return *convs, *pools, Drop(0.5)

    padding = lookup("size", size, {"cifar": 0, "digits": None})
    records = (
        Drop(0.2), *stage(96), *stage(192),
        Conv(192, padding=padding), Conv(192, 1), Conv(None, 1), Mean(),
    )  # fmt: skip
    return PlainSpec(records=records, layers=NO_NORM).widened(width)


VGG_DEPTHS = {
    7: (2, 2, 2),  # ours, for 8x8 images
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
VGG_HIDDEN = {"imagenet": (4096, 4096), "cifar": (512,), "digits": ()}
VGG_ENDS = {"fc": (MaxPool(), Flatten()), "mean": (Mean(),)}


def vgg(
    depth: int,
    *,
    size: Literal["imagenet", "cifar", "digits"] = "imagenet",
    variant: Literal["fc", "mean"] = "fc",
    levels: Levels = (),
    width: int | float = 1,
) -> PlainSpec:
    """Stages of 3x3 convolutions, a 2x2 pool after each (Simonyan & Zisserman 2015).

    `cifar` has norms and one hidden layer of 512 (VGG-16 of Han et al. 2020). `mean`
    ends with global average pooling and the classifier (VGG-19 of Liu et al. 2017).
    `levels` replace the last pool by a pyramid. The depth is that of the ImageNet net:
    for CIFAR, VGG-16 has 15 weighted layers, VGG-19 of variant `mean` 17. Images are of
    224x224, 32x32 or 8x8 pixels (`digits`, ours). ConfigError for other depths, sizes
    and variants, and where a width is not whole.
    """
    stages = lookup("depth", depth, VGG_DEPTHS)
    hidden = lookup("size", size, VGG_HIDDEN)
    end = lookup("variant", variant, VGG_ENDS)
    records = []
    for number, convs in enumerate(stages):
        records += [MaxPool()] * (number > 0)
        records += [Conv(64 * 2 ** min(number, 3))] * convs
    records += (SPP(levels),) if levels else end
    for features in hidden if variant == "fc" else ():
        records += [FC(features), *[Drop(0.5)] * (size == "imagenet")]
    spec = PlainSpec(
        records=(*records, FC(None, ())),
        layers=NO_NORM if size == "imagenet" else LayersSpec(),
        num_classes=1000 if size == "imagenet" else 10,
    )
    return spec.widened(width)


def _imagenet(*records: Record, std: tuple[float, float, float]) -> PlainSpec:
    """Records followed by a classifier of 4096, 4096, 1000 with dropout."""
    first, second, last = std
    classifier = (FC(4096, std=first), Drop(0.5), FC(4096, std=second), Drop(0.5))
    return PlainSpec(
        records=(*records, *classifier, FC(None, (), std=last)),
        layers=NO_NORM,
        num_classes=1000,
    )


HE2015_STD = (0.01, 0.01, 0.001)  # of the fully connected kernels, Sec. 2.2


def prelu_small(depth: int, *, width: int | float = 1) -> PlainSpec:
    """14 or 30 layers for 224x224 images (He et al. 2015, Table 1).

    14 layers are model E of He & Sun 2015. Maps of 109, 36 and 18 pixels. How the 2x2
    convolutions are padded is not published; here by one pixel on the far sides, which
    preserves the size. ConfigError for other depths, and where a width is not whole.
    """
    last_convs = lookup("depth", depth, {14: 6, 30: 22})
    return _imagenet(
        Conv(64, 7, strides=2, padding=0), MaxPool(3, 3),
        *[Conv(128, 2)] * 4, MaxPool(),
        *[Conv(256, 2)] * last_convs, SPP((6, 3, 2, 1)),
        std=HE2015_STD,
    ).widened(width)  # fmt: skip


PRELU_LARGE = {
    "A": (5, (256, 512, 512)),
    "B": (6, (256, 512, 512)),
    "C": (6, (384, 768, 896)),
}


def prelu_large(
    variant: Literal["A", "B", "C"], *, width: int | float = 1
) -> PlainSpec:
    """Models A (19 layers), B and C (22) of He et al. 2015, Table 3.

    For 224x224 images. ConfigError for other variants, and where a width is not whole.
    """
    convs, (first, second, third) = lookup("variant", variant, PRELU_LARGE)
    return _imagenet(
        Conv(96, 7, strides=2), MaxPool(),
        *[Conv(first)] * convs, MaxPool(),
        *[Conv(second)] * convs, MaxPool(),
        *[Conv(third)] * convs, SPP((7, 3, 2, 1)),
        std=HE2015_STD,
    ).widened(width)  # fmt: skip


def spp_net(*, levels: Levels = (1, 2, 3, 6), width: int | float = 1) -> PlainSpec:
    """ZF-5 of He et al. 2014, Table 1 (ShaoqingRen/SPP_net); no levels: a 3x3 pool.

    With a pyramid, images of any size; levels 1, 2, 3, 6 are the paper's 50 bins, 1, 2,
    3, 4 its 30. Convnet*-5 and the Overfeat nets are missing: their padding is unknown.
    ConfigError where a width is not whole, and for images that are too small.
    """
    end = (SPP(levels),) if levels else (MaxPool(3, 2), Flatten())
    return _imagenet(
        Conv(96, 7, strides=2, padding=1), LRN(), OVERLAPPING,
        Conv(256, 5, strides=2, padding=0), LRN(), OVERLAPPING,
        Conv(384), Conv(384), Conv(256), *end,
        std=(0.01, 0.01, 0.01),
    ).widened(width)  # fmt: skip


def places2(*, size: str = "imagenet", width: int | float = 1) -> PlainSpec:
    """Model B of Shen et al. 2016: blocks of three towers (released prototxt).

    `digits`, ours, for 8x8 images: one block in place of four, no pool after the first
    convolution, no hidden layers. The paper's is for 224x224. ConfigError for other
    sizes, and where a width is not whole.
    """
    blocks = lookup("size", size, {"imagenet": 4, "digits": 1})

    def towers(width):
        one, two, three = (Conv(width, 1),), (Conv(width),), (Conv(2 * width),) * 2
        return (Towers((one, two, three)),) * blocks

    body = (*towers(64), MaxPool(), *towers(128), MaxPool(), *towers(128))
    if size == "digits":
        records = (Conv(128), *body, SPP((2, 1)), FC(None, ()))
        return PlainSpec(records=records, layers=NO_NORM).widened(width)
    stem, std = (Conv(128, 7, strides=2), MaxPool()), (0.01, 0.01, 0.01)
    spec = _imagenet(*stem, *body, SPP((7, 3, 2, 1)), std=std).widened(width)
    return dataclasses.replace(spec, num_classes=401)
