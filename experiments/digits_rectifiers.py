"""Rectifier x initialisation on handwritten digits, without BatchNorm.

    python -m resnet_jax.sweep --config experiments/digits_rectifiers.py

He et al. 2015 trained plain nets without normalisation: a 22-layer net converges under
both initialisations, a 30-layer one under theirs alone (Figures 2 and 3). The same
comparison on nets of 22 and 30 layers of 16 channels at 8x8 pixels, with biases in the
place of norms. Not a figure of the paper.
"""

from resnet_jax.config import configured
from resnet_jax.recipes import DIGITS

BASE = DIGITS | {
    "model.name": "plain",
    "model.unit.shortcut": "none",
    "model.norm.dialect": "none",
    "optim.learning_rate": 0.02,
}
ACTS = {"ReLU": "relu", "LReLU": "leaky_relu", "PReLU": "prelu", "ELU": "elu"}
INITS = {"He": "he_fan_out", "Xavier": "xavier"}
ROWS = {
    f"{act}-{depth}-{init}": {
        "model.depth": depth,
        "model.act": ACTS[act],
        "model.init": INITS[init],
    }
    for act in ACTS
    for depth in (22, 30)
    for init in INITS
}
SEEDS = (0, 1, 2)
PAPER = {}


def get_config(row="ReLU-30-He"):
    return configured(BASE, ROWS, row)
