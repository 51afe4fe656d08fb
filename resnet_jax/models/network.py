"""Network of a config: the spec of its family, with the options of all layers."""

import dataclasses

from resnet_jax.config.rules import norm_group, part_size
from resnet_jax.config.schema import Config
from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.initializers import InitSpec
from resnet_jax.models.layers.layers import LayersSpec
from resnet_jax.models.nets.spec import NetSpec


def network(
    config: Config, *, num_classes: int, devices: int, axis_name: str | None = None
) -> NetSpec:
    """Network of a config, for batches spread over that many devices."""
    model, group = config.model, norm_group(config, devices=devices)
    normalised = part_size(config) // (devices if axis_name else 1)
    if group and normalised % group:
        raise ConfigError(
            f"model.norm.group={model.norm and model.norm.group}: does not divide the "
            f"{normalised} images that are normalised together (data.batch_size over "
            f"train.accumulate{' and devices' if axis_name and devices > 1 else ''})"
        )
    spec = model.network()
    norm = model.norm and model.norm.build(group=group, axis_name=axis_name)
    layers = LayersSpec(
        act=model.act.build(),
        norm=norm,
        init=InitSpec.named(model.init),
        dtype=config.train.dtype,
        rank=spec.layers.rank,
        operator=model.operator and model.operator.build(),
    )
    return dataclasses.replace(spec, layers=layers, num_classes=num_classes)
