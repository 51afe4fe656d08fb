"""Relay back-propagation: losses inside a net, each with a reach of its own.

Shen, Lin & Huang 2016, "Relay Backpropagation for Effective Learning of Deep
Convolutional Neural Networks".
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from resnet_jax.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Relay:
    """A loss behind a stage, whose gradient goes back through `reaches` and no further.

    Stages count from 1, and the stem belongs to the first. A loss behind the last stage
    is the net's own. In the paper an auxiliary output follows some segments, a loss
    moves the upper ones below it, and neighbours overlap. It leaves open, or we could
    not find: which segments these are, here data; what they weigh, here one weight for
    all (`train.relay_weight`); their outputs, here the head of the net once more.
    """

    stage: int
    reaches: int = 1

    def kept(self, gradient: Mapping[str, Any]) -> dict[str, Any]:
        """The gradient of this loss, zero in all that is ahead of its reach.

        The rest of it is what a cut of the map that enters `reaches` would leave.
        """
        return {
            name: tree
            if _stage(name) >= self.reaches
            else jax.tree.map(jnp.zeros_like, tree)
            for name, tree in gradient.items()
        }


def _stage(name: str) -> int | float:
    """That of a module, by its name; heads are behind all."""
    if name.startswith("stage"):
        return int(name.removeprefix("stage"))
    return 1 if "stem" in name else math.inf


def every_loss(relays: tuple[Relay, ...], *, stages: int) -> tuple[Relay, ...]:
    """All losses of a net, its own at the end: it reaches all unless told otherwise."""
    told = f"model.relays={tuple(map(dataclasses.astuple, relays))}"
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
    return found
