"""A pre-activation ResNet on handwritten digits: the whole way in about a minute.

    python -m resnet_jax.main --config experiments/digits_preact.py

The data are the 1,797 handwritten digits of scikit-learn, 8x8 grey pixels; they are
prepared on first use, offline. No paper reports this split.
"""

from resnet_jax.config import configured

BASE = {
    "model.name": "cifar_resnet",
    "model.depth": 20,
    "model.unit.order": "full_pre",
    "model.unit.shortcut": "A",
    "data.name": "digits",
    "data.batch_size": 64,
    "data.augment": "crop",
    "optim.learning_rate": 0.1,
    "optim.weight_decay": 5e-4,
    "optim.nesterov": "nesterov",
    "optim.schedule": "cosine",
    "train.epochs": 40.0,
    "train.eval_every": 112,
}
ROWS = {
    "PreAct-20": {},
    "ResNet-20": {"model.unit.order": "original"},
}
SEEDS = (0, 1, 2)
PAPER = {}


def get_config(row="PreAct-20"):
    return configured(BASE, ROWS, row)
