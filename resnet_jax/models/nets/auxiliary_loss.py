"""Relay back-propagation: auxiliary losses of limited reach (Shen et al. 2016)."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.layers import Layers, LayersSpec


@dataclasses.dataclass(frozen=True)
class Relay:
    """Loss after a stage, whose gradient moves stages from `reaches` to `stage`.

    Stages count from 1. The stem of a residual net belongs to the first; stages of a
    plain net end with its pools, as in the paper. A loss after the last stage is the
    net's own. In the paper a loss moves the upper stages below it, and neighbours
    overlap. Not published, or not found: the stages, here data; the weights, here one
    for all (`model.auxiliary_loss.weight`); the outputs, here a copy of the net's head.
    """

    stage: int
    reaches: int = 1

    def masked(
        self, gradient: Mapping[str, PyTree], *, stage_of: Callable[[str], int | float]
    ) -> dict[str, PyTree]:
        """Gradient of this loss with zeros before its reach.

        Equal to the gradient after `stop_gradient` on the input of stage `reaches`.
        `stage_of` gives the stage of a module by its name; heads come after all stages.
        """
        return {
            name: tree
            if stage_of(name) >= self.reaches
            else jax.tree.map(jnp.zeros_like, tree)
            for name, tree in gradient.items()
        }


@runtime_checkable
class Staged(Protocol):
    """Spec of a net of stages that may have auxiliary losses."""

    @property
    def relays(self) -> tuple[Relay, ...]: ...

    @property
    def depths(self) -> tuple[int, ...]: ...

    @property
    def layers(self) -> LayersSpec: ...

    def end(self, layers: Layers, x: Array) -> Array:
        """Logits of the last map."""
        ...

    def stage_of(self, name: str) -> int | float:
        """Stage of a module by its name."""
        ...


class AuxiliaryHead(nn.Module):
    """Copy of the net's head after a stage with a loss; sows logits in training."""

    spec: Staged
    stage: int

    @nn.compact
    def __call__(self, x: Float[Array, "b *hw c"], *, train: bool) -> None:
        wanted = any(relay.stage == self.stage for relay in all_losses(self.spec)[:-1])
        if wanted and (train or self.is_initializing()):
            logits = self.spec.end(Layers(self.spec.layers, train), x)
            if train:
                self.sow("relays", "logits", logits)


def all_losses(spec: Staged) -> tuple[Relay, ...]:
    """`spec.relays` and the net's own loss, which by default reaches all stages."""
    relays, stages = spec.relays, len(spec.depths)
    field = f"model.auxiliary_loss.stages={tuple(map(dataclasses.astuple, relays))}"
    has_last = bool(relays) and relays[-1].stage == stages
    losses = relays if has_last else (*relays, Relay(stages))
    for relay in losses:
        if not 1 <= relay.reaches <= relay.stage <= stages:
            raise ConfigError(
                f"{field}: each is a stage from 1 to {stages}, and one at or before "
                f"it, not {dataclasses.astuple(relay)}"
            )
    ends = [relay.stage for relay in losses]
    if ends != sorted(set(ends)):
        raise ConfigError(f"{field}: the stages must rise")
    for stage in range(1, stages + 1):
        if not any(relay.reaches <= stage <= relay.stage for relay in losses):
            raise ConfigError(f"{field}: no loss reaches stage {stage}")
    if relays and len(losses) == 1:
        raise ConfigError(
            f"{field}: that is the net's own loss, after the last of {stages} stages; "
            "name an inner one, or model.auxiliary_loss=none"
        )
    return losses
