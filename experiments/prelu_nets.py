"""PReLU-nets on ImageNet (He et al. 2015, Tables 2 and 5).

    python -m resnet_jax.main --config experiments/prelu_nets.py:14-PReLU

Table 2, 14 layers: top-1 33.82 % with ReLU, 32.71 % with one slope per layer, 32.64 %
with one per channel. Table 5: 26.48 % for A with ReLU, 25.59, 25.53 and 24.27 % for A,
B and C with PReLU. Recipe of A, B and C (Sec. 3): batches of 128, rate 0.01, divided by
10 where the error plateaus, about 80 epochs, momentum 0.9, weight decay 5e-4, not on
slopes, dropout, shorter side 256 to 512. The small nets: 75 epochs, shorter side 256.
All score 10 views; here one. Needs imagenet2012 as a tfds data set.
"""

from resnet_jax.config import configured
from resnet_jax.config.recipes import HE2015_IMAGENET

BASE = HE2015_IMAGENET


def small(depth, **fields):
    net = {"model.name": "prelu_small", "model.depth": depth}
    time = {"optim.schedule.boundaries": (0.33, 0.67), "train.epochs": 75.0}
    return net | time | {f"model.{name}": value for name, value in fields.items()}


def large(model, act):
    net = {"model.name": "prelu_large", "model.variant": model, "model.act": act}
    return net | {"optim.schedule.boundaries": (0.25, 0.5, 0.75), "train.epochs": 80.0}


ROWS = {
    "14-ReLU": small(14),
    "14-PReLU-shared": small(14, act="prelu_shared"),
    "14-PReLU": small(14, act="prelu"),
    "14-ReLU-Xavier": small(14, init="xavier"),
    "30-ReLU": small(30),
    "A-ReLU": large("A", "relu"),
    "A-PReLU": large("A", "prelu"),
    "B-PReLU": large("B", "prelu"),
    "C-PReLU": large("C", "prelu"),
}
SEEDS = (0,)
PAPER = {
    "14-ReLU": "he2015/T2/ReLU",
    "14-PReLU-shared": "he2015/T2/PReLU channel-shared",
    "14-PReLU": "he2015/T2/PReLU channel-wise",
    "14-ReLU-Xavier": "he2015/text/14 layers/Xavier",
    "30-ReLU": "he2015/text/30 layers/He",
    "A-ReLU": "he2015/T5/A ReLU",
    "A-PReLU": "he2015/T5/A PReLU",
    "B-PReLU": "he2015/T5/B PReLU",
    "C-PReLU": "he2015/T5/C PReLU",
}
RECIPE = {
    row: "he2015/imagenet/small" if row[0] in "13" else "he2015/imagenet"
    for row in ROWS
}
DEVIATIONS = {
    "model.init": {"*-Xavier": "what the row compares"},
    "optim.schedule.boundaries": "the paper divides where the error plateaus; here "
    "equal parts",
    "data.augment": "shorter side 256 to 480 for both; theirs 256 to 512, and in the "
    "small nets 256 without altered colours",
    "data.normalize": "channel mean and std, not the mean of each pixel",
    "evaluation": "centre crop of 224; the tables score 10 views",
}


def get_config(row="14-PReLU"):
    return configured(BASE, ROWS, row)
