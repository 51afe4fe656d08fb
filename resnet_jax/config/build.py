"""From the words of a config to specs: layers, optimizer, and the named rules.

Derived values (iterations, boundaries, groups) are computed here, after every override.
"""

import dataclasses
from typing import Any

from resnet_jax.config import families
from resnet_jax.config.schema import Config, ModelConfig
from resnet_jax.errors import ConfigError
from resnet_jax.models.layers import activations as rectifiers
from resnet_jax.models.layers import batchnorm
from resnet_jax.models.layers.initializers import InitSpec
from resnet_jax.models.layers.layers import LayersSpec, Operator
from resnet_jax.models.layers.operators import BWN, XNOR, Binary, Ghost
from resnet_jax.models.nets import densenet
from resnet_jax.train.optim import OptimSpec

OPERATORS = {
    "none": None,
    "binary": BWN,
    "xnor": XNOR,
    "xnor_signs": Binary("signs"),
}
NORMS = {
    "torch": batchnorm.TORCH,
    "caffe": batchnorm.CAFFE,
    "tensorflow": batchnorm.TENSORFLOW,
}
RECTIFIERS = {
    "relu": rectifiers.Relu(),
    "leaky_relu": rectifiers.LeakyRelu(),
    "prelu": rectifiers.PRelu("channel"),
    "prelu_shared": rectifiers.PRelu("layer"),
    "rrelu": rectifiers.RRelu(),
    "relu6": densenet.Relu6(),
    "elu": rectifiers.Elu(),
    "none": rectifiers.Linear(),
}
INITS = {
    "he_fan_out": InitSpec("he", "fan_out"),
    "he_fan_in": InitSpec("he", "fan_in"),
    "xavier": InitSpec("xavier", "fan_in"),
    "orthogonal": InitSpec("orthogonal"),
    "lsuv": InitSpec("orthogonal"),  # and then scaled, layer by layer, on a batch
}


def network(
    config: Config, *, num_classes: int, devices: int, axis_name: str | None = None
) -> Any:
    """The network of a config, where batches are spread over so many devices."""
    model = config.model
    part = config.data.batch_size // config.train.accumulate
    group = norm_group(config, devices=devices)
    local = part // devices if axis_name else part
    if group and local % group:
        raise ConfigError(
            f"model.norm.group={model.norm.group}: does not divide the {local} images "
            "that are normalised together (data.batch_size over train.accumulate"
            f"{' and devices' if axis_name else ''})"
        )
    if config.train.relay_weight != 1 and not model.relays:
        raise ConfigError(
            f"train.relay_weight={config.train.relay_weight}: model.relays=() has no "
            "loss to weigh; leave it out"
        )
    spec = families.network(model)
    layers = LayersSpec(
        act=rectifier(model),
        norm=norm(model, group=group, axis_name=axis_name),
        init=INITS[model.init],
        dtype=config.train.dtype,
        rank=spec.layers.rank,
        operator=operator(model),
    )
    fields = {"layers": layers, "num_classes": num_classes}
    if hasattr(spec, "depth_mode"):
        fields["depth_mode"] = depth_mode(model)
    elif model.depth_mode != "scan":
        raise ConfigError(
            f"model.depth_mode={model.depth_mode!r}: model.name={model.name!r} runs "
            "layer by layer; leave it out"
        )
    return dataclasses.replace(spec, **fields)


def operator(model: ModelConfig) -> Operator | None:
    """What stands for a convolution behind the stem."""
    if model.operator == "ghost":
        return Ghost(model.ghost_ratio, model.ghost_kernel)
    if model.operator.startswith("xnor") and model.act in ("relu", "relu6"):
        raise ConfigError(
            f"model.operator={model.operator!r}: takes signs, which are all 1 behind "
            f"model.act={model.act!r}; use 'none' and model.unit.order='full_pre'"
        )
    return OPERATORS[model.operator]


def depth_mode(model: ModelConfig) -> Any:
    """One mode for all stages, or one for each."""
    modes = tuple(model.depth_mode.split(","))
    return modes[0] if len(modes) == 1 else modes


def norm(
    model: ModelConfig, *, group: int | None, axis_name: str | None
) -> batchnorm.NormSpec | None:
    """BatchNorm in a dialect, with what the config changes of it."""
    chosen = {"momentum": model.norm.momentum, "epsilon": model.norm.epsilon}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    if model.norm.dialect != "none":
        spec = NORMS[model.norm.dialect]
        return dataclasses.replace(spec, group=group, axis_name=axis_name, **chosen)
    if chosen or group or model.norm.precise:
        raise ConfigError(
            "model.norm.dialect='none': leaves no norm to set other fields of"
        )
    return None


def norm_group(config: Config, *, devices: int) -> int | None:
    """Examples that share BatchNorm statistics; None: all of a batch."""
    group = config.model.norm.group
    if group == "device":
        return config.data.batch_size // config.train.accumulate // devices
    return None if group == "global" else group


def rectifier(model: ModelConfig) -> rectifiers.Rectifier:
    act = RECTIFIERS[model.act]
    if model.slope is None:
        return act
    if model.act not in ("leaky_relu", "prelu", "prelu_shared"):
        raise ConfigError(f"model.slope={model.slope}: {model.act} has no such slope")
    return dataclasses.replace(act, slope=model.slope)


def schedule_steps(config: Config, *, examples: int) -> int:
    """Iterations of the full schedule."""
    if config.train.epochs is None:
        return config.train.iterations
    return max(1, round(config.train.epochs * examples / config.data.batch_size))


def optimizer(config: Config, *, total_steps: int) -> OptimSpec:
    """The optimizer, its schedule in iterations of this run.

    Boundaries below 1 are shares of the run; the warm-up takes a tenth at the most.
    """
    optim = config.optim
    boundaries = tuple(
        round(b * total_steps) if b < 1 else round(b) for b in optim.boundaries
    )
    if optim.schedule == "steps" and any(b >= total_steps for b in boundaries):
        raise ConfigError(
            f"optim.boundaries={optim.boundaries}: beyond the last of {total_steps} "
            "iterations; give shares of the run, e.g. (0.5, 0.75)"
        )
    warmup = min(optim.warmup, total_steps // 10)
    return OptimSpec(
        name=optim.name,
        learning_rate=optim.learning_rate,
        momentum=optim.momentum,
        dampening=optim.dampening,
        dialect=optim.dialect,
        nesterov=optim.nesterov,
        weight_decay=optim.weight_decay,
        decay=optim.decay,
        schedule=optim.schedule,
        boundaries=boundaries if optim.schedule == "steps" else (),
        factor=optim.factor,
        total_steps=total_steps,
        warmup_steps=warmup,
        warmup=optim.warmup_kind,
        warmup_rate=optim.warmup_rate if warmup else 0.0,
    )
