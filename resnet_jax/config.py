"""The fields of a config, their types and their rules; no jax is needed to read one.

An experiment file names changes to the defaults below (`configured`); the command line
changes more; `validated` turns the result into frozen dataclasses or says everything
that is wrong with it. Past this point nobody sees a ConfigDict.
"""

import dataclasses
import re
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import ml_collections
import pydantic
import pydantic.dataclasses
from ml_collections import config_dict
from pydantic import Field

from resnet_jax.errors import ConfigError
from resnet_jax.spec import did_you_mean

STRICT = pydantic.ConfigDict(extra="forbid")

Count = Annotated[int, Field(ge=1)]
Number = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


@pydantic.dataclasses.dataclass(frozen=True, config=STRICT)
class UnitConfig:
    """What fills the slots of the residual unit."""

    branch: Literal["auto", "basic", "bottleneck", "single"] = "auto"
    stride_at: Literal["1x1", "3x3"] = "1x1"  # of a bottleneck: paper, or torchvision
    order: Literal[
        "original",
        "norm_after_addition",
        "relu_before_addition",
        "relu_only_pre",
        "full_pre",
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
    # p_L of stochastic depth: that of the last unit
    survival: Annotated[float, Field(gt=0, le=1)] = 1.0


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

    name: Literal["cifar_resnet", "imagenet_resnet", "plain"] = "cifar_resnet"
    depth: Count = 20  # weighted layers, as the papers count them
    width: Positive = 1.0  # factor on all widths
    num_classes: Count | None = None  # None: as many as the data has
    act: Literal["relu", "leaky_relu", "prelu", "prelu_shared", "rrelu", "elu"] = "relu"
    slope: Finite | None = None  # of the negative part, at first; None: the paper's
    init: Literal["he_fan_out", "he_fan_in", "xavier", "orthogonal", "lsuv"] = (
        "he_fan_out"
    )
    unit: UnitConfig = UnitConfig()
    norm: NormConfig = NormConfig()
    depth_mode: Literal["scan", "unroll", "remat"] = "scan"


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
        "imagenet_scale",
        "imagenet_aspect",
    ] = "none"
    # None: as the augmentation's paper does
    normalize: Literal["none", "pixel_mean", "channel"] | None = None
    workers: Number = 0  # processes that decode, where streaming; 0: threads


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

    epochs: Positive | None = None  # either this (which wins) or
    iterations: Count | None = None  # this is the length of the schedule
    steps: Count | None = None  # ends a run early, whatever the schedule
    dtype: Literal["float32", "bfloat16", "float64"] = "float32"
    spmd: Literal["jit", "pmap"] = "jit"
    steps_per_call: Count = 1
    eval_every: Count | None = None  # steps; None: about once an epoch
    checkpoint_every: Count | None = None  # steps; None: as eval_every
    accumulate: Count = 1  # parts a batch is cut into
    label_smoothing: Share = 0.0
    ema: Share = 0.0  # decay of a moving average of parameters; 0: none
    max_skips: Number = 0  # non-finite updates to leave out before stopping
    tensorboard: Literal["off", "on"] = "off"


@pydantic.dataclasses.dataclass(frozen=True, config=STRICT)
class Config:
    """One row of one experiment, resolved and valid."""

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


# Changing these does not change what a run computes, so it may resume.
OPERATIONAL = (
    "data.dir",
    "data.feed",
    "data.workers",
    "model.depth_mode",
    "train.checkpoint_every",
    "train.steps",
    "train.steps_per_call",
    "train.tensorboard",
)


def configured(
    base: Mapping[str, Any], rows: Mapping[str, Mapping[str, Any]], row: str
) -> ml_collections.ConfigDict:
    """The defaults with the changes of an experiment and of one of its rows.

    `base` and each row map dotted paths to values.
    """
    if row not in rows:
        raise ConfigError(
            f"row {row!r}: this experiment has {', '.join(rows)}"
            f"{did_you_mean(row, list(rows))}"
        )
    config = _defaults(Config)
    for path, value in (dict(base) | dict(rows[row])).items():
        if problem := unknown(config, path):
            raise ConfigError(problem)
        owner, _, name = path.rpartition(".")
        section = config[owner] if owner else config
        # An int where "global" may stand stays text until it is validated.
        kind = section.get_type(name)
        section[name] = (
            kind(value) if kind in (float, str) and value is not None else value
        )
    return config


def unknown(config: ml_collections.ConfigDict, path: str) -> str | None:
    """What is wrong with a dotted path, or nothing."""
    section: Any = config
    for i, name in enumerate(path.split(".")):
        fields = list(section) if isinstance(section, ml_collections.ConfigDict) else []
        if name not in fields:
            where = ".".join(["config", *path.split(".")[:i]])
            return (
                f"{path}: {where} has no field {name!r}; it has "
                f"{', '.join(fields) or 'none'}{did_you_mean(name, fields)}"
            )
        section = section[name]
    return None


def validated(config: Mapping[str, Any]) -> Config:
    """A Config of nested plain values, or a ConfigError with a line a problem."""
    try:
        checked = _ADAPTER.validate_python(config)
    except pydantic.ValidationError as error:
        raise ConfigError("\n".join(_problems(error, config))) from None
    if checked.train.epochs is None and checked.train.iterations is None:
        raise ConfigError("train.epochs=None: set it, or train.iterations")
    return checked


def _defaults(schema: type) -> ml_collections.ConfigDict:
    """A ConfigDict of all fields; those that may be None keep their type."""
    config = ml_collections.ConfigDict()
    hints = typing.get_type_hints(schema)
    for field in dataclasses.fields(schema):
        if dataclasses.is_dataclass(hints[field.name]):
            config[field.name] = _defaults(hints[field.name])
        elif field.default is None:
            config[field.name] = config_dict.placeholder(_plain(hints[field.name]))
        else:
            config[field.name] = field.default
    return config


def _plain(hint: Any) -> type:
    """int, float or str of `int | None` and the like."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return _plain(next(a for a in typing.get_args(hint) if a is not type(None)))
    if typing.get_origin(hint) is Literal:
        return type(typing.get_args(hint)[0])
    return hint


def _problems(error: pydantic.ValidationError, config: Mapping[str, Any]) -> list[str]:
    """`model.depth=0: must be greater than or equal to 1`, a line a field."""
    rules: dict[str, list[str]] = {}
    for problem in error.errors():
        path, value = _field(problem["loc"], config)
        rule = re.sub(r"^(Input|String) should", "must", problem["msg"])
        rules.setdefault(f"{path}={value!r}", []).append(rule)
    return [f"{field}: {' or '.join(rule)}" for field, rule in rules.items()]


def _field(loc: tuple[Any, ...], config: Any) -> tuple[str, Any]:
    """The path of a field, without what pydantic appends for unions and tuples."""
    names = []
    for name in loc:
        if not isinstance(config, Mapping) or name not in config:
            break
        names.append(str(name))
        config = config[name]
    return ".".join(names or map(str, loc)), config


_ADAPTER = pydantic.TypeAdapter(Config)
