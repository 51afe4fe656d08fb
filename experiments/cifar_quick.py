"""Five orders at 20 layers in four epochs of CIFAR-10: a look, not a reproduction.

    python -m resnet_jax.main --config experiments/cifar_quick.py:full-pre

The rows of activation_order.py on ResNet-20, trained for 4 epochs instead of 164 with a
rate that rises for a tenth of the run and falls along a cosine: about ten minutes per
row on two CPU cores. The paper has no such table.
"""

from resnet_jax.config import configured

BASE = {
    "model.name": "cifar_resnet",
    "model.depth": 20,
    "model.unit.shortcut": "A",
    "data.name": "cifar10",
    "data.batch_size": 128,
    "data.augment": "crop_flip",
    "optim.learning_rate": 0.1,
    "optim.nesterov": True,
    "optim.weight_decay": 5e-4,
    "optim.schedule": "cosine",
    "optim.warmup.steps": 156,
    "optim.warmup": "linear",
    "optim.warmup.learning_rate": 0.01,
    "train.epochs": 4.0,
    "train.eval_every": 391,
}
ROWS = {
    "full-pre": {"model.unit.order": "full_pre"},
    "original": {"model.unit.order": "original"},
    "norm-after-addition": {"model.unit.order": "norm_after_addition"},
    "relu-before-addition": {"model.unit.order": "relu_before_addition"},
    "relu-only-pre": {"model.unit.order": "relu_only_pre"},
}
SEEDS = (0,)
PAPER = {}


def get_config(row="full-pre"):
    return configured(BASE, ROWS, row)
