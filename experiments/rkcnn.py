"""RKCNN, explicit (E) and with updated slopes (I, R), on CIFAR (Zhu et al. 2022, code).

    python -m resnet_jax.main --config experiments/rkcnn.py:RKCNN-E-5_5_5

Five stages of 80 channels and one step in each of three periods. Recipe (released
code): 300 epochs of batches of 32, learning rate 0.1 divided by 10 at 150 and 225,
Nesterov momentum, weight decay 1e-4, BatchNorm of momentum 0.01 and epsilon 1e-3 and,
with augmentation, no dropout. No error of these nets is known here; the code reports
that of the best epoch.
"""

from resnet_jax.config import configured

BASE = {
    "model.name": "rkcnn",
    "model.init": "he_fan_in",
    "model.norm.momentum": 0.99,
    "model.norm.epsilon": 1e-3,
    "data.name": "cifar10",
    "data.batch_size": 32,
    "data.augment": "crop_flip_channel",
    "optim.learning_rate": 0.1,
    "optim.nesterov": True,
    "optim.weight_decay": 1e-4,
    "optim.schedule": "steps",
    "optim.schedule.boundaries": (0.5, 0.75),
    "train.epochs": 300.0,
}
ROWS = {
    "RKCNN-E-5_5_5": {"model.variant": "E", "model.depth": 32},
    "RKCNN-I-5_5_5-C100": {
        "model.variant": "I", "model.depth": 62, "data.name": "cifar100",
    },
    "RKCNN-R-5_5_5-C100": {
        "model.variant": "R", "model.depth": 62, "data.name": "cifar100",
    },
}  # fmt: skip
SEEDS = (0, 1, 2)
PAPER = {}
NETWORK = {row: f"zhu2022/{row.replace('-C100', ' C100')}" for row in ROWS}
RECIPE = {row: "zhu2022/cifar100" if "C100" in row else "zhu2022/cifar" for row in ROWS}
DEVIATIONS = {}


def get_config(row="RKCNN-E-5_5_5"):
    return configured(BASE, ROWS, row)
