"""A pre-activation ResNet on the digits 0 to 4, from which `digits_transfer.py` starts.

    python -m resnet_jax.main --config experiments/digits_source.py

The data are half of scikit-learn's handwritten digits, split as all of them are. No
paper reports them.
"""

from resnet_jax.config import configured
from resnet_jax.config.recipes import DIGITS

BASE = DIGITS | {
    "model.depth": 20,
    "model.unit.order": "full_pre",
    "model.unit.shortcut": "A",
    "data.name": "digits_low",
}
ROWS = {"PreAct-20": {}}
SEEDS = (0,)
PAPER = {}


def get_config(row="PreAct-20"):
    return configured(BASE, ROWS, row)
