"""The residual unit: the field's equation, written once, and the data that fills it."""

import dataclasses
from typing import Literal, TypedDict

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.layers import Layers, LayersSpec, Step
from resnet_jax.models.units.branch import BASIC, Apply, Branch
from resnet_jax.models.units.gate import SE
from resnet_jax.models.units.shake import shake_drop
from resnet_jax.models.units.shortcut import (
    Add,
    Join,
    Separable,
    ShortcutType,
    shortcut,
)


@dataclasses.dataclass(frozen=True)
class Order:
    """Place of norm and activation around a branch (He et al. 2016b, Fig. 4)."""

    before: tuple[Step, ...] = ()  # ahead of the branch
    end: tuple[Step, ...] = ()  # behind the branch, ahead of the addition
    after: tuple[Step, ...] = ()  # behind the addition


ORIGINAL = Order(end=("norm",), after=("act",))  # Fig. 4a
NORM_AFTER_ADDITION = Order(after=("norm", "act"))  # Fig. 4b
RELU_BEFORE_ADDITION = Order(end=("norm", "act"))  # Fig. 4c
RELU_ONLY_PRE = Order(before=("act",), end=("norm",))  # Fig. 4d
FULL_PRE = Order(before=("norm", "act"))  # Fig. 4e
PYRAMID = Order(before=("norm",), end=("norm",))  # Han et al. 2017: one act less


@dataclasses.dataclass(frozen=True)
class UnitSpec:
    """The slots of the equation."""

    branch: Branch = BASIC
    order: Order = ORIGINAL
    shortcut: ShortcutType | Separable = "B"
    gate: SE | None = None
    join: Join = Add()
    # What becomes of a branch that does not survive: nothing, or a random share of it
    dropped: Literal["closed", "shaken"] = "closed"

    def __post_init__(self):
        if self.shortcut != "none":
            return
        if self.join != Add():
            raise ConfigError(
                f"model.unit.join={self.join}: shortcut 'none' joins nothing"
            )
        if self.gate and self.gate.place == "identity":
            raise ConfigError(
                "model.unit.gate.place='identity': needs a shortcut to stand on, and "
                "model.unit.shortcut is 'none'"
            )


class UnitFields(TypedDict, total=False):
    """Fields of `UnitSpec` but the branch, as keywords of the zoo's functions."""

    order: Order
    shortcut: ShortcutType | Separable
    gate: SE | None
    join: Join
    dropped: Literal["closed", "shaken"]


class ResidualUnit(nn.Module):
    """y = after( h(x) + gate( end( F( before(x) ) ) ) )

    [b *hw c] -> [b *hw2 features].

    With `survival` p, stochastic depth (Huang et al. 2016): in training the branch is
    closed with probability 1 - p for the whole batch and computes nothing; at test it
    is scaled by p. Where it is shaken instead, that is ShakeDrop.
    """

    unit: UnitSpec
    layers: LayersSpec
    features: int
    strides: int = 1

    @nn.compact
    def __call__(
        self, x: Float[Array, "b *hw c"], survival: Array | None, *, train: bool
    ) -> Float[Array, "b *hw2 features"]:
        layers, order = Layers(self.layers, train), self.unit.order
        a = layers.steps(x, order.before, name="before")
        h = shortcut(
            layers,
            x,
            a,
            self.features,
            kind=self.unit.shortcut,
            strides=self.strides,
            norm=tuple(step for step in order.end if step == "norm"),
        )
        f = self._survived(layers, a, survival)
        if h is not None:
            f = self.unit.join(layers, self._gated(layers, h, "identity"), f)
        y = layers.steps(f, order.after, name="after")
        return self._gated(layers, y, "post")

    def _survived(self, layers, a, survival):
        if survival is None:
            return self._residual(layers, a)
        if not layers.train:
            return survival.astype(a.dtype) * self._residual(layers, a)
        if self.unit.dropped == "shaken":
            key = self.make_rng("drop_path")
            return shake_drop(key, self._residual(layers, a), survival)
        opened = jax.random.bernoulli(self.make_rng("drop_path"), survival)
        return nn.cond(
            opened,
            lambda unit, a: unit._residual(layers, a),
            lambda unit, a: unit._closed(a),
            self,
            a,
        )

    def _residual(self, layers, a):
        unit = self.unit
        f = Apply(
            unit.branch, layers, self.features, self.strides, unit.order.end,
            name="branch",
        )(self._gated(layers, a, "pre"))  # fmt: skip
        return self._gated(layers, f, "standard")

    def _gated(self, layers, x, place):
        gate = self.unit.gate
        return gate(layers, x) if gate and gate.place == place else x

    def _closed(self, a):
        hw = (-(-size // self.strides) for size in a.shape[1:-1])
        return jnp.zeros((len(a), *hw, self.features), a.dtype)
