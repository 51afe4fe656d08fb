"""Depth, plain against residual (He et al. 2016a, Fig. 6), on handwritten digits.

    python -m resnet_jax.sweep --config experiments/digits_depth.py

Small nets (widths 8, 16, 32) and a short schedule. Not a figure of the paper.
"""

from resnet_jax.config import configured
from resnet_jax.config.recipes import DIGITS

BASE = DIGITS | {"model.width": 0.5}
PLAIN, RESIDUAL = {"model.unit.shortcut": "none"}, {"model.unit.shortcut": "A"}
DEPTHS = (8, 20, 56)
ROWS = {f"plain-{depth}": PLAIN | {"model.depth": depth} for depth in DEPTHS} | {
    f"ResNet-{depth}": RESIDUAL | {"model.depth": depth} for depth in DEPTHS
}
SEEDS = (0, 1, 2)
PAPER = {}


def get_config(row="ResNet-20"):
    return configured(BASE, ROWS, row)
