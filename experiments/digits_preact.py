"""A pre-activation ResNet on handwritten digits: the whole way in about half a minute.

    python -m resnet_jax.main --config experiments/digits_preact.py

The data are the 1,797 handwritten digits of scikit-learn, 8x8 grey pixels, of which 360
are the test set; they are prepared on first use, offline. No paper reports this split.
"""

from resnet_jax.config import configured
from resnet_jax.config.recipes import DIGITS

BASE = DIGITS | {
    "model.depth": 20,
    "model.unit.order": "full_pre",
    "model.unit.shortcut": "A",
}
ROWS = {
    "PreAct-20": {},
    "ResNet-20": {"model.unit.order": "original"},
}
SEEDS = (0, 1, 2)
PAPER = {}


def get_config(row="PreAct-20"):
    return configured(BASE, ROWS, row)
