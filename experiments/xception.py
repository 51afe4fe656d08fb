"""Xception on ImageNet (Chollet 2017).

    python -m resnet_jax.main --config experiments/xception.py

79.0 % top-1 and 94.5 % top-5 accuracy, single crop (Table 1). Recipe (Sec. 4.2 and 4.3):
SGD with momentum 0.9, rate 0.045 times 0.94 every 2 epochs, weight decay 1e-5, dropout
0.5 before the classifier, Polyak averages at test. Epochs, batches, augmentation and the
decay of the averages are not stated: 100 epochs of batches of 256, the augmentation of
fb.resnet.torch and 0.9999 are ours. Whether the weight decay is that of the gradient or,
as in Keras, of the loss, where 1e-5 is 2e-5 in the gradient, is not stated either: here
it is the gradient's. Images have 299 pixels there, 224 here: no augmentation crops more.
"""

from resnet_jax.config import configured

EPOCHS = 100
BASE = {
    "model.name": "xception",
    "model.size": "imagenet",
    "model.init": "he_fan_in",  # fan_out of depthwise kernels counts all channels
    "model.norm.dialect": "tensorflow",
    "data.name": "imagenet2012",
    "data.augment": "imagenet_aspect",
    "data.workers": 8,
    "data.batch_size": 256,
    "optim.learning_rate": 0.045,
    "optim.momentum": 0.9,
    "optim.weight_decay": 1e-5,
    "optim.decay": "kernels",
    "optim.schedule": "steps",
    "optim.schedule.boundaries": tuple(n / EPOCHS for n in range(2, EPOCHS, 2)),
    "optim.schedule.decay_factor": 0.94,
    "train.epochs": float(EPOCHS),
    "train.ema": 0.9999,
}
ROWS = {"Xception": {}}
SEEDS = (0,)
PAPER = {"Xception": "chollet2017/T1/Xception"}
RECIPE = "chollet2017/imagenet"
DEVIATIONS = {
    "optim.schedule.boundaries": "every 2 epochs of 100, a length of ours",
    "data.sizes": "224, the size of the crops",
    "evaluation": "centre crop of 224; theirs has 299 pixels",
}


def get_config(row="Xception"):
    return configured(BASE, ROWS, row)
