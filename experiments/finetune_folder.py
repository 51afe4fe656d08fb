"""Fine-tuning on a folder of your own images: all layers, the last ones, or the head.

    python -m resnet_jax.convert --from torchvision/resnet50 FILE --out runs/resnet50
    python -m resnet_jax.main --config experiments/finetune_folder.py \\
        --config.data.dir=PHOTOS

PHOTOS holds one folder per class, or train/, val/ and test/ of such folders. The net is
that of torchvision's resnet50.safetensors, or of a run of
experiments/imagenet_resnet.py:ResNet-50-3x3, named by --config.train.start_from. Crops
and flips are those of ImageNet's training. No paper's claim.
"""

from resnet_jax.config import configured

BASE = {
    "model.name": "imagenet_resnet",
    "model.depth": 50,
    "model.unit.branch": {"name": "bottleneck", "stride_at": "3x3"},
    "data.name": "folder",
    "data.augment": "imagenet_aspect",
    "data.batch_size": 32,
    "optim.learning_rate": 0.01,
    "optim.schedule": "cosine",
    "train.epochs": 20.0,
    "train.start_from": "runs/resnet50",
}
STEM = ("stem_conv", "norm_stem")
ROWS = {
    "all-layers": {"optim.factors": (("head", 10.0),)},
    "last-stage": {
        "optim.frozen": (*STEM, "stage1", "stage2", "stage3"),
        "model.norm.frozen": True,
    },
    "head": {
        "optim.frozen": (*STEM, "stage1", "stage2", "stage3", "stage4"),
        "model.norm.frozen": True,
    },
    "from-scratch": {"train.start_from": None, "optim.learning_rate": 0.1},
}
SEEDS = (0,)
PAPER = {}


def get_config(row="all-layers"):
    return configured(BASE, ROWS, row)
