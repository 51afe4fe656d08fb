"""Training recipes of He et al. 2015 to 2016b, Huang et al. 2016, Hu et al. 2018."""

from resnet_jax.papers.facts import (
    ALL_BUT_SLOPES,
    CENTRE_CROP,
    CIFAR100,
    CIFAR_SGD,
    IMAGENET_SGD,
    KERNELS,
    PAD_FLIP,
    PAD_FLIP_CHANNEL,
    TEN_CROPS,
    TORCH,
    WARMUP,
    Facts,
    epochs,
    said,
    silent,
)

CAFFE = "README of KaimingHe/deep-residual-networks"
RELEASED = "KaimingHe/resnet-1k-layers"
DECAY = "not stated; README of fb.resnet.torch says so of the original"
FAN_OUT = "as in He et al. 2015, which trains with the fan_out form (Sec. 2.2)"

_CAFFE_SGD = said(
    CAFFE, {"momentum dialect": "caffe", "dampening": 0.0}, certainty="code"
)
_UNSURE = (
    said(DECAY, {"decayed parameters": KERNELS}, certainty="unsure")
    | said("Caffe's arithmetic", {"arithmetic": "float32"}, certainty="known")
    | silent("running statistics")
)

_HE2016A = _CAFFE_SGD | _UNSURE
_A42 = "He et al. 2016a, Sec. 4.2"
HE2016A_CIFAR = (
    _HE2016A
    | said(
        _A42,
        CIFAR_SGD
        | PAD_FLIP
        | {
            "batch": 128,
            "learning rate": 0.1,
            "drops at": (32_000, 48_000),
            "iterations": 64_000,
            "Nesterov": "none",
            "weight decay": 1e-4,
            "normalisation": "pixel_mean",
        },
    )
    | said(_A42 + ", 2 GPUs", {"BatchNorm group": 64}, certainty="derived")
    | said(f"{_A42}, {FAN_OUT}", {"initialisation": "he_fan_out"})
)
HE2016A_CIFAR_110 = HE2016A_CIFAR | said(
    _A42,
    WARMUP | {"warm-up": "until the training error is below 80 % (about 400)"},
)

_A34 = "He et al. 2016a, Sec. 3.4"
HE2016A_IMAGENET = (
    _HE2016A
    | said(
        _A34,
        IMAGENET_SGD
        | TEN_CROPS
        | {
            "batch": 256,
            "learning rate": 0.1,
            "drops at": "where the error plateaus",
            "iterations": 600_000,
            "Nesterov": "none",
            "weight decay": 1e-4,
            "augmentation": "shorter side 256 to 480, crop 224, flip, AlexNet colours",
            "normalisation": "pixel_mean",
        },
    )
    | said(CAFFE + ", 8 GPUs", {"BatchNorm group": 32}, certainty="code")
    | said(f"{_A34}, {FAN_OUT}", {"initialisation": "he_fan_out"})
)

_B = "He et al. 2016b, appendix"
HE2016B_CIFAR = (
    HE2016A_CIFAR
    | said(f"README of {RELEASED}", {"momentum dialect": "caffe"}, certainty="code")
    | said(
        _B,
        WARMUP
        | PAD_FLIP
        | {
            "batch": 128,
            "learning rate": 0.1,
            "drops at": (32_000, 48_000),
            "BatchNorm group": 64,
            "weight decay": 1e-4,
            "momentum": 0.9,
        },
    )
    | said(_B + ", as in 2016a", {"normalisation": "pixel_mean"}, certainty="known")
)
HE2016B_CIFAR100 = HE2016B_CIFAR | said(_B, CIFAR100)
HE2016B_IMAGENET = (
    HE2016A_IMAGENET
    | said(_B, {"BatchNorm group": 32})
    | said(_B, {"drops at": (30, 60)}, unit="epochs")
    | said(
        "He et al. 2016b, Table 5",
        {"evaluation": "centre crop of 320, shorter side 320"},
    )
    | silent("iterations", source="the number of epochs is not stated")
)

