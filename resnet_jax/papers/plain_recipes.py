"""Recipes of the plain nets: All-CNN, NIN, PReLU's small nets, SPP-net, VGG."""

from resnet_jax.papers.facts import (
    ALL_BUT_SLOPES,
    CIFAR100,
    CIFAR_SGD,
    IMAGENET_DATA,
    PAD_FLIP_CHANNEL,
    TEN_CROPS,
    Facts,
    epochs,
    said,
    silent,
)

_SPRINGENBERG = said(
    "Springenberg et al. 2015, Sec. 3",
    CIFAR_SGD
    | {
        "learning rate": "the best of 0.25, 0.1, 0.05, 0.01",
        "weight decay": 1e-3,
        "augmentation": "none",
        "normalisation": "global contrast, ZCA",
    },
    certainty="known",
) | silent("batch", "initialisation")
_SPRINGENBERG |= epochs(
    "Springenberg et al. 2015, Sec. 3", 350, (200, 250, 300), certainty="known"
)
_LIN = (
    said(
        "Lin et al. 2014, Sec. 4.1",
        CIFAR_SGD
        | {
            "drops at": "twice, where the training error stalls",
            "augmentation": "none",
            "normalisation": "global contrast, ZCA",
        },
    )
    | said("Lin et al. 2014", {"batch": 128}, certainty="known")
    | said(
        "mavenlin/cuda-convnet",
        {"weight decay": 1e-5, "momentum": 0.9, "initialisation": "N(0, 0.05)"},
        certainty="code",
    )
    | silent("iterations", "learning rate")
)
_E_SMALL = said(
    "He et al. 2015, Sec. 4",
    IMAGENET_DATA
    | TEN_CROPS
    | {
        "optimizer": "sgd",
        "augmentation": "shorter side 256, crop 224, flip",
        "initialisation": "he_fan_out",
    },
)
_E_SMALL |= epochs("He et al. 2015, Sec. 4", 75)
_E_SMALL |= said(
    "He & Sun 2015, recalled",
    {"learning rate": 0.01, "batch": 128, "weight decay": 5e-4, "momentum": 0.9},
    certainty="unsure",
) | said("slopes do not decay", {"decayed parameters": ALL_BUT_SLOPES})

_P = "He et al. 2014, Sec. 3.1"
_HE2014 = (
    said(
        _P,
        IMAGENET_DATA
        | TEN_CROPS
        | {
            "optimizer": "sgd",
            "learning rate": 0.01,
            "divided by": 10,
            "drops at": "twice, where the error plateaus",
            "augmentation": "shorter side 256, centre or corner crop 224, flip, "
            "AlexNet colours",
            "normalisation": "pixel_mean",
        },
    )
    | epochs(_P, 70)
    | said("ShaoqingRen/SPP_net", {"initialisation": "N(0, 0.01)"}, certainty="code")
    | silent("batch", "momentum", "weight decay")
)
_U = "Liu et al. 2017, Sec. 4.2"
_LIU = said(
    _U,
    CIFAR_SGD
    | PAD_FLIP_CHANNEL
    | {
        "batch": 64,
        "learning rate": 0.1,
        "weight decay": 1e-4,
        "Nesterov": "nesterov",
        "dampening": 0.0,
    },
) | epochs(_U, 160, (80, 120))
_LIU |= said(
    f"{_U}: He et al. 2015", {"initialisation": "he_fan_in"}, certainty="unsure"
)

RECIPES: dict[str, Facts] = {
    "springenberg2015/cifar": _SPRINGENBERG,
    "springenberg2015/cifar/augmented": _SPRINGENBERG
    | said(
        "Springenberg et al. 2015",
        {"augmentation": "5 pixels, flip"},
        certainty="known",
    ),
    "lin2014/cifar": _LIN,
    "lin2014/cifar/augmented": _LIN
    | said("Lin et al. 2014, Sec. 4.2", {"augmentation": "translation, flip"}),
    "lin2014/cifar100": _LIN
    | said("Lin et al. 2014, Sec. 4.3", CIFAR100)
    | said("mavenlin/cuda-convnet", {"weight decay": 1e-3}, certainty="code"),
    "he2014/imagenet": _HE2014,
    "he2015/imagenet/small": _E_SMALL,
    "liu2017/cifar": _LIU,
    "liu2017/cifar100": _LIU | said(_U, CIFAR100),
}
