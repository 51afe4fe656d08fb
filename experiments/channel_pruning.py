"""Channel pruning of ImageNet nets (He et al. 2017, Sec. 4).

    python -m resnet_jax.convert --from torchvision/vgg16 FILE --out runs/vgg16
    python -m resnet_jax.main --config experiments/channel_pruning.py:VGG-16-4x

The networks are released ones: runs/vgg16 and runs/resnet50 are converted from
torchvision's, runs/xception/Xception-50/seed0 is trained by xception.py. Top-5 errors
rise by 1.0 for VGG-16 at 4x and 1.4 for ResNet-50 at 2x (from memory), from those of
other weights than these. Channels that stay: 1 to 1.5 between the first three stages
and the fourth of VGG-16, all of the fifth (Sec. 4.1.2); in ResNet-50 all of the first
unit of each stage and of the last stage, as far as the released net tells (its units
keep more there). 5,000 images, 10 places of each; fine-tuning for 10 epochs at a rate
of 1e-5 in batches of 128, without weight decay (released solver). "first" and
"response" are the baselines of Fig. 4.
"""

from resnet_jax.config import configured

BASE = {
    "data.name": "imagenet2012",
    "data.workers": 8,
    "data.augment": "imagenet_scale",
    "data.batch_size": 128,
    "optim.learning_rate": 1e-5,
    "optim.weight_decay": 0.0,
    "optim.schedule": "constant",
    "train.epochs": 10.0,
}
VGG = {
    "model.name": "vgg",
    "model.depth": 16,
    "model.size": "imagenet",
    "model.variant": "fc",
    "model.norm": None,
    "train.start_from": "runs/vgg16",
}
RESNET = {
    "model.name": "imagenet_resnet",
    "model.depth": 50,
    "model.unit.branch": {"name": "bottleneck", "stride_at": "3x3"},
    "train.start_from": "runs/resnet50",
}
XCEPTION = {
    "model.name": "imagenet_resnet",
    "model.depth": 50,
    "model.unit.branch": "separable_bottleneck",
    "train.start_from": "runs/xception/Xception-50/seed0",
}
VGG_RATIOS = tuple((f"conv{i}", 1.5) for i in (8, 9, 10))
VGG_RATIOS += tuple((f"conv{i}", 0.0) for i in (11, 12, 13))
# Units are counted through the stages of 3, 4, 6 and 3.
RESNET_RATIOS = tuple((f"stage{i}", 0.0) for i in (1, 4, 8, 14, 15, 16))


def cut(net, speedup, select="lasso", ratios=()):
    """Fields of a row."""
    how = {"name": select, "speedup": speedup, "ratios": ratios}
    return net | {"train.prune": how}


ROWS = {
    "VGG-16-2x": cut(VGG, 2.0, ratios=VGG_RATIOS),
    "VGG-16-4x": cut(VGG, 4.0, ratios=VGG_RATIOS),
    "VGG-16-5x": cut(VGG, 5.0, ratios=VGG_RATIOS),
    "VGG-16-4x-first": cut(VGG, 4.0, "first", VGG_RATIOS),
    "VGG-16-4x-response": cut(VGG, 4.0, "response", VGG_RATIOS),
    "ResNet-50-1.5x": cut(RESNET, 1.5, ratios=RESNET_RATIOS),
    "ResNet-50-2x": cut(RESNET, 2.0),
    "Xception-50-2x": cut(XCEPTION, 2.0),
}
SEEDS = (0,)
PAPER = {
    "VGG-16-2x": "he2017/text/VGG-16/2x",
    "VGG-16-4x": "he2017/text/VGG-16/4x",
    "VGG-16-5x": "he2017/text/VGG-16/5x",
    "ResNet-50-2x": "he2017/text/ResNet-50/2x",
    "Xception-50-2x": "he2017/text/Xception-50/2x",
}


def get_config(row="VGG-16-4x"):
    return configured(BASE, ROWS, row)
