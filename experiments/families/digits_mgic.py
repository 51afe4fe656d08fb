"""Multigrid in channels, and the ResNet of the same layout, on handwritten digits.

    python -m resnet_jax.sweep --config experiments/families/digits_mgic.py

18 layers, stages of 16, 32, 64 and 128 channels; V-cycles over groups of 8, down to
fewer than 8 channels, or two levels alone. Not a figure of the paper.
"""

from resnet_jax.config import configured
from resnet_jax.recipes import DIGITS

BASE = DIGITS | {
    "model.name": "mgic_net",
    "model.depth": 18,
    "model.width": 0.25,
}
CYCLES = {"model.unit.mg_group": 8, "model.unit.mg_coarsest": 8}
ROWS = {
    "MGIC-18": CYCLES,
    "MGIC-18-two-levels": CYCLES | {"model.unit.mg_coarsest": 128},
    "ResNet-18": {"model.unit.branch": "basic"},
}
SEEDS = (0, 1, 2)
PAPER = {}


def get_config(row="MGIC-18"):
    return configured(BASE, ROWS, row)
