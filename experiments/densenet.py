"""Concatenated layers on CIFAR (Huang et al. 2017, Table 2).

    python -m resnet_jax.main --config experiments/densenet.py:BC-100-12

Rows are depth and growth rate; BC has bottlenecks and halves channels at transitions.
Rows without a suffix are CIFAR-10 with flips and 4-pixel translations ("C10+"), `C100`
rows have 100 classes; `bare` rows have no augmentation, and dropout of 0.2 after every
convolution but the first. Recipe (Sec. 4): 300 epochs of batches of 64, learning rate
0.1 divided by 10 at half and at three quarters, Nesterov momentum 0.9, weight decay
1e-4 on all parameters. One run per row, its last error: 4.51 % for BC-100-12.

Stems have 16 channels, 24 in BC-100-12; the released code has 2k for all. SVHN, the
last column, is left out: its validation images are not published.
"""

from resnet_jax.config import configured

BASE = {
    "model.name": "densenet",
    "model.unit.order": "full_pre",
    "data.name": "cifar10",
    "data.batch_size": 64,
    "data.augment": "crop_flip_channel",
    "optim.learning_rate": 0.1,
    "optim.nesterov": True,
    "optim.weight_decay": 1e-4,
    "optim.schedule": "steps",
    "optim.schedule.boundaries": (0.5, 0.75),
    "train.epochs": 300.0,
}
BC = {"model.unit.branch": "bottleneck", "model.compression": 0.5}
NETS = {
    "40 k=12": {"model.depth": 40, "model.growth": 12},
    "100 k=12": {"model.depth": 100, "model.growth": 12},
    "100 k=24": {"model.depth": 100, "model.growth": 24},
    "BC 100 k=12": BC | {"model.depth": 100, "model.growth": 12},
    "BC 250 k=24": BC | {"model.depth": 250, "model.growth": 24},
    "BC 190 k=40": BC | {"model.depth": 190, "model.growth": 40},
}
HUNDRED = {"data.name": "cifar100"}
BARE = {"data.augment": "none", "model.unit.dropout": 0.2}
COLUMNS = {
    "C10+": ("", {}),
    "C100+": ("-C100", HUNDRED),
    "C10": ("-bare", BARE),
    "C100": ("-C100-bare", BARE | HUNDRED),
}
EMPTY = (("BC 190 k=40", "C10"), ("BC 190 k=40", "C100"))
CELLS = [(n, c) for c in COLUMNS for n in NETS if (n, c) not in EMPTY]


def _row(net, column):
    return net.replace(" k=", "-").replace(" ", "-") + COLUMNS[column][0]


ROWS = {_row(net, column): NETS[net] | COLUMNS[column][1] for net, column in CELLS}
PAPER = {_row(net, column): f"huang2017/T2/{net}/{column}" for net, column in CELLS}
RECIPE = {_row(net, column): f"huang2017/{column}" for net, column in CELLS}
SEEDS = (0, 1, 2)
DEVIATIONS = {}


def get_config(row="BC-100-12"):
    return configured(BASE, ROWS, row)
