"""Starting from a trained net against starting fresh, with 20, 50 and 100 images.

    python -m resnet_jax.main --config experiments/digits_source.py
    python -m resnet_jax.sweep --config experiments/digits_transfer.py

A net that was trained on the digits 0 to 4 learns the digits 5 to 9 from the first
images of their training set, which are the same for all seeds: "fresh" draws all
parameters, "tuned" starts from the trained net with a tenth of the rate for all layers
but the new head, "head" trains the head alone, on frozen features. 200 iterations of
batches of 20. The rates were chosen beforehand. No paper's claim.
"""

from resnet_jax.config import configured
from resnet_jax.config.recipes import DIGITS

BASE = DIGITS | {
    "model.depth": 20,
    "model.unit.order": "full_pre",
    "model.unit.shortcut": "A",
    "data.name": "digits_high",
    "data.batch_size": 20,
    "train.epochs": None,
    "train.iterations": 200,
    "train.eval_every": 100,
    "train.checkpoint_every": 200,
}
SOURCE = {"train.start_from": "runs/digits_source/PreAct-20/seed0"}
LAYERS = ("stem_conv", "norm_stem", "stage1", "stage2", "stage3", "norm_head")
WAYS = {
    "fresh": {},
    "tuned": SOURCE | {"optim.factors": tuple((name, 0.1) for name in LAYERS)},
    "head": SOURCE | {"optim.frozen": LAYERS, "model.norm.frozen": True},
}
ROWS = {
    f"{way}-{images}": {"data.split": f"{images}/100", **changes}
    for images in (20, 50, 100)
    for way, changes in WAYS.items()
}
SEEDS = (0, 1, 2, 3, 4)
PAPER = {}


def get_config(row="tuned-50"):
    return configured(BASE, ROWS, row)
