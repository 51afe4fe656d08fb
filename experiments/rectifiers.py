"""Rectifiers and initialisations: ReLU, LReLU, PReLU x He, Xavier, on CIFAR-10.

    python -m resnet_jax.main --config experiments/rectifiers.py:PReLU-He

He et al. 2015 compare ReLU with PReLU on ImageNet with a 14-layer plain net (Table 2:
33.82, 32.71 channel-shared, 32.64 % channel-wise, 10-view top-1), and their
initialisation with "Xavier" (33.90 against 33.82 % at 14 layers; at 30 only theirs
converges). The same comparison here on plain nets of the CIFAR form: no figure of the
paper belongs to these rows. Slopes start at 0.25 and do not decay; the initialisation
takes them into account. Recipe of cifar_resnet.py.
"""

from resnet_jax.config import configured
from resnet_jax.config.recipes import HE2016_CIFAR, HE2016_DEVIATIONS

BASE = HE2016_CIFAR | {
    "model.depth": 20,
    "model.unit.branch": "basic",
    "model.unit.shortcut": "none",
}
ACTS = {
    "ReLU": "relu",
    "LReLU": "leaky_relu",
    "PReLU": "prelu",
    "PReLU-shared": "prelu_shared",
    "RReLU": "rrelu",
    "ELU": "elu",
}
INITS = {"He": "he_fan_out", "Xavier": "xavier"}
ROWS = {
    f"{act}-{init}": {"model.act": ACTS[act], "model.init": INITS[init]}
    for act in ACTS
    for init in INITS
}
SEEDS = (0, 1, 2, 3, 4)
PAPER = {}
NETWORK = dict.fromkeys(ROWS, "he2016a/Fig6/plain-20")
RECIPE = "he2016a/cifar"
DEVIATIONS = HE2016_DEVIATIONS | {
    "model.act": "what the rows compare, on a plain net that the paper has with ReLU",
    "model.init": {"*-Xavier": "what the rows compare"},
    "optim.decay": "kernels only: the paper exempts the slopes and names nothing else",
}


def get_config(row="PReLU-He"):
    return configured(BASE, ROWS, row)
