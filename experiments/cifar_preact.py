"""Pre-activation against original units on CIFAR-10 (He et al. 2016b, Table 3).

    python -m resnet_jax.main --config experiments/cifar_preact.py
    python -m resnet_jax.main --config experiments/cifar_preact.py:PreAct-1001

Recipe (appendix of the paper): 64k iterations of 128 images, learning rate 0.1 divided
by 10 at 32k and 48k, 0.01 for the first 400, momentum 0.9, weight decay 1e-4, flips and
4-pixel translations; BatchNorm over the 64 images of each of 2 GPUs. Every number is
the median of 5 runs: 4.92 % test error for PreAct-1001, 5.46 % for PreAct-164.

CIFAR-10 is read from --config.data.dir (default: the tfds folder), or downloaded.
"""

from resnet_jax.config import configured
from resnet_jax.config.recipes import HE2016_CIFAR, HE2016_DEVIATIONS, HE2016_WARMUP

BASE = HE2016_CIFAR | HE2016_WARMUP
BASIC = {"model.unit.branch": "basic", "model.unit.shortcut": "A"}
BOTTLENECK = {"model.unit.branch": "bottleneck", "model.unit.shortcut": "B"}
PRE = {"model.unit.order": "full_pre"}
ROWS = {
    "PreAct-164": BOTTLENECK | PRE | {"model.depth": 164},
    "PreAct-110": BASIC | PRE | {"model.depth": 110},
    "PreAct-1001": BOTTLENECK | PRE | {"model.depth": 1001},
    "ResNet-110": BASIC | {"model.depth": 110},
    "ResNet-164": BOTTLENECK | {"model.depth": 164},
    "ResNet-1001": BOTTLENECK | {"model.depth": 1001},
}
SEEDS = (0, 1, 2, 3, 4)
PAPER = {
    "PreAct-164": "he2016b/T3/ResNet-164/pre-activation",
    "PreAct-110": "he2016b/T3/ResNet-110/pre-activation",
    "PreAct-1001": "he2016b/T3/ResNet-1001/pre-activation",
    "ResNet-110": "he2016b/T3/ResNet-110/baseline",
    "ResNet-164": "he2016b/T3/ResNet-164/baseline",
    "ResNet-1001": "he2016b/T3/ResNet-1001/baseline",
}
RECIPE = "he2016b/cifar"
DEVIATIONS = HE2016_DEVIATIONS | {
    "model.unit.shortcut": {
        "PreAct-110": "type A, after the shared pre-activation as in fb.resnet.torch; "
        "the paper does not say",
    },
}


def get_config(row="PreAct-164"):
    return configured(BASE, ROWS, row)