_LUA = f"{RELEASED}, with fb.resnet.torch"
_TORCH = TORCH | {"Nesterov": "nesterov", "weight decay": 1e-4}
HE2016B_RELEASED = (
    _UNSURE
    | said(
        _LUA,
        CIFAR_SGD
        | _TORCH
        | PAD_FLIP_CHANNEL
        | {
            "batch": 64,
            "BatchNorm group": 32,
            "learning rate": 0.1,
            "initialisation": "he_fan_out",
        },
        certainty="code",
    )
    | epochs(_LUA, 200, (80, 121), certainty="code")
)

_L = "He et al. 2015, Sec. 3"
HE2015_IMAGENET = (
    _CAFFE_SGD
    | said(
        _L,
        IMAGENET_SGD
        | TEN_CROPS
        | {
            "batch": 128,
            "learning rate": 0.01,
            "drops at": "where the error plateaus",
            "Nesterov": "none",
            "weight decay": 5e-4,
            "augmentation": "shorter side 256 to 512, crop 224, flip, AlexNet colours",
            "normalisation": "pixel_mean",
            "initialisation": "he_fan_out",
        },
    )
    | said("Caffe's SGD", {"momentum dialect": "caffe"}, certainty="known")
    | epochs("about", 80, certainty="unsure")
    | said(
        f"{_L}: slopes do not decay; nothing else is named",
        {"decayed parameters": ALL_BUT_SLOPES},
        certainty="unsure",
    )
)

_S = "Huang et al. 2016, Sec. 4"
_SD = "yueatsprograms/Stochastic_Depth"
HUANG2016_CIFAR = (
    _UNSURE
    | said(
        _S,
        CIFAR_SGD
        | PAD_FLIP
        | {"training images": 45_000, "batch": 128, "learning rate": 0.1},
    )
    | epochs(_S, 500, (250, 375))
    | said(
        _SD,
        _TORCH | {"normalisation": "pixel_mean, then one std for all"},
        certainty="code",
    )
    | said(_SD, {"initialisation": "he_fan_in"}, certainty="known")
    | silent("BatchNorm group")
)
HUANG2016_CIFAR100 = HUANG2016_CIFAR | said(_S, CIFAR100)
HUANG2016_CIFAR_1202 = (
    HUANG2016_CIFAR
    | said(_S, WARMUP)
    | epochs(_S, 300, (150, 225))
    | said(_S, {"warm-up": 10}, unit="epochs")
)

_H = "Hu et al. 2018, Sec. 5"
HU2018_IMAGENET = (
    _UNSURE
    | said(
        _H,
        IMAGENET_SGD
        | CENTRE_CROP
        | {
            "batch": 1024,
            "learning rate": 0.6,
            "Nesterov": "none",
            "augmentation": "random area and aspect, crop 224, flip",
        },
    )
    | said(
        f"{_H}: He et al. 2015, either form",
        {"initialisation": "he_fan_out"},
        certainty="unsure",
    )
    | epochs(_H, 100, (30, 60, 90))
    | said("a mean is subtracted", {"normalisation": "channel"}, certainty="unsure")
    | silent("weight decay", "BatchNorm group", "momentum dialect")
)

RECIPES: dict[str, Facts] = {
    "he2015/imagenet": HE2015_IMAGENET,
    "he2016a/cifar": HE2016A_CIFAR,
    "he2016a/cifar/110": HE2016A_CIFAR_110,
    "he2016a/imagenet": HE2016A_IMAGENET,
    "he2016b/cifar": HE2016B_CIFAR,
    "he2016b/cifar100": HE2016B_CIFAR100,
    "he2016b/imagenet": HE2016B_IMAGENET,
    "he2016b/released": HE2016B_RELEASED,
    "huang2016/cifar": HUANG2016_CIFAR,
    "huang2016/cifar100": HUANG2016_CIFAR100,
    "huang2016/cifar/1202": HUANG2016_CIFAR_1202,
    "hu2018/imagenet": HU2018_IMAGENET,
}
