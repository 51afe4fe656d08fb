"""VGG nets on CIFAR: what network slimming and Ghost modules start from.

    python -m resnet_jax.main --config experiments/vgg.py:VGG-19

6.34 % test error on CIFAR-10 and 26.74 % on CIFAR-100 for VGG-19, which ends with the
mean of the last map (Liu et al. 2017, Table 1). VGG-16 has a hidden layer of 512 (Han
et al. 2020). Recipe (Liu et al. 2017, Sec. 4.2): 160 epochs of batches of 64, learning
rate 0.1 divided by 10 at 50 % and 75 % of them, Nesterov momentum 0.9, weight decay
1e-4; the scales of the norms start at 0.5 there, at 1 here.
"""

from resnet_jax.config import configured

BASE = {
    "model.name": "vgg",
    "model.size": "cifar",
    "model.init": "he_fan_in",
    "data.name": "cifar10",
    "data.batch_size": 64,
    "data.augment": "crop_flip_channel",
    "optim.learning_rate": 0.1,
    "optim.nesterov": True,
    "optim.weight_decay": 1e-4,
    "optim.schedule": "steps",
    "optim.schedule.boundaries": (0.5, 0.75),
    "train.epochs": 160.0,
}
VGG_19 = {"model.depth": 19, "model.variant": "mean"}
ROWS = {
    "VGG-16": {"model.depth": 16, "model.variant": "fc"},
    "VGG-19": VGG_19,
    "VGG-19-C100": VGG_19 | {"data.name": "cifar100"},
}
SEEDS = (0,)
PAPER = {
    "VGG-19": "liu2017/T1/VGG-19/CIFAR-10",
    "VGG-19-C100": "liu2017/T1/VGG-19/CIFAR-100",
}
NETWORK = {"VGG-16": "han2020/T5/VGG-16"}
RECIPE = {"VGG-19": "liu2017/cifar", "VGG-19-C100": "liu2017/cifar100"}
DEVIATIONS = {}


def get_config(row="VGG-19"):
    return configured(BASE, ROWS, row)
