"""Min-Nets, their baseline, and mixtures, at 20 layers on handwritten digits.

    python -m resnet_jax.sweep --config experiments/families/digits_min_nets.py

The rows of min_nets.py at N = 3 on a short schedule; a gate and a learned rectifier on
the Min-Net. Not a figure of the paper.
"""

from resnet_jax.config import configured
from resnet_jax.recipes import DIGITS

BASE = DIGITS | {
    "model.name": "min_net",
    "model.unit.order": "pyramid",
    "model.unit.shortcut": "avgpool-A",
}
ROWS = {
    "Min-Net-20": {},
    "Pyramid-20": {"model.unit.branch": "basic"},
    "Min-Net-20-SE": {"model.unit.gate": "se", "model.unit.se_reduction": 4},
    "Min-Net-20-PReLU": {"model.act": "prelu"},
}
SEEDS = (0, 1, 2)
PAPER = {}


def get_config(row="Min-Net-20"):
    return configured(BASE, ROWS, row)
