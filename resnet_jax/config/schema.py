"""The fields of a config, their types, their defaults and their rules."""

import dataclasses
from typing import Annotated, Any, Literal

import pydantic
import pydantic.dataclasses
from pydantic import Field

STRICT = pydantic.ConfigDict(extra="forbid")

Count = Annotated[int, Field(ge=1)]
Number = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


@pydantic.dataclasses.dataclass(frozen=True, config=STRICT)
class UnitConfig:
    """What fills the slots of the residual unit."""

    branch: Literal["auto", "basic", "bottleneck", "single", "min", "multigrid"] = (
        "auto"
    )
    stride_at: Literal["1x1", "3x3"] = "1x1"  # of a bottleneck: paper, or torchvision
    cardinality: Count = 1  # C of ResNeXt's CxDd: groups of a bottleneck,
    group_width: Positive = 64.0  # D: their width, where the template has 64 channels
    kernels: tuple[Count, ...] = (3, 3)  # B(M) of a wide net
    tableau: Literal[
        "euler", "midpoint", "heun", "kutta3", "rk4", "implicit_euler",
        "implicit_midpoint",
    ] = "rk4"  # fmt: skip
    sweeps: Count = 1  # over the slopes of a Runge-Kutta step
    mg_group: Count = 32  # channels of a group, and the coarsest level, of a V-cycle
    mg_coarsest: Annotated[int, Field(ge=2)] = 32
    order: Literal[
        "original",
        "norm_after_addition",
        "relu_before_addition",
        "relu_only_pre",
        "full_pre",
        "pyramid",
    ] = "original"
    shortcut: Literal["A", "B", "C", "avgpool-A", "none"] = "B"
    join: Literal[
        "add", "scaled", "exclusive_gating", "shortcut_only_gating", "dropout"
    ] = "add"
    scales: tuple[Finite, Finite] = (0.5, 0.5)  # of shortcut and branch, for "scaled"
    gating_bias: Finite = -6.0  # b_g, for the two gatings
    dropout_rate: Share = 0.5  # for "dropout"
    gate: Literal["none", "se"] = "none"
    se_reduction: Count = 16
    se_place: Literal["standard", "pre", "post", "identity"] = "standard"
    # p_L of stochastic depth: that of the last unit
    survival: Annotated[float, Field(gt=0, le=1)] = 1.0
    dropped: Literal["closed", "shaken"] = "closed"  # stochastic depth, or ShakeDrop
    arms: Literal[1, 2] = 1  # 2: Shake-Shake
    noise: Literal["none", "dropout", "spatial_dropout", "drop_block"] = "none"
    noise_rate: Share = 0.3  # ahead of a branch's last convolution
    noise_block: Count = 7  # pixels on a side, for "drop_block"


@pydantic.dataclasses.dataclass(frozen=True, config=STRICT)
class NormConfig:
    """BatchNorm: whose conventions, and which examples share statistics."""

    # "none": no norm, biases in its place
    dialect: Literal["torch", "caffe", "tensorflow", "none"] = "torch"
    group: Literal["global", "device"] | Count = "global"
    momentum: Share | None = None  # None: the dialect's
    epsilon: Positive | None = None
    precise: Number = 0  # training batches to recompute statistics over, at the end


@pydantic.dataclasses.dataclass(frozen=True, config=STRICT)
class ModelConfig:
    """The network."""

    name: Literal[
        "cifar_resnet", "imagenet_resnet", "wide_resnet", "plain",
        "resnet_3d", "small_resnet_3d", "min_net", "mgic_net", "rk_resnet", "rkcnn",
        "ghostnet", "regnetx", "gghost",
        "densenet", "densenet_imagenet", "hardnet", "threshnet",
        "nin", "all_cnn", "vgg", "prelu_small", "prelu_large", "spp_net",
        "places2",
    ] = "cifar_resnet"  # fmt: skip
    depth: Count = 20  # weighted layers, as the papers count them
    width: Positive = 1.0  # factor on all widths
    variant: Annotated[str, Field(pattern=r"^[\w.-]*$")] = ""  # "All-CNN-C", "3.2GF"
    # the images that a plain net or a GhostNet is for
    size: Literal["cifar", "imagenet", "digits"] = "cifar"
    growth: Count | None = None  # k of DenseNets; None: the paper's
    compression: Annotated[float, Field(gt=0, le=1)] = 1.0  # of their transitions
    links: Literal["dense", "harmonic", "threshold"] = "dense"  # between their layers
    levels: tuple[Count, ...] = ()  # of a pyramid for the head's pool; (): none
    # (stage, first stage that its loss reaches) of each head inside a net
    relays: tuple[tuple[Count, Count], ...] = ()
    # what stands for every convolution behind the stem, and the Ghost module's s and d
    operator: Literal["none", "ghost", "binary", "xnor", "xnor_signs"] = "none"
    ghost_ratio: Annotated[int, Field(ge=2)] = 2
    ghost_kernel: Count = 3
    ghost_share: Share = 0.0  # lambda of G-Ghost stages in a residual net; 0: none
    num_classes: Count | None = None  # None: as many as the data has
    act: Literal[
        "relu", "relu6", "leaky_relu", "prelu", "prelu_shared", "rrelu", "elu", "none"
    ] = "relu"
    slope: Finite | None = None  # of the negative part, at first; None: the paper's
    init: Literal["he_fan_out", "he_fan_in", "xavier", "orthogonal", "lsuv"] = (
        "he_fan_out"
    )
    unit: UnitConfig = UnitConfig()
    norm: NormConfig = NormConfig()
    # how depth is run: a mode, or one for each stage ("remat,scan,scan")
    depth_mode: Annotated[
        str, Field(pattern=r"^(scan|unroll|remat|sqrt)(,(scan|unroll|remat|sqrt))*$")
    ] = "scan"


