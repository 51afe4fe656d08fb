"""Relay back-propagation: losses inside a net, each with a reach (Shen et al. 2016)."""

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
    """A loss behind a stage, whose gradient goes back through `reaches` and no further.

    Stages count from 1. The stem of a residual net belongs to the first; those of a
    plain net end with its pools, as in the paper. A loss behind the last stage is the
    net's own. In the paper an auxiliary output follows some stages, a loss moves the
    upper ones below it, and neighbours overlap. It leaves open, or we could not find:
    which stages these are, here data; what they weigh, here one weight for all
    (`model.auxiliary_loss.weight`); their outputs, here the head of the net once more.
    """

    stage: int
    reaches: int = 1

    def kept(
        self, gradient: Mapping[str, PyTree], *, stage_of: Callable[[str], int | float]
    ) -> dict[str, PyTree]:
        """The gradient of this loss, zero in all that is ahead of its reach.

        The rest of it is what a cut of the map that enters `reaches` would leave.
        `stage_of` tells the stage of a module by its name; heads are behind all.
        """
        return {
            name: tree
            if stage_of(name) >= self.reaches
            else jax.tree.map(jnp.zeros_like, tree)
            for name, tree in gradient.items()
        }


@runtime_checkable
class Staged(Protocol):
    """The spec of a net of stages, which may have losses behind them."""

    @property
    def relays(self) -> tuple[Relay, ...]: ...

    @property
    def depths(self) -> tuple[int, ...]: ...

    @property
    def layers(self) -> LayersSpec: ...

    def end(self, layers: Layers, x: Array) -> Array:
        """Logits of a map."""
        ...

    def stage_of(self, name: str) -> int | float:
        """The stage of a module of the net, by its name."""
        ...


class Inside(nn.Module):
    """Sows logits behind a stage in training, where a relay stands there.

    By the end of the net once more, with parameters of its own.
    """

    spec: Staged
    stage: int

    @nn.compact
    def __call__(self, x: Float[Array, "b *hw c"], *, train: bool) -> None:
        wanted = any(relay.stage == self.stage for relay in every_loss(self.spec)[:-1])
        if wanted and (train or self.is_initializing()):
            logits = self.spec.end(Layers(self.spec.layers, train), x)
            if train:
                self.sow("relays", "logits", logits)


def every_loss(spec: Staged) -> tuple[Relay, ...]:
    """`spec.relays`, and the net's own loss at the end: unless told, it reaches all."""
    relays, stages = spec.relays, len(spec.depths)
    told = f"model.auxiliary_loss.stages={tuple(map(dataclasses.astuple, relays))}"
    ends = bool(relays) and relays[-1].stage == stages
    found = relays if ends else (*relays, Relay(stages))
    for relay in found:
        if not 1 <= relay.reaches <= relay.stage <= stages:
            raise ConfigError(
                f"{told}: each is a stage from 1 to {stages}, and one at or ahead of "
                f"it, not {dataclasses.astuple(relay)}"
            )
    behind = [relay.stage for relay in found]
    if behind != sorted(set(behind)):
        raise ConfigError(f"{told}: the stages must rise")
    for stage in range(1, stages + 1):
        if not any(relay.reaches <= stage <= relay.stage for relay in found):
            raise ConfigError(f"{told}: no loss reaches stage {stage}")
    if relays and len(found) == 1:
        raise ConfigError(
            f"{told}: that is the net's own loss, behind the last of {stages} stages; "
            "name an inner one, or model.auxiliary_loss=none"
        )
    return found
