"""Binary weights, binary inputs, and the scale K of the inputs, on handwritten digits.

    python -m resnet_jax.sweep --config experiments/families/digits_xnor.py

Pre-activation nets of 20 layers: real, with binary weights, with binary inputs too and
with their scale left out as in the released code (Rastegari et al. 2016). Not a figure
of the paper.
"""

from resnet_jax.config import configured
from resnet_jax.recipes import DIGITS

BASE = DIGITS | {
    "model.depth": 20,
    "model.unit.order": "full_pre",
    "model.unit.shortcut": "A",
}
ROWS = {
    "real": {},
    "BWN": {"model.operator": "binary"},
    "XNOR": {"model.operator": "xnor", "model.act": "none"},
    "XNOR-without-K": {"model.operator": "xnor_signs", "model.act": "none"},
}
SEEDS = (0, 1, 2)
PAPER = {}


def get_config(row="XNOR"):
    return configured(BASE, ROWS, row)
