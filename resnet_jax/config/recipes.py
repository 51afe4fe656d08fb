"""Published training recipes as changes to the default config, with their sources."""

# He et al. 2016a and b: Caffe's momentum. Decaying kernels only: the papers are silent,
# the README of fb.resnet.torch says so of their code.
_HE2016 = {
    "optim.dialect": "caffe",
    "optim.learning_rate": 0.1,
    "optim.momentum": 0.9,
    "optim.weight_decay": 1e-4,
    "optim.decay": "kernels",
    "optim.schedule": "steps",
    "optim.schedule.decay_factor": 0.1,
}

# He et al. 2016a, Sec. 4.2 and 2016b, appendix: batches of 128 over 2 GPUs, 64k
# iterations, a tenth of the rate at 32k and at 48k.
HE2016_CIFAR = _HE2016 | {
    "model.name": "cifar_resnet",
    "model.norm.group": 64,
    "model.norm.precise": 200,
    "data.name": "cifar10",
    "data.batch_size": 128,
    "data.augment": "crop_flip",
    "optim.schedule.boundaries": (0.5, 0.75),
    "train.iterations": 64_000,
}

# 2016b: all CIFAR runs; 2016a: ResNet-110, until its training error is below 80 %.
HE2016_WARMUP = {
    "optim.warmup": {"name": "constant", "steps": 400, "learning_rate": 0.01},
}

# He et al. 2016a, Sec. 3.4: batches of 256 over 8 GPUs, up to 60e4 iterations; the rate
# is divided by 10 "when the error plateaus", here after each quarter.
HE2016_IMAGENET = _HE2016 | {
    "model.name": "imagenet_resnet",
    "model.norm.group": 32,
    "model.norm.precise": 1000,
    "data.name": "imagenet2012",
    "data.batch_size": 256,
    "data.augment": "imagenet_scale",
    "optim.schedule.boundaries": (0.25, 0.5, 0.75),
    "train.iterations": 600_000,
}

# Zagoruyko & Komodakis 2016, Sec. 3 and released code: 200 epochs of batches of 128,
# the rate times 0.2 at 60, 120 and 160, Nesterov momentum, mirrored borders.
WRN_CIFAR = {
    "model.name": "wide_resnet",
    "model.unit.order": "full_pre",
    "model.init": "he_fan_in",
    "data.name": "cifar10",
    "data.batch_size": 128,
    "data.augment": "crop_flip_reflect",
    "optim.learning_rate": 0.1,
    "optim.nesterov": True,
    "optim.weight_decay": 5e-4,
    "optim.schedule": "steps",
    "optim.schedule.boundaries": (0.3, 0.6, 0.8),
    "optim.schedule.decay_factor": 0.2,
    "train.epochs": 200.0,
}

# Xie et al. 2017, Sec. 5.3: batches of 128 over 8 GPUs, 300 epochs, a tenth of the rate
# at 150 and 225.
RESNEXT_CIFAR = {
    "model.name": "cifar_resnet",
    "model.unit.branch": {"name": "bottleneck", "stride_at": "3x3"},
    "model.norm.group": 16,
    "data.name": "cifar10",
    "data.batch_size": 128,
    "data.augment": "crop_flip_channel",
    "optim.learning_rate": 0.1,
    "optim.nesterov": True,
    "optim.weight_decay": 5e-4,
    "optim.schedule": "steps",
    "optim.schedule.boundaries": (0.5, 0.75),
    "train.epochs": 300.0,
}

# He et al. 2015, Sec. 3: batches of 128, rate 0.01, Caffe's momentum, nets without
# norms. Boundaries and length are set by each experiment.
HE2015_IMAGENET = {
    "model.norm": "none",
    "data.name": "imagenet2012",
    "data.batch_size": 128,
    "data.augment": "imagenet_scale",
    "data.workers": 8,
    "optim.dialect": "caffe",
    "optim.learning_rate": 0.01,
    "optim.weight_decay": 5e-4,
    "optim.schedule": "steps",
}

# Ours, for the embedded digits: about 20 s per run of 20 layers on two CPU cores. No
# paper reports these data.
DIGITS = {
    "model.name": "cifar_resnet",
    "data.name": "digits",
    "data.batch_size": 64,
    "data.augment": "crop",
    "optim.learning_rate": 0.1,
    "optim.nesterov": True,
    "optim.weight_decay": 5e-4,
    "optim.schedule": "cosine",
    "train.epochs": 20.0,
    "train.eval_every": 112,
    "train.checkpoint_every": 448,  # at the end only: a run takes seconds
}

# Deviations of all configs with a recipe of He et al. 2016, with the reason.
HE2016_DEVIATIONS = {
    "optim.decay": "the papers are silent; the README of fb.resnet.torch says that "
    "they decayed convolution weights only",
    "model.norm.dialect": "the running average of the papers' code is not published; "
    "statistics recomputed after training are logged beside it",
}
