"""Depth with and without shortcuts on CIFAR-10 (He et al. 2016a, Table 6 and Fig. 6).

    python -m resnet_jax.main --config experiments/cifar_resnet.py:ResNet-110

Recipe (Sec. 4.2): 64k iterations of 128 images, learning rate 0.1 divided by 10 at 32k
and 48k, momentum 0.9, weight decay 1e-4, flips and 4-pixel translations, per-pixel mean
subtracted; shortcuts of type A, so that plain and residual nets have equal parameters.
ResNet-110 starts at 0.01 for about 400 iterations. BatchNorm over the 64 images of each
of 2 GPUs. One run per row, but best (mean ± std) of 5 for ResNet-110: 6.43
(6.61 ± 0.16). The plain nets are in a figure only; plain-110 has more than 60 % error.
"""

from resnet_jax.config import configured
from resnet_jax.config.recipes import HE2016_CIFAR, HE2016_DEVIATIONS, HE2016_WARMUP

BASE = HE2016_CIFAR | {
    "model.unit.branch": "basic",
    "model.unit.shortcut": "A",
}
PLAIN = {"model.unit.shortcut": "none"}
ROWS = {
    "ResNet-20": {"model.depth": 20},
    "ResNet-32": {"model.depth": 32},
    "ResNet-44": {"model.depth": 44},
    "ResNet-56": {"model.depth": 56},
    "ResNet-110": {"model.depth": 110} | HE2016_WARMUP,
    "ResNet-1202": {"model.depth": 1202},
    "plain-20": PLAIN | {"model.depth": 20},
    "plain-32": PLAIN | {"model.depth": 32},
    "plain-44": PLAIN | {"model.depth": 44},
    "plain-56": PLAIN | {"model.depth": 56},
    "plain-110": PLAIN | {"model.depth": 110},
}
SEEDS = (0, 1, 2, 3, 4)
PAPER = {row: f"he2016a/T6/{row}" for row in ROWS if row.startswith("ResNet")}
NETWORK = {row: f"he2016a/Fig6/{row}" for row in ROWS if row.startswith("plain")}
RECIPE = dict.fromkeys(ROWS, "he2016a/cifar") | {"ResNet-110": "he2016a/cifar/110"}
DEVIATIONS = HE2016_DEVIATIONS | {
    "optim.warmup": "until the training error falls below 80 %, about 400 iterations",
}


def get_config(row="ResNet-20"):
    return configured(BASE, ROWS, row)
