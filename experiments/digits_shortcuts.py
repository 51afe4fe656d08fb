"""The shortcuts of He et al. 2016b, Table 1, at 56 layers on handwritten digits.

    python -m resnet_jax.sweep --config experiments/digits_shortcuts.py

The rows of shortcuts.py with a small net (widths 8, 16, 32) and a short schedule, so
that a laptop makes the whole table. Not a figure of the paper.
"""

from resnet_jax.config import configured
from resnet_jax.config.recipes import DIGITS

BASE = DIGITS | {
    "model.depth": 56,
    "model.width": 0.5,
    "model.unit.shortcut": "A",
}


def _scaled(shortcut, branch):
    scales = {"name": "scaled", "shortcut": shortcut, "branch": branch}
    return {"model.unit.join": scales}


def _gated(gates, bias):
    return {"model.unit.join": {"name": f"{gates}_gating", "bias": bias}}


ROWS = {
    "original": {},
    "scaling-0-1": _scaled(0.0, 1.0),
    "scaling-0.5-1": _scaled(0.5, 1.0),
    "scaling-0.5-0.5": _scaled(0.5, 0.5),
    "exclusive-gating-b0": _gated("exclusive", 0.0),
    "exclusive-gating-b-6": _gated("exclusive", -6.0),
    "shortcut-gating-b0": _gated("shortcut_only", 0.0),
    "shortcut-gating-b-6": _gated("shortcut_only", -6.0),
    "1x1-conv": {"model.unit.shortcut": "C"},
    "dropout": {"model.unit.join": "dropout", "model.unit.join.rate": 0.5},
}
SEEDS = (0, 1, 2)
PAPER = {}


def get_config(row="original"):
    return configured(BASE, ROWS, row)
