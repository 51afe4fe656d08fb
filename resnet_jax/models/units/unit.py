"""Residual unit: the equation that all families share, and the data that fills it."""

import dataclasses
from typing import Literal, TypedDict

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.layers import Layers, LayersSpec, Steps
from resnet_jax.models.units.branch import BASIC, Branch, BranchModule
from resnet_jax.models.units.gate import SE
from resnet_jax.models.units.shake import shake_drop
from resnet_jax.models.units.shortcut import Add, Join, Shortcut, shortcut


@dataclasses.dataclass(frozen=True)
class Order:
    """Norms and activations around a branch (He et al. 2016b, Fig. 4)."""

    before: Steps = ()  # before the branch
    end: Steps = ()  # after the branch, before the addition
    after: Steps = ()  # after the addition


ORIGINAL = Order(end=("norm",), after=("act",))  # Fig. 4a
NORM_AFTER_ADDITION = Order(after=("norm", "act"))  # Fig. 4b
RELU_BEFORE_ADDITION = Order(end=("norm", "act"))  # Fig. 4c
RELU_ONLY_PRE = Order(before=("act",), end=("norm",))  # Fig. 4d
FULL_PRE = Order(before=("norm", "act"))  # Fig. 4e
PYRAMID = Order(before=("norm",), end=("norm",))  # Han et al. 2017


@dataclasses.dataclass(frozen=True)
class UnitSpec:
    """Slots of the equation."""

    branch: Branch = BASIC
    order: Order = ORIGINAL
    shortcut: Shortcut = "B"
    gate: SE | None = None
    join: Join = Add()
    dropped: Literal["closed", "shaken"] = "closed"  # stochastic depth or ShakeDrop

    def __post_init__(self):
        if self.shortcut != "none":
            return
        if self.join != Add():
            raise ConfigError(
                f"model.unit.join={self.join}: needs a shortcut, not 'none'"
            )
        if self.gate and self.gate.place == "identity":
            raise ConfigError(
                "model.unit.gate.place='identity': needs a shortcut, not 'none'"
            )


class UnitFields(TypedDict, total=False):
    """Fields of `UnitSpec` but the branch, as keywords of the zoo's functions."""

    order: Order
    shortcut: Shortcut
    gate: SE | None
    join: Join
    dropped: Literal["closed", "shaken"]


class ResidualUnit(nn.Module):
    """y = after( h(x) + gate( end( F( before(x) ) ) ) )

    With `survival` p, stochastic depth (Huang et al. 2016): in training the branch is
    skipped with probability 1 - p for the whole batch and computes nothing; at test it
    is scaled by p. `dropped="shaken"` is ShakeDrop.
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
        norm: Steps = tuple(step for step in order.end if step == "norm")
        h = shortcut(
            layers, x, a, self.features, kind=self.unit.shortcut, strides=self.strides,
            norm=norm,
        )  # fmt: skip
        f = self._branch(layers, a, survival)
        if h is not None:
            f = self.unit.join(layers, self._gated(layers, h, "identity"), f)
        y = layers.steps(f, order.after, name="after")
        return self._gated(layers, y, "post")

    def _branch(self, layers, a, survival):
        """The branch under stochastic depth or ShakeDrop."""
        if survival is None:
            return self._residual(layers, a)
        if not layers.train:
            return survival.astype(a.dtype) * self._residual(layers, a)
        key = self.make_rng("drop_path")
        if self.unit.dropped == "shaken":
            return shake_drop(key, self._residual(layers, a), survival)
        return nn.cond(
            jax.random.bernoulli(key, survival),
            lambda unit, a: unit._residual(layers, a),
            lambda unit, a: unit._zeros(a),
            self,
            a,
        )

    def _residual(self, layers, a):
        branch, end = self.unit.branch, self.unit.order.end
        f = BranchModule(
            branch, layers, self.features, self.strides, end, name="branch"
        )(self._gated(layers, a, "pre"))
        return self._gated(layers, f, "standard")

    def _gated(self, layers, x, place):
        gate = self.unit.gate
        return gate(layers, x) if gate and gate.place == place else x

    def _zeros(self, a):
        hw = (-(-size // self.strides) for size in a.shape[1:-1])
        return jnp.zeros((len(a), *hw, self.features), a.dtype)
