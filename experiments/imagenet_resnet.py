"""ImageNet: depth and shortcut types (He et al. 2016a, Tables 2 and 3; 2016b, Table 5).

    python -m resnet_jax.main --config experiments/imagenet_resnet.py:ResNet-50

Recipe (2016a, Sec. 3.4): batches of 256 over 8 GPUs, BatchNorm over 32 images, learning
rate 0.1 divided by 10 three times within 60e4 iterations, momentum 0.9, weight decay
1e-4, shorter side in [256, 480], 224 crop, flip, AlexNet's colours. 2016b, Table 5:
divided by 10 at epochs 30 and 60. Tables 2 and 3 score 10 crops, this file the centre
crop: the errors are not comparable. Needs imagenet2012 as a tfds data set.
"""

from resnet_jax.config import configured
from resnet_jax.config.recipes import HE2016_DEVIATIONS, HE2016_IMAGENET

BASE = HE2016_IMAGENET | {
    "data.workers": 8,
    "train.dtype": "bfloat16",
}
PRE = {  # 2016b: epochs 30 and 60, stride in the 3x3 as in its released code
    "model.unit.order": "full_pre",
    "model.unit.branch": {"name": "bottleneck", "stride_at": "3x3"},
    "optim.schedule.boundaries": (150_136, 300_273),
    "train.iterations": 450_409,
}
ROWS = {
    "ResNet-50": {"model.depth": 50},
    "ResNet-101": {"model.depth": 101},
    "ResNet-152": {"model.depth": 152},
    "plain-18": {"model.depth": 18, "model.unit.shortcut": "none"},
    "plain-34": {"model.depth": 34, "model.unit.shortcut": "none"},
    "ResNet-18-A": {"model.depth": 18, "model.unit.shortcut": "A"},
    "ResNet-34-A": {"model.depth": 34, "model.unit.shortcut": "A"},
    "ResNet-34-B": {"model.depth": 34, "model.unit.shortcut": "B"},
    "ResNet-34-C": {"model.depth": 34, "model.unit.shortcut": "C"},
    "ResNet-50-3x3": {
        "model.depth": 50,
        "model.unit.branch": {"name": "bottleneck", "stride_at": "3x3"},
    },
    "PreAct-152": PRE | {"model.depth": 152},
    "PreAct-200": PRE | {"model.depth": 200},
}
SEEDS = (0,)
PAPER = {
    "ResNet-50": "he2016a/T3/ResNet-50",
    "ResNet-101": "he2016a/T3/ResNet-101",
    "ResNet-152": "he2016a/T3/ResNet-152",
    "plain-18": "he2016a/T2/plain-18",
    "plain-34": "he2016a/T2/plain-34",
    "ResNet-18-A": "he2016a/T2/ResNet-18 A",
    "ResNet-34-A": "he2016a/T2/ResNet-34 A",
    "ResNet-34-B": "he2016a/T3/ResNet-34 B",
    "ResNet-34-C": "he2016a/T3/ResNet-34 C",
    "PreAct-152": "he2016b/T5/ResNet-152 pre-act/crop 320",
    "PreAct-200": "he2016b/T5/ResNet-200 pre-act/crop 320",
}
NETWORK = {"ResNet-50-3x3": "fb.resnet.torch/ResNet-50"}
RECIPE = {
    row: "he2016b/imagenet" if row.startswith("PreAct") else "he2016a/imagenet"
    for row in ROWS
}
DEVIATIONS = HE2016_DEVIATIONS | {
    "optim.schedule.boundaries": "2016a divides where the error plateaus; here at each "
    "quarter",
    "model.name": "max pool of the stem padded by 1, as in fb.resnet.torch; the "
    "released Caffe nets round its size up instead",
    "data.normalize": "channel mean and std, not the mean of each pixel",
    "train.dtype": "bfloat16 arithmetic with float32 parameters and statistics",
    "evaluation": "centre crop of 224; the tables score 10 crops, or one of 320",
}


def get_config(row="ResNet-50"):
    return configured(BASE, ROWS, row)
