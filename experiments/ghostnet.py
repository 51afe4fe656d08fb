"""Ghost modules, GhostNet and G-Ghost-RegNetX on ImageNet (Han et al. 2020 and 2022).

    python -m resnet_jax.main --config experiments/ghostnet.py:GhostNet-1.0x

26.1 % top-1 error for GhostNet 1.0x (141M multiply-adds), 25.0 % for Ghost-ResNet-50 at
s=2, 22.2 % for G-Ghost-RegNetX-3.2GF. Recipe of GhostNet (released TensorFlow code):
400 epochs of batches of 1024, weight decay 4e-5, label smoothing 0.1, dropout 0.2; the
rate of 0.4 is from memory, its schedule not stated: here linear. G-Ghost follows
PyTorch's ImageNet example; the recipe of Ghost-ResNet-50 is not known: here G-Ghost's.
"""

from resnet_jax.config import configured

BASE = {
    "data.name": "imagenet2012",
    "data.augment": "imagenet_aspect",
    "data.workers": 8,
    "data.batch_size": 256,
    "optim.learning_rate": 0.1,
    "optim.weight_decay": 1e-4,
    "optim.schedule": "steps",
    "optim.schedule.boundaries": (1 / 3, 2 / 3),
    "train.epochs": 90.0,
    "train.dtype": "bfloat16",
}
GHOSTNET = {
    "model.name": "ghostnet",
    "model.size": "imagenet",
    "data.batch_size": 1024,
    "optim.learning_rate": 0.4,
    "optim.weight_decay": 4e-5,
    "optim.schedule": "linear",
    "train.epochs": 400.0,
    "train.label_smoothing": 0.1,
}
RESNET = {
    "model.name": "imagenet_resnet",
    "model.depth": 50,
    "model.unit.branch": {"name": "bottleneck", "stride_at": "3x3"},
}
GHOST = RESNET | {"model.operator": "ghost"}
SMALL = {f"GhostNet-{k}x": GHOSTNET | {"model.width": k} for k in (0.5, 1.0, 1.3)}
MODULES = {
    "ResNet-50": RESNET,
    "Ghost-ResNet-50-s2": GHOST | {"model.operator.ratio": 2},
    "Ghost-ResNet-50-s4": GHOST | {"model.operator.ratio": 4},
}
STAGES = {
    f"G-Ghost-RegNetX-{size}": {"model.name": "gghost", "model.variant": size}
    for size in ("3.2GF", "4.0GF", "8.0GF", "16GF")
}
REGNETX = {"model.name": "regnetx", "model.variant": "3.2GF"}
ROWS = SMALL | MODULES | STAGES | {"RegNetX-3.2GF": REGNETX}
SEEDS = (0,)
PAPER = {
    **{row: f"han2020/T7/{row.replace('-', ' ')}" for row in SMALL},
    "ResNet-50": "han2020/T6/ResNet-50",
    "Ghost-ResNet-50-s2": "han2020/T6/Ghost-ResNet-50 s=2",
    "Ghost-ResNet-50-s4": "han2020/T6/Ghost-ResNet-50 s=4",
    **{row: f"han2022/README/{row}" for row in STAGES},
}
RECIPE = dict.fromkeys(SMALL, "han2020/imagenet")
RECIPE |= dict.fromkeys(STAGES, "han2022/imagenet")
DEVIATIONS = {
    "data.augment": {
        "GhostNet*": "areas from 0.08 at every width, colour jitter of fb.resnet.torch "
        "with AlexNet's colours",
        "G-Ghost*": "with the colours of fb.resnet.torch, which the example leaves as "
        "they are",
    },
}


def get_config(row="GhostNet-1.0x"):
    return configured(BASE, ROWS, row)
