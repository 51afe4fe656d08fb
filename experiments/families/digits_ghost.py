"""Ghosts within layers and over stages, and a small GhostNet, on handwritten digits.

    python -m resnet_jax.sweep --config experiments/families/digits_ghost.py

ResNets of 32 layers whose convolutions are Ghost modules (s=2, s=4), or whose stages
have ghosts, and GhostNet 0.5x with the first subsamplings left out. Not a figure of any
paper.
"""

from resnet_jax.config import configured
from resnet_jax.recipes import DIGITS

BASE = DIGITS | {"model.depth": 32, "model.unit.shortcut": "A"}
ROWS = {
    "ResNet-32": {},
    "Ghost-ResNet-32": {"model.operator": "ghost"},
    "Ghost-ResNet-32-s4": {"model.operator": "ghost", "model.ghost_ratio": 4},
    "G-Ghost-ResNet-32": {"model.ghost_share": 0.5},
    "GhostNet-0.5x": {
        "model.name": "ghostnet",
        "model.depth": 20,
        "model.size": "digits",
        "model.width": 0.5,
        "model.unit.shortcut": "B",
    },
}
SEEDS = (0, 1, 2)
PAPER = {}


def get_config(row="Ghost-ResNet-32"):
    return configured(BASE, ROWS, row)
