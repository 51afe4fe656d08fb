"""3D ResNets on Kinetics-400 (Hara et al. 2018, Table 2 and released code).

    python -m resnet_jax.main --config experiments/resnet_3d.py:ResNet-18

Clips of 16 frames of 112x112, shortcuts of type A up to 34 layers, B from 50 on.
Recipe: 200 epochs of batches of 128, rate 0.1, weight decay 1e-3, momentum 0.9 with
dampening 0.9. Accuracies (top-1, top-5): 54.2, 78.1 % for ResNet-18, 65.1, 85.7 % for
ResNeXt-101, scores averaged over the clips of a video. Here each clip is scored alone.

Needs Kinetics as a tfds set whose clips are sequences of 16 images of 112x112; tfds has
no such set, and its own needs the videos on disk. Copies of Kinetics lack different
videos, so the audit does not judge values that depend on their number.
"""

from resnet_jax.config import configured

BASE = {
    "model.name": "resnet_3d",
    "data.name": "kinetics400",
    "data.batch_size": 128,
    "data.augment": "crop_flip_channel",
    "optim.learning_rate": 0.1,
    "optim.dampening": 0.9,
    "optim.weight_decay": 1e-3,
    "optim.schedule": "steps",
    "optim.schedule.boundaries": (0.25, 0.5, 0.75),
    "train.epochs": 200.0,
}


def bottleneck(depth, **groups):
    branch = {"name": "bottleneck", "stride_at": "3x3"} | groups
    return {"model.depth": depth, "model.unit.branch": branch}


ROWS = {
    "ResNet-18": {"model.depth": 18, "model.unit.shortcut": "A"},
    "ResNet-34": {"model.depth": 34, "model.unit.shortcut": "A"},
    "ResNet-50": bottleneck(50),
    "ResNet-101": bottleneck(101),
    "ResNet-152": bottleneck(152),
    "ResNet-200": bottleneck(200),
    "PreAct-200": bottleneck(200) | {"model.unit.order": "full_pre"},
    "WRN-50": bottleneck(50, group_width=128.0),
    "ResNeXt-101": bottleneck(101, cardinality=32, group_width=4.0),
}
SEEDS = (0,)
PAPER = {row: f"hara2018/T2/{row}" for row in ROWS}
RECIPE = "hara2018/kinetics"
DEVIATIONS = {
    "optim.schedule.boundaries": "they divide where the validation loss stalls; here "
    "at epochs 50, 100 and 150, as a later branch of their code does",
    "data.augment": "shifts by 4 pixels and flips of what is stored; they take crops "
    "of five scales",
    "data.normalize": "channel mean and std of Kinetics, not ActivityNet's mean alone",
    "evaluation": "each clip by itself; their scores are means over a video's clips",
}


def get_config(row="ResNet-18"):
    return configured(BASE, ROWS, row)
