"""Five orders of the same parts: CIFAR-10, 110 and 164 layers (He et al. 2016b, T. 2).

    python -m resnet_jax.main --config experiments/activation_order.py:full-pre-110

Basic units with type A shortcuts at 110 layers, bottlenecks with type B at 164. Recipe
as in cifar_preact.py. Medians of 5 runs: 6.61 / 5.93 % for the original order, 6.37 /
5.46 % for full pre-activation.
"""

from resnet_jax.config import configured
from resnet_jax.config.recipes import HE2016_CIFAR, HE2016_DEVIATIONS, HE2016_WARMUP

BASE = HE2016_CIFAR | HE2016_WARMUP
DEPTHS = {
    110: {"model.unit.branch": "basic", "model.unit.shortcut": "A"},
    164: {"model.unit.branch": "bottleneck", "model.unit.shortcut": "B"},
}
ORDERS = {  # row: (value of the field, name in the paper)
    "original": ("original", "original"),
    "norm-after-addition": ("norm_after_addition", "BN after addition"),
    "relu-before-addition": ("relu_before_addition", "ReLU before addition"),
    "relu-only-pre": ("relu_only_pre", "ReLU-only pre-activation"),
    "full-pre": ("full_pre", "full pre-activation"),
}
ROWS = {
    f"{order}-{depth}": unit | {"model.depth": depth, "model.unit.order": field}
    for depth, unit in DEPTHS.items()
    for order, (field, _) in ORDERS.items()
}
SEEDS = (0, 1, 2, 3, 4)
PAPER = {
    f"{order}-{depth}": f"he2016b/T2/{name}/ResNet-{depth}"
    for depth in DEPTHS
    for order, (_, name) in ORDERS.items()
}
RECIPE = "he2016b/cifar"
DEVIATIONS = HE2016_DEVIATIONS | {
    "model.unit.shortcut": {
        "*-pre-110": "type A, after the shared pre-activation as in fb.resnet.torch; "
        "the paper does not say",
        "*-addition-164": "projections end with a norm where branches do; the paper "
        "does not say",
        "relu-only-pre-164": "projections end with a norm, as branches do; the paper "
        "does not say",
    },
}


def get_config(row="full-pre-110"):
    return configured(BASE, ROWS, row)
