"""ResNeXt on CIFAR-10 (Xie et al. 2017, Table 7) and on ImageNet (Table 3).

    python -m resnet_jax.main --config experiments/resnext.py:ResNeXt-29-8x64d

Mean of 10 runs on CIFAR-10: 3.65 % test error for 8x64d, 3.58 % for 16x64d. CxDd reads
C groups of D channels in the first stage. The grouped convolution is the paper's form
(c); a test shows that forms (a), a sum of paths, and (b), a concatenation, equal it.
"""

from resnet_jax.config import configured
from resnet_jax.config.recipes import RESNEXT_CIFAR

BASE = RESNEXT_CIFAR
IMAGENET = {
    "model.name": "imagenet_resnet",
    "model.unit.branch": {"name": "bottleneck", "stride_at": "3x3"},
    "model.norm.group": 32,
    "data.name": "imagenet2012",
    "data.batch_size": 256,
    "data.augment": "imagenet_aspect",
    "optim.weight_decay": 1e-4,
    "optim.schedule.boundaries": (0.3, 0.6, 0.9),
    "train.epochs": 100.0,
}


def template(groups, width):
    groups = {"cardinality": groups, "group_width": float(width)}
    return {f"model.unit.branch.{name}": value for name, value in groups.items()}


CIFAR = {"model.depth": 29, "model.width": 4.0}
TEMPLATES = {
    "1x64d": template(1, 64),
    "2x40d": template(2, 40),
    "4x24d": template(4, 24),
    "8x14d": template(8, 14),
    "32x4d": template(32, 4),
}
ROWS = {
    "ResNeXt-29-8x64d": CIFAR | template(8, 64),
    "ResNeXt-29-16x64d": CIFAR | template(16, 64),
    **{
        f"ResNeXt-{depth}-{name}": IMAGENET | {"model.depth": depth} | groups
        for depth in (50, 101)
        for name, groups in TEMPLATES.items()
    },
}
SEEDS = tuple(range(10))
PAPER = {
    row: f"xie2017/T7/{row}/CIFAR-10" if "-29-" in row else f"xie2017/T3/{row}"
    for row in ROWS
}
RECIPE = {row: "xie2017/cifar" if "-29-" in row else "xie2017/imagenet" for row in ROWS}
DEVIATIONS = {}


def get_config(row="ResNeXt-29-8x64d"):
    return configured(BASE, ROWS, row)
