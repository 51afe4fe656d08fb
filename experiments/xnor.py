"""Binary weights and XNOR-Net with ResNet-18 on ImageNet (Rastegari et al. 2016).

    python -m resnet_jax.main --config experiments/xnor.py:XNOR-Net

Table 2: 30.7 % top-1 error in full precision, 39.2 % with binary weights, 48.8 % with
binary inputs too. Recipe (Sec. 4.1): 58 epochs of batches of 256, learning rate 0.1
divided by 100 at 30 and 40, shorter side 256 to 480, shortcuts of type B. An XNOR
unit is norm, sign, convolution, so pre-activation without a rectifier; stem, classifier
and projections stay real (of projections the paper says nothing). Row `without-K` is
the released code's layer, which leaves the scale of the inputs out; with
--config.model.operator.rule=released it is trained as there: the gradient of a kernel
times n (1 - 1/c), kernels centred over their input channels and cut to -1..1 after
every update.
"""

from resnet_jax.config import configured

BASE = {
    "model.name": "imagenet_resnet",
    "model.depth": 18,
    "data.name": "imagenet2012",
    "data.batch_size": 256,
    "data.augment": "imagenet_scale",
    "data.workers": 8,
    "optim.learning_rate": 0.1,
    "optim.schedule": "steps",
    "optim.schedule.boundaries": (30 / 58, 40 / 58),
    "optim.schedule.decay_factor": 0.01,
    "train.epochs": 58.0,
    "train.dtype": "bfloat16",
}
NORM_SIGN_CONV = {"model.unit.order": "full_pre", "model.act": "none"}
ROWS = {
    "full-precision": {},
    "BWN": {"model.operator": "binary"},
    "XNOR-Net": NORM_SIGN_CONV | {"model.operator": "xnor"},
    "without-K": NORM_SIGN_CONV | {"model.operator": "xnor_signs"},
}
SEEDS = (0,)
PAPER = {
    "full-precision": "rastegari2016/T2/full precision/ResNet-18",
    "BWN": "rastegari2016/T2/BWN/ResNet-18",
    "XNOR-Net": "rastegari2016/T2/XNOR-Net/ResNet-18",
}
RECIPE = "rastegari2016/resnet"
DEVIATIONS = {
    "data.augment": "flips and AlexNet's colours, which the paper does not name",
    "evaluation": "the shorter side of test images is not stated; here 256",
}


def get_config(row="XNOR-Net"):
    return configured(BASE, ROWS, row)
