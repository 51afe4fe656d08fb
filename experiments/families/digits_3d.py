"""3D ResNets on moving digits: clips of 8 frames of 16x16, a digit that bounces.

    python -m resnet_jax.sweep --config experiments/families/digits_3d.py

Eight layers of 8, 16 and 32 channels over time, height and width; 11 layers of
bottlenecks, plain and in groups. The clips are made of scikit-learn's digits on first
use, offline, and split as they are. Not a figure of any paper.
"""

from resnet_jax.config import configured
from resnet_jax.recipes import DIGITS

BASE = DIGITS | {
    "model.name": "small_resnet_3d",
    "model.depth": 8,
    "model.width": 0.5,
    "model.unit.shortcut": "A",
    "data.name": "moving_digits",
}
NECK = {
    "model.depth": 11,
    "model.unit.branch": "bottleneck",
    "model.unit.shortcut": "B",
}
ROWS = {
    "ResNet-8-A": {},
    "ResNet-8-B": {"model.unit.shortcut": "B"},
    "PreAct-8": {"model.unit.order": "full_pre"},
    "ResNet-11-B": NECK,
    "ResNeXt-11": NECK | {"model.unit.cardinality": 4, "model.unit.group_width": 32.0},
}
SEEDS = (0, 1, 2)
PAPER = {}


def get_config(row="ResNet-8-A"):
    return configured(BASE, ROWS, row)
