"""Residual units as Runge-Kutta steps, and RKCNN, on handwritten digits.

    python -m resnet_jax.sweep --config experiments/families/digits_rk.py

The pre-activation ResNet of 14 layers is Euler's method; the others evaluate the same
branch, with the same weights, two to four times a unit. RKCNN has 20 channels and five
stages, in periods at 8, 4 and 2 pixels. Not a figure of any paper.
"""

from resnet_jax.config import configured
from resnet_jax.recipes import DIGITS

BASE = DIGITS | {
    "model.name": "rk_resnet",
    "model.depth": 14,
    "model.unit.order": "full_pre",
    "model.unit.shortcut": "A",
}
RKCNN = {
    "model.name": "rkcnn",
    "model.depth": 32,
    "model.width": 0.25,
    "model.unit.order": "original",
    "model.unit.shortcut": "B",
}
ROWS = {
    "Euler": {"model.unit.tableau": "euler"},
    "midpoint": {"model.unit.tableau": "midpoint"},
    "Heun": {"model.unit.tableau": "heun"},
    "RK4": {"model.unit.tableau": "rk4"},
    "implicit-midpoint": {
        "model.unit.tableau": "implicit_midpoint",
        "model.unit.sweeps": 3,
    },
    "RKCNN-E": RKCNN | {"model.variant": "E"},
    "RKCNN-I": RKCNN | {"model.variant": "I", "model.depth": 62},
    "RKCNN-R": RKCNN | {"model.variant": "R", "model.depth": 62},
}
SEEDS = (0, 1, 2)
PAPER = {}


def get_config(row="RK4"):
    return configured(BASE, ROWS, row)
