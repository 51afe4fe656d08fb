"""Spatial pyramid pooling on ImageNet: ZF-5 (He et al. 2014, Table 2).

    python -m resnet_jax.main --config experiments/spp_net.py:50-bins

Top-1 35.99 % without a pyramid, 34.98 % with 50 bins, 34.60 % if these are trained at
224 and 180 pixels in turn, 35.06 % with 30 bins. Recipe (Sec. 3.1): rate 0.01, divided
by 10 twice where the error plateaus, 70 epochs, shorter side 256, 224 crops, dropout on
both hidden layers; batch, momentum and weight decay are not published. All score 10
views; here one. Nets with pyramids take images of any size. Needs imagenet2012 as a
tfds data set.
"""

from resnet_jax.config import configured
from resnet_jax.config.recipes import HE2015_IMAGENET

BASE = HE2015_IMAGENET | {
    "model.name": "spp_net",
    "optim.schedule.boundaries": (0.33, 0.67),
    "train.epochs": 70.0,
}
ROWS = {
    "no-SPP": {"model.levels": ()},
    "50-bins": {"model.levels": (1, 2, 3, 6)},
    "30-bins": {"model.levels": (1, 2, 3, 4)},
    "50-bins-multi": {"model.levels": (1, 2, 3, 6), "data.sizes": (224, 180)},
}
SEEDS = (0,)
PAPER = {
    "no-SPP": "he2014/T2/ZF-5/no SPP",
    "50-bins": "he2014/T2/ZF-5/single-size",
    "30-bins": "he2014/text/ZF-5/30 bins",
    "50-bins-multi": "he2014/T2/ZF-5/multi-size",
}
RECIPE = "he2014/imagenet"
DEVIATIONS = {
    "model.init": "He et al. 2015; the paper's N(0, 0.01) is one std for all layers",
    "optim.schedule.boundaries": "the paper divides where the error plateaus; here "
    "equal parts",
    "data.augment": "shorter side 256 to 480 and crops from anywhere; theirs has 256, "
    "and its crops are from the centre and the corners",
    "data.batch_size": "not stated; that of He et al. 2015",
    "optim.weight_decay": "not stated; that of He et al. 2015",
    "data.normalize": "channel mean and std, not the mean of each pixel",
    "evaluation": "centre crop of 224; the tables score 10 views",
}


def get_config(row="50-bins"):
    return configured(BASE, ROWS, row)
