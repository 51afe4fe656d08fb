"""Network slimming on CIFAR (Liu et al. 2017, Table 1).

    python -m resnet_jax.sweep --config experiments/slimming.py \\
        --rows VGG-19-l1,VGG-19-70

A row "l1" is trained with an L1 penalty on the scales of all norms; rows named after it
begin with its network, without the given percentage of the channels, and are trained
once more like the first time, without the penalty. 6.34 % test error for VGG-19, 6.20 %
for a tenth of its parameters. Recipe (Sec. 4.2): 160 epochs of batches of 64, learning
rate 0.1 divided by 10 at 50 % and 75 % of them, Nesterov momentum 0.9, weight decay
1e-4, scales begin at 0.5, the factor on the penalty is 1e-4 for VGG and 1e-5 for the
others. Which channels are cut, and what becomes of their shifts, is as in the released
code. Its ResNet-164 projects the raw map at the two transitions, ours the
pre-activation (He et al. 2016b); the counts are equal.
"""

from resnet_jax.config import configured

BASE = {
    "model.init": "he_fan_in",
    "model.norm.scale": 0.5,
    "data.batch_size": 64,
    "data.augment": "crop_flip_channel",
    "optim.learning_rate": 0.1,
    "optim.nesterov": True,
    "optim.weight_decay": 1e-4,
    "optim.schedule": "steps",
    "optim.schedule.boundaries": (0.5, 0.75),
    "train.epochs": 160.0,
}
VGG = {
    "model.name": "vgg",
    "model.size": "cifar",
    "model.depth": 19,
    "model.variant": "mean",
}
RESNET = {
    "model.name": "cifar_resnet",
    "model.depth": 164,
    "model.unit.order": "full_pre",
    "model.unit.branch": {"name": "bottleneck", "stride_at": "3x3"},
}
DENSENET = {
    "model.name": "densenet",
    "model.depth": 40,
    "model.growth": 12,
    "model.unit.order": "full_pre",
}
# Fields of a network, the factor on its penalty, percentages that are cut
NETS = {
    ("VGG-19", "CIFAR-10"): (VGG, 1e-4, (70,)),
    ("VGG-19", "CIFAR-100"): (VGG, 1e-4, (50,)),
    ("ResNet-164", "CIFAR-10"): (RESNET, 1e-5, (40, 60)),
    ("ResNet-164", "CIFAR-100"): (RESNET, 1e-5, (40, 60)),
    ("DenseNet-40", "CIFAR-10"): (DENSENET, 1e-5, (40, 70)),
    ("DenseNet-40", "CIFAR-100"): (DENSENET, 1e-5, (40, 60)),
}
ROWS, PAPER, RECIPE = {}, {}, {}
for (net, column), (fields, factor, percentages) in NETS.items():
    data = {"data.name": column.lower().replace("-", "")}
    suffix = "-C100" if column == "CIFAR-100" else ""
    first = f"{net}{suffix}"
    ROWS[first] = fields | data
    ROWS[f"{first}-l1"] = fields | data | {"optim.scale_l1": factor}
    PAPER[first] = f"liu2017/T1/{net}/{column}"
    for percentage in percentages:
        row = f"{first}-{percentage}"
        ROWS[row] = ROWS[first] | {
            "train.start_from": f"runs/slimming/{first}-l1/seed{{seed}}",
            "train.prune": {"name": "slimming", "share": percentage / 100},
        }
        PAPER[row] = f"liu2017/T1/{net}, {percentage} %/{column}"
    recipe = "liu2017/cifar100" if suffix else "liu2017/cifar"
    RECIPE |= {row: recipe for row in ROWS if row not in RECIPE}
SEEDS = (0, 1, 2, 3, 4)
DEVIATIONS = {}


def get_config(row="VGG-19-70"):
    return configured(BASE, ROWS, row)
