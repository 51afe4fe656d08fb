"""Channel pruning against its baselines on handwritten digits, before and after tuning.

    python -m resnet_jax.sweep --config experiments/digits_pruning.py
    python -m resnet_jax.report experiments/digits_pruning.py

Two thirds and five sixths of the multiply-adds of a VGG-7, and half of a ResNet-20, are
cut: channels are chosen by the LASSO, by the absolute sum of their weights ("response")
or by their number ("first"); the weights of what is left are fitted by least squares in
all of them, as in Fig. 4 of He et al. 2017. Five epochs of training follow. No paper
reports these data.
"""

from resnet_jax.config import configured
from resnet_jax.config.recipes import DIGITS

BASE = DIGITS
VGG = {
    "model.name": "vgg",
    "model.depth": 7,
    "model.size": "digits",
    "model.width": 0.5,
}
RESNET = {"model.depth": 20, "model.unit.shortcut": "A"}
TUNED = {"optim.learning_rate": 0.01, "train.epochs": 5.0}


def cut(row, speedup, select):
    """Fields of a row whose network is that of another row, cut."""
    return TUNED | {
        "train.start_from": f"runs/digits_pruning/{row}/seed{{seed}}",
        "train.prune": {"name": select, "speedup": speedup},
    }


NETS = {"VGG-7": (VGG, (3.0, 6.0)), "ResNet-20": (RESNET, (2.0,))}
METHODS = ("lasso", "response", "first")
ROWS = {
    name: fields
    for net, (own, speedups) in NETS.items()
    for name, fields in {
        net: own,
        **{
            f"{net}-{speedup:g}x-{select}": own | cut(net, speedup, select)
            for speedup in speedups
            for select in METHODS
        },
    }.items()
}
SEEDS = (0, 1, 2, 3, 4)
PAPER = {}


def get_config(row="VGG-7-3x-lasso"):
    return configured(BASE, ROWS, row)
