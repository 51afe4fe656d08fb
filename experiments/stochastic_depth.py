"""Stochastic depth on CIFAR-10 and CIFAR-100 (Huang et al. 2016, Table 1).

    python -m resnet_jax.main --config experiments/stochastic_depth.py:SD-110

One run each, tested at the epoch of the lowest validation error (45k/5k): 5.25 % test
error with stochastic depth (p_L = 0.5), 6.41 % without. A dropped unit computes
nothing, so that a run takes about a quarter less time.
"""

from resnet_jax.config import configured

BASE = {
    "model.name": "cifar_resnet",
    "model.depth": 110,
    "model.unit.shortcut": "avgpool-A",
    "model.init": "he_fan_in",
    "data.name": "cifar10",
    "data.batch_size": 128,
    "data.split": "45k/5k",
    "data.augment": "crop_flip",
    "optim.learning_rate": 0.1,
    "optim.nesterov": True,
    "optim.weight_decay": 1e-4,
    "optim.schedule": "steps",
    "optim.schedule.boundaries": (0.5, 0.75),
    "train.epochs": 500.0,
}
HALF = {"model.unit.stochastic_depth": {"name": "drop", "survival_prob": 0.5}}
C100 = {"data.name": "cifar100"}
ROWS = {
    "SD-110": HALF,
    "constant-110": {},
    "SD-110-C100": HALF | C100,
    "constant-110-C100": C100,
}
SEEDS = (0,)
PAPER = {
    "SD-110": "huang2016/T1/ResNet-110 C10+/stochastic",
    "constant-110": "huang2016/T1/ResNet-110 C10+/constant",
    "SD-110-C100": "huang2016/T1/ResNet-110 C100+/stochastic",
    "constant-110-C100": "huang2016/T1/ResNet-110 C100+/constant",
}
RECIPE = {
    row: "huang2016/cifar100" if row.endswith("C100") else "huang2016/cifar"
    for row in ROWS
}
DEVIATIONS = {
    "parameters": "the released code's convolutions carry biases, 4,048 in all, which "
    "the norms behind them cancel",
    "data.normalize": "the mean image alone; the released code then divides by one std",
}


def get_config(row="SD-110"):
    return configured(BASE, ROWS, row)
