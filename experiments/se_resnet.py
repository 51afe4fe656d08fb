"""Squeeze and excitation on CIFAR and ImageNet (Hu et al. 2018, Tables 2, 4 and 5).

    python -m resnet_jax.main --config experiments/se_resnet.py:SE-ResNet-110

4.39 % test error on CIFAR-10 for the pre-activation net of 164 layers with SE, 5.46 %
without. The paper does not state its recipe for CIFAR; this is the recipe of the
baselines that it quotes. The places of the gate (pre, post, identity) are its ablation.
"""

from resnet_jax.config import configured
from resnet_jax.config.recipes import HE2016_CIFAR, HE2016_WARMUP

BASE = HE2016_CIFAR | HE2016_WARMUP | {"model.unit.order": "full_pre"}
SE = {"model.unit.gate": "se"}
BASIC = {"model.depth": 110, "model.unit.shortcut": "A"}
BOTTLENECK = {"model.depth": 164, "model.unit.branch": "bottleneck"}
ROWS = {
    "SE-ResNet-110": BASIC | SE,
    "SE-ResNet-164": BOTTLENECK | SE,
    **{
        f"SE-ResNet-164-{place}": BOTTLENECK | SE | {"model.unit.gate.place": place}
        for place in ("pre", "post", "identity")
    },
    "ResNet-110": BASIC,
    "ResNet-164": BOTTLENECK,
}
SEEDS = (0,)
PAPER = {
    "SE-ResNet-110": "hu2018/T4/ResNet-110/SE",
    "SE-ResNet-164": "hu2018/T4/ResNet-164/SE",
    "ResNet-110": "hu2018/T4/ResNet-110/original",
    "ResNet-164": "hu2018/T4/ResNet-164/original",
}
DEVIATIONS = {}


def get_config(row="SE-ResNet-164"):
    return configured(BASE, ROWS, row)
