"""Min-Nets against pyramid units on CIFAR-10 (Gruening & Barth 2021, released code).

    python -m resnet_jax.sweep --config experiments/min_nets.py
    python -m resnet_jax.main --config experiments/min_nets.py:Min-Net-56

N = 3, 5, 7 and 9 units per stage, 6N+2 layers; the first unit of each stage takes the
minimum of two depthwise filters. Recipe: 200 epochs of batches of 128, learning rate
0.1 divided by 10 at 100 and 150, weight decay 1e-4. Mean of the last epoch over 5
seeds: 5.99 % for Min-Net-56, 6.27 % for Pyramid-56.
"""

from resnet_jax.config import configured

BASE = {
    "model.name": "min_net",
    "model.unit.order": "pyramid",
    "model.unit.shortcut": "avgpool-A",
    "data.name": "cifar10",
    "data.batch_size": 128,
    "data.augment": "crop_flip_channel",
    "optim.learning_rate": 0.1,
    "optim.weight_decay": 1e-4,
    "optim.schedule": "steps",
    "optim.schedule.boundaries": (0.5, 0.75),
    "train.epochs": 200.0,
}
BRANCHES = {"Min-Net": "min", "Pyramid": "basic"}
UNITS = (9, 7, 5, 3)
ROWS = {
    f"{name}-{6 * n + 2}": {"model.depth": 6 * n + 2, "model.unit.branch": branch}
    for name, branch in BRANCHES.items()
    for n in UNITS
}
SEEDS = (0, 1, 2, 3, 4)
PAPER = {
    f"{name}-{6 * n + 2}": f"gruening2021/results/{name} N={n}"
    for name in BRANCHES
    for n in UNITS
}
RECIPE = {
    row: "gruening2021/min" if row.startswith("Min") else "gruening2021/pyramid"
    for row in ROWS
}
DEVIATIONS = {
    "model.init": {
        "Min-*": "drawn as the baseline is; theirs kept Torch's smaller uniform draws",
    },
}


def get_config(row="Min-Net-56"):
    return configured(BASE, ROWS, row)
