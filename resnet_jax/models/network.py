"""The network of a config: its family's spec, and what all families share."""

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
    """The network of a config, where batches are spread over so many devices."""
    model, group = config.model, norm_group(config, devices=devices)
    _check_group(config, group, devices=devices if axis_name else 1)
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


def _check_group(config: Config, group: int | None, *, devices: int) -> None:
    """ConfigError where a group does not divide what each of `devices` sees."""
    local = part_size(config) // devices
    if group and local % group:
        raise ConfigError(
            f"model.norm.group={config.model.norm and config.model.norm.group}: does "
            f"not divide the {local} images that are normalised together "
            "(data.batch_size over train.accumulate"
            f"{' and devices' if devices > 1 else ''})"
        )
