"""Multigrid in channels on CIFAR-10 (MGIC: Eliasof et al. 2023, released code).

    python -m resnet_jax.main --config experiments/mgic.py:MGIC-34

V-cycles over grouped residual steps in the layout of ResNet-34 for small images: 4.4M
parameters, where ResNet-34 has 21.3M. Groups of 32, levels down to fewer than 32
channels. Recipe: the defaults of the released driver, 200 epochs of batches of 64,
learning rate 0.3 divided by 10 every 30 epochs. They may not be the paper's, whose
error of such a net is not known here.
"""

from resnet_jax.config import configured

BASE = {
    "model.name": "mgic_net",
    "model.depth": 34,
    "data.name": "cifar10",
    "data.batch_size": 64,
    "data.augment": "crop_flip_channel",
    "optim.learning_rate": 0.3,
    "optim.weight_decay": 1e-4,
    "optim.schedule": "steps",
    "optim.schedule.boundaries": (0.15, 0.3, 0.45, 0.6, 0.75, 0.9),
    "train.epochs": 200.0,
}
ROWS = {
    "MGIC-34": {},
    "ResNet-34": {"model.unit.branch": "basic"},
}
SEEDS = (0, 1, 2)
PAPER = {}
NETWORK = {"MGIC-34": "eliasof2023/ResNet-34 MGIC"}
RECIPE = "eliasof2023/cifar"
DEVIATIONS = {}


def get_config(row="MGIC-34"):
    return configured(BASE, ROWS, row)
