"""Dense and harmonic links between 16 layers, on handwritten digits.

    python -m resnet_jax.sweep --config experiments/families/digits_densenet.py

Small nets (growth rate 8) and a short schedule; not a table of Huang et al. 2017, Chao
et al. 2019 or Ju et al. 2022. `harmonic` has the links and the order of HarDNet,
`threshold` dense blocks and then a harmonic one as ThreshNet does.
"""

from resnet_jax.config import configured
from resnet_jax.recipes import DIGITS

BASE = DIGITS | {
    "model.name": "densenet",
    "model.depth": 16,
    "model.growth": 8,
    "model.unit.order": "full_pre",
    "model.unit.shortcut": "none",
}
BC = {"model.unit.branch": "bottleneck", "model.compression": 0.5}
ROWS = {
    "dense": {},
    "dense-BC": BC,
    "dense-BC-dropout": BC
    | {"model.unit.noise": "dropout", "model.unit.noise_rate": 0.2},
    "harmonic": {"model.links": "harmonic", "model.unit.order": "original"},
    "threshold": {"model.links": "threshold"},
}
SEEDS = (0, 1, 2)
PAPER = {}


def get_config(row="dense-BC"):
    return configured(BASE, ROWS, row)
