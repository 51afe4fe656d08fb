"""Fields that families of networks have in common."""

import dataclasses
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field, StringConstraints

from resnet_jax.config.layers import Act, BatchNorm, Binary, Fixed, Operators
from resnet_jax.config.types import Count, Positive, part
from resnet_jax.errors import ConfigError

if TYPE_CHECKING:
    from resnet_jax.models.nets.spec import NetSpec

Mode = r"(scan|unroll|remat|sqrt)"
Levels: TypeAlias = tuple[Count, ...]


@part
class Relays:
    """Relay back-propagation: losses behind inner stages (Shen et al. 2016)."""

    name: Literal["relay"] = "relay"
    stages: Annotated[tuple[tuple[Count, Count], ...], Field(min_length=1)] = ((1, 1),)
    """(stage, first stage that the gradient of its loss reaches) of each loss."""
    weight: Positive = 1.0
    """Weight of each inner loss; the loss at the end has weight 1."""


@part
class Family:
    """Fields of every family; they stay when another family is named."""

    STAYS: ClassVar = True

    num_classes: Count | None = None
    """Classes; None: as many as the data set has."""
    act: Act = Fixed()
    """Activation of every layer."""
    init: Literal["he_fan_out", "he_fan_in", "xavier", "orthogonal", "lsuv"] = (
        "he_fan_out"
    )
    """Initialisation of convolution kernels."""
    norm: BatchNorm | None = BatchNorm()
    """Normalisation of every layer; none: a bias in its place."""
    operator: Operators | None = None
    """Operator in place of every convolution behind the stem."""

    def spec(self) -> "NetSpec":
        """The network's spec, but for its layers and its number of classes."""
        raise NotImplementedError

    def network(self) -> "NetSpec":
        """`spec` with the parts that any network of its kind may have."""
        signs = isinstance(self.operator, Binary) and self.operator.name != "binary"
        if self.operator and signs and self.act.name in ("relu", "relu6"):
            raise ConfigError(
                f"model.operator={self.operator.name!r}: takes signs, which are all 1 "
                f"behind model.act={self.act.name!r}; use model.act=none and "
                "model.unit.order=full_pre"
            )
        return self.spec()


@part
class Looped(Family):
    """A family whose stages are loops over stacked parameters."""

    MODE_PER_STAGE: ClassVar = False

    depth_mode: Annotated[str, StringConstraints(pattern=f"^{Mode}(,{Mode})*$")] = (
        "scan"
    )
    """Way to run the loops, one or one per stage ("remat,scan,scan"); not what they
    compute."""

    def network(self) -> "NetSpec":
        modes = tuple(self.depth_mode.split(","))
        if len(modes) > 1 and not self.MODE_PER_STAGE:
            raise ConfigError(
                f"model.depth_mode={self.depth_mode!r}: this family has one for all "
                f"stages; use {modes[0]!r}"
            )
        mode = modes[0] if len(modes) == 1 else modes
        return dataclasses.replace(super().network(), depth_mode=mode)


@part
class Relayed(Family):
    """A family that takes losses behind inner stages."""

    auxiliary_loss: Relays | None = None
    """Losses inside the network, in training."""

    def network(self) -> "NetSpec":
        from resnet_jax.models.nets.auxiliary_loss import Relay

        losses = self.auxiliary_loss.stages if self.auxiliary_loss else ()
        relays = tuple(Relay(*pair) for pair in losses)
        return dataclasses.replace(super().network(), relays=relays)


@part
class Pyramid(Family):
    """A family whose head pools."""

    levels: Levels = ()
    """Bins per side of a spatial pyramid in the head; (): the family's own pool."""

    def network(self) -> "NetSpec":
        from resnet_jax.models.layers.pyramid import SPP
        from resnet_jax.paths import replaced

        spec = super().network()
        return replaced(spec, {"head.pool": SPP(self.levels)}) if self.levels else spec


@part
class Staged(Looped, Relayed, Pyramid):
    """A network with a stem, stages and a head."""

    MODE_PER_STAGE: ClassVar = True
