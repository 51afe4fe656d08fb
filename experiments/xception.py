"""Xception (Chollet 2017) and Xception-50 (He et al. 2017) on ImageNet.

    python -m resnet_jax.main --config experiments/xception.py:Xception

79.0 % top-1 and 94.5 % top-5 accuracy for Xception, single crop (Table 1). Recipe (Sec.
4.2 and 4.3): SGD with momentum 0.9, rate 0.045 times 0.94 every 2 epochs, weight decay
1e-5, dropout 0.5 before the classifier, averaged parameters at test. Not stated are
epochs, batches, augmentation, initialisation and the decay of the average: 100 epochs
of batches of 256, the augmentation of fb.resnet.torch, He's initialisation and 0.9999
are ours. Nor is whether 1e-5 is a factor of squared weights in the loss, as in Keras,
where the gradient has twice that: here the gradient has 1e-5. Their images have 299
pixels, here 224, as no augmentation has larger crops.

Xception-50 has 92.8 % top-5 accuracy before it is pruned (from memory). It is ResNet-50
with separable convolutions and about 4,450M multiply-adds; it was not released. Our
reading: each convolution of a bottleneck is a depthwise 3x3 and a pointwise one, inside
of twice the width; the first depthwise one subsamples; stem and projections stay. That
makes 4,449.7M. The places of its norms and its training are not known: here those of
ResNet-50, with the recipe of He et al. 2016a.
"""

from resnet_jax.config import configured
from resnet_jax.config.recipes import HE2016_IMAGENET

EPOCHS = 100
BASE = {
    "data.name": "imagenet2012",
    "data.workers": 8,
    "train.epochs": float(EPOCHS),
}
XCEPTION = {
    "model.name": "xception",
    "model.size": "imagenet",
    "model.init": "he_fan_in",  # fan_out of depthwise kernels counts all channels
    "model.norm.dialect": "tensorflow",
    "data.augment": "imagenet_aspect",
    "data.batch_size": 256,
    "optim.learning_rate": 0.045,
    "optim.weight_decay": 1e-5,
    "optim.decay": "kernels",
    "optim.schedule": "steps",
    "optim.schedule.boundaries": tuple(n / EPOCHS for n in range(2, EPOCHS, 2)),
    "optim.schedule.decay_factor": 0.94,
    "train.ema": 0.9999,
}
XCEPTION_50 = HE2016_IMAGENET | {
    "model.depth": 50,
    "model.init": "he_fan_in",
    "model.unit.branch": "separable_bottleneck",
    "train.epochs": None,  # but iterations
}
ROWS = {"Xception": XCEPTION, "Xception-50": XCEPTION_50}
SEEDS = (0,)
PAPER = {
    "Xception": "chollet2017/T1/Xception",
    "Xception-50": "he2017/text/Xception-50",
}
RECIPE = {"Xception": "chollet2017/imagenet"}
DEVIATIONS = {
    "optim.schedule.boundaries": {
        "Xception": "every 2 epochs of 100, a length of ours",
    },
    "data.sizes": {"Xception": "224, the size of the crops"},
    "evaluation": {"Xception": "a centre crop of 224; theirs has 299 pixels"},
}


def get_config(row="Xception"):
    return configured(BASE, ROWS, row)
