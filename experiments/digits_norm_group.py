"""How many examples BatchNorm sees: groups of a batch of 64 handwritten digits.

    python -m resnet_jax.sweep --config experiments/digits_norm_group.py

ResNet-20 (widths 8, 16, 32). Every row sees the same batches; only the examples that
share statistics differ, as they do over more GPUs. The statistics recomputed after
training are logged beside the moving averages.
"""

from resnet_jax.config import configured
from resnet_jax.config.recipes import DIGITS

BASE = DIGITS | {
    "model.depth": 20,
    "model.width": 0.5,
    "model.unit.shortcut": "A",
    "model.norm.precise": 22,
}
ROWS = {
    "group-64": {"model.norm.group": 64},
    "group-16": {"model.norm.group": 16},
    "group-4": {"model.norm.group": 4},
}
SEEDS = (0, 1, 2)
PAPER = {}


def get_config(row="group-64"):
    return configured(BASE, ROWS, row)
