"""Network slimming of small nets on handwritten digits, in one pass and in several.

    python -m resnet_jax.sweep --config experiments/digits_slimming.py
    python -m resnet_jax.report experiments/digits_slimming.py

VGG-7 and a pre-activation ResNet-20 are trained with an L1 penalty on the scales of
their norms ("l1"); then 70 % and 40 % of the channels are cut, as in Liu et al. 2017,
Table 1, and the rest is trained again without the penalty. In passes, half of all
channels is cut each time, of no layer more than half, and the penalty stays until the
last one (Sec. 4.5). The factor on the penalty was chosen on seed 0 of "l1" by its error
and the share of small scales. No paper reports these data.
"""

from resnet_jax.config import configured
from resnet_jax.config.recipes import DIGITS

BASE = DIGITS
PENALTY = {"optim.scale_l1": 2e-3}
VGG = {
    "model.name": "vgg",
    "model.depth": 7,
    "model.size": "digits",
    "model.width": 0.5,
}
PREACT = {
    "model.depth": 20,
    "model.unit.order": "full_pre",
    "model.unit.branch": "bottleneck",
}


def cut(row, share, cap=1.0, **fields):
    """Fields of a row whose network is that of another row, cut."""
    return {
        "train.start_from": f"runs/digits_slimming/{row}/seed{{seed}}",
        "train.prune": {"name": "slimming", "share": share, "cap": cap},
    } | fields


ROWS = {
    "VGG-7": VGG,
    "VGG-7-l1": VGG | PENALTY,
    "VGG-7-70": VGG | cut("VGG-7-l1", 0.7),
    "VGG-7-pass1": VGG | PENALTY | cut("VGG-7-l1", 0.5, cap=0.5),
    "VGG-7-pass2": VGG | PENALTY | cut("VGG-7-pass1", 0.5, cap=0.5),
    "VGG-7-pass3": VGG | cut("VGG-7-pass2", 0.5, cap=0.5),
    "PreAct-20": PREACT,
    "PreAct-20-l1": PREACT | PENALTY,
    "PreAct-20-40": PREACT | cut("PreAct-20-l1", 0.4),
}
SEEDS = (0, 1, 2, 3, 4)
PAPER = {}


def get_config(row="VGG-7-70"):
    return configured(BASE, ROWS, row)
