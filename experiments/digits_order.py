"""The orders of He et al. 2016b, Table 2, at 56 layers on handwritten digits.

    python -m resnet_jax.sweep --config experiments/digits_order.py

The rows of activation_order.py with a small net (widths 8, 16, 32) and a short
schedule. Not a figure of the paper.
"""

from resnet_jax.config import configured
from resnet_jax.config.recipes import DIGITS

BASE = DIGITS | {
    "model.depth": 56,
    "model.width": 0.5,
    "model.unit.shortcut": "A",
}
ROWS = {
    "original": {"model.unit.order": "original"},
    "norm-after-addition": {"model.unit.order": "norm_after_addition"},
    "relu-before-addition": {"model.unit.order": "relu_before_addition"},
    "relu-only-pre": {"model.unit.order": "relu_only_pre"},
    "full-pre": {"model.unit.order": "full_pre"},
}
SEEDS = (0, 1, 2)
PAPER = {}


def get_config(row="full-pre"):
    return configured(BASE, ROWS, row)