@pydantic.dataclasses.dataclass(frozen=True, config=STRICT)
class DataConfig:
    """The data set, by its tfds name, and how it is fed."""

    name: Annotated[str, Field(pattern=r"^[\w./:-]+$")] = "digits"
    dir: str | None = None  # None: $TFDS_DATA_DIR or ~/tensorflow_datasets
    batch_size: Count = 128  # of one update, over all devices
    split: Annotated[str, Field(pattern=r"^(full|\d+k?/\d+k?)$")] = "full"
    feed: Literal["auto", "resident", "streaming"] = "auto"
    augment: Literal[
        "none",
        "crop",
        "crop_flip",
        "crop_flip_channel",
        "crop_flip_reflect",
        "imagenet_scale",
        "imagenet_aspect",
    ] = "none"
    # None: as the augmentation's paper does
    normalize: Literal["none", "pixel_mean", "channel"] | None = None
    # pixels on a side of training images, an epoch each in turn; (): as they are
    sizes: tuple[Count, ...] = ()
    workers: Number = 0  # processes that decode, where streaming; 0: threads
    policy: Literal["none", "randaugment", "augmix"] = "none"
    policy_operations: Count = 2  # of randaugment, one after the other
    policy_magnitude: Annotated[float, Field(ge=1, le=10)] = 9.0
    cutout: Number = 0  # pixels on a side; 0: none
    erasing: Share = 0.0  # probability that a random box is erased
    mix: Literal["none", "mixup", "cutmix"] = "none"
    mix_alpha: Positive = 1.0  # of the Beta distribution of shares
    mix_probability: Annotated[float, Field(gt=0, le=1)] = 1.0  # of a batch


@pydantic.dataclasses.dataclass(frozen=True, config=STRICT)
class OptimConfig:
    """The optimizer and its schedule, in iterations (updates)."""

    name: Literal["sgd", "adamw"] = "sgd"
    learning_rate: Positive = 0.1
    momentum: Share = 0.9
    dampening: Share = 0.0
    dialect: Literal["torch", "caffe"] = "torch"
    nesterov: Literal["none", "nesterov"] = "none"
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1e-4
    decay: Literal["all", "kernels"] = "all"  # slopes never decay
    schedule: Literal["steps", "cosine", "linear", "constant"] = "steps"
    # where the rate drops: iterations, or shares of the run where below 1
    boundaries: tuple[Positive, ...] = (0.5, 0.75)
    factor: Positive = 0.1
    warmup: Number = 0  # iterations; at most a tenth of the run
    warmup_kind: Literal["linear", "constant"] = "constant"
    warmup_rate: Positive = 0.01


@pydantic.dataclasses.dataclass(frozen=True, config=STRICT)
class TrainConfig:
    """How long, how precise, how spread, and how often to look and to save."""

    epochs: Positive | None = None  # either this or
    iterations: Count | None = None  # this is the length of the schedule
    steps: Count | None = None  # ends a run early, whatever the schedule
    dtype: Literal["float32", "bfloat16", "float64"] = "float32"
    spmd: Literal["jit", "pmap"] = "jit"
    steps_per_call: Count | None = None  # None: 8 on a CPU, 1 elsewhere
    eval_every: Count | None = None  # steps; None: about once an epoch
    checkpoint_every: Count | None = None  # steps; None: as eval_every
    accumulate: Count = 1  # parts a batch is cut into
    label_smoothing: Share = 0.0
    relay_weight: Positive = 1.0  # of the loss behind each of model.relays
    ema: Share = 0.0  # decay of a moving average of parameters; 0: none
    max_skips: Number = 0  # non-finite updates to leave out before stopping
    tensorboard: Literal["off", "on"] = "off"
    seeds: tuple[Seed, ...] = ()  # trained by one program, each as a run; (): `seed`


@pydantic.dataclasses.dataclass(frozen=True, config=STRICT)
class Config:
    """One row of one experiment, resolved and valid."""

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()
    seed: Seed = 0

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that one program trains."""
        return self.train.seeds or (self.seed,)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


# Changing these does not change what a run computes, so it may resume.
OPERATIONAL = (
    "data.dir",
    "data.feed",
    "data.workers",
    "model.depth_mode",
    "train.checkpoint_every",
    "train.seeds",
    "train.steps",
    "train.steps_per_call",
    "train.tensorboard",
)
