"""All-CNN and its controls on CIFAR-10 (Springenberg et al. 2015, Table 3).

    python -m resnet_jax.main --config experiments/all_cnn.py:All-CNN-C

9.08 % test error for All-CNN-C without augmentation, 9.74 % for C with pools. Recipe
(Sec. 3): momentum 0.9, the best of the rates 0.25, 0.1, 0.05 and 0.01, divided by 10 at
epochs 200, 250 and 300 of 350, weight decay 1e-3, dropout of 20 % of the input and 50 %
after each pool or its replacement, no norms. Batch size and initialisation are not
published. The paper prints about 1.3M parameters for C and Strided-C; its table of
layers gives fewer.
"""

from resnet_jax.config import configured

BASE = {
    "model.name": "all_cnn",
    "model.norm": "none",
    "data.name": "cifar10",
    "data.batch_size": 128,
    "optim.learning_rate": 0.01,
    "optim.weight_decay": 1e-3,
    "optim.decay": "kernels",
    "optim.schedule": "steps",
    "optim.schedule.boundaries": (200 / 350, 250 / 350, 300 / 350),
    "train.epochs": 350.0,
}
MODELS = [
    f"{form}-{letter}".strip("-")
    for letter in "ABC"
    for form in ("", "Strided", "ConvPool", "All-CNN")
]
ROWS = {model: {"model.variant": model} for model in MODELS} | {
    "All-CNN-C-augmented": {"model.variant": "All-CNN-C", "data.augment": "crop_flip"}
}
SEEDS = (0,)
PAPER = {model: f"springenberg2015/T3/{model}" for model in MODELS} | {
    "All-CNN-C-augmented": "springenberg2015/text/All-CNN-C with augmentation"
}
RECIPE = {
    row: "springenberg2015/cifar" + "/augmented" * row.endswith("augmented")
    for row in ROWS
}
DEVIATIONS = {
    "optim.learning_rate": "one of the four rates that the paper chose the best of",
    "data.augment": {"*-augmented": "crops of a 4-pixel pad; theirs shift by up to 5"},
    "data.normalize": "channel mean and std, the mean of each pixel where augmented; "
    "the paper normalises contrast and whitens",
    "data.batch_size": "not stated; here the usual 128",
    "model.init": "not stated; here that of He et al. 2015",
}


def get_config(row="All-CNN-C"):
    return configured(BASE, ROWS, row)
