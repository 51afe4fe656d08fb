"""Slots of the residual unit y = after(h(x) + gate(end(F(before(x))))), as data."""

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import Field, Strict

from resnet_jax.config.branches import (
    Auto,
    Bottleneck,
    Branch,
    Noise,
    Simple,
    with_noise,
)
from resnet_jax.config.types import Count, Finite, Share, part
from resnet_jax.errors import ConfigError

if TYPE_CHECKING:
    from resnet_jax.models.units import branch, gate, shortcut
    from resnet_jax.models.units.unit import UnitFields

Order: TypeAlias = Literal[
    "original", "norm_after_addition", "relu_before_addition", "relu_only_pre",
    "full_pre", "pyramid",
]  # fmt: skip


# --- how shortcut and branch are joined (He et al. 2016b, Fig. 2)


@part
class Add:
    """h + F."""

    name: Literal["add"] = "add"

    def build(self) -> "shortcut.Join":
        from resnet_jax.models.units import shortcut

        return shortcut.Add()


@part
class Scaled:
    """Constant scaling of both paths."""

    name: Literal["scaled"] = "scaled"
    shortcut: Finite = 0.5
    """Factor of the shortcut."""
    branch: Finite = 0.5
    """Factor of the branch."""

    def build(self) -> "shortcut.Join":
        from resnet_jax.models.units import shortcut

        return shortcut.Scaled(self.shortcut, self.branch)


@part
class Gating:
    """A gate g on both paths, (1 - g) h + g F, or on the shortcut only."""

    name: Literal["exclusive_gating", "shortcut_only_gating"] = "exclusive_gating"
    bias: Finite = -6.0
    """Initial bias b_g of the gate."""

    def build(self) -> "shortcut.Join":
        from resnet_jax.models.units import shortcut

        gates = "both" if self.name == "exclusive_gating" else "shortcut"
        return shortcut.Gated(gates, self.bias)


@part
class DropoutShortcut:
    """Dropout on the shortcut."""

    name: Literal["dropout"] = "dropout"
    rate: Share = 0.5
    """Probability that a feature of the shortcut is dropped."""

    def build(self) -> "shortcut.Join":
        from resnet_jax.models.units import shortcut

        return shortcut.Dropped(self.rate)


# --- gate, and stochastic depth


@part
class SE:
    """Squeeze and excitation (Hu et al. 2018)."""

    name: Literal["se"] = "se"
    reduction: Count = 16
    """Channels per hidden unit of the gate."""
    place: Literal["standard", "pre", "post", "identity"] = "standard"
    """Behind the branch, ahead of it, behind the addition, on the shortcut."""

    def build(self) -> "gate.SE":
        from resnet_jax.models.units import gate

        return gate.SE(self.reduction, self.place)


@part
class StochasticDepth:
    """Branches dropped per batch (Huang et al. 2016), or ShakeDrop (Yamada et al.)."""

    name: Literal["drop", "shake_drop"] = "drop"
    survival_prob: Annotated[float, Strict(), Field(gt=0, lt=1)] = 0.5
    """Probability p_L that the last unit is kept; falls linearly from 1 at the stem."""


# --- units


@part
class Unit:
    """Slots of any unit."""

    order: Order = "original"
    """Place of norm and activation around the branch (He et al. 2016b, Fig. 4)."""
    gate: SE | None = None
    """Gate on the branch."""
    stochastic_depth: StochasticDepth | None = None
    """Random depth in training."""

    def slots(self) -> "UnitFields":
        """Keyword arguments of the zoo's functions for residual nets."""
        from resnet_jax.models.units import unit

        depth = self.stochastic_depth
        return {
            "order": getattr(unit, self.order.upper()),
            "gate": self.gate and self.gate.build(),
            "dropped": "shaken" if depth and depth.name == "shake_drop" else "closed",
        }


@part
class Shortcut(Unit):
    """Slots of a unit with a shortcut."""

    shortcut: Literal["A", "B", "C", "avgpool-A", "none"] = "B"
    """Shortcut type (He et al. 2016a, Sec. 4.1); none: a plain net."""
    join: Annotated[
        Add | Scaled | Gating | DropoutShortcut, Field(discriminator="name")
    ] = Add()
    """Combination of shortcut and branch."""

    def slots(self) -> "UnitFields":
        if self.join != Add() and self.shortcut == "none":
            raise ConfigError(
                f"model.unit.join={self.join.name!r}: needs a shortcut, not 'none'"
            )
        own: UnitFields = {"shortcut": self.shortcut, "join": self.join.build()}
        return super().slots() | own


@part
class ResidualUnit(Shortcut):
    """The residual unit of most families."""

    branch: Annotated[
        Auto | Branch,
        Field(discriminator="name"),
    ] = Auto()
    """Residual function F."""
    noise: Noise | None = None
    """Dropout ahead of the last convolution of a branch."""
    num_branches: Literal[1, 2] = 1
    """Branches per unit; 2: Shake-Shake (Gastaldi 2017)."""

    def built_branch(self, auto: Branch):
        """The branch, `auto` where the config leaves it to the family."""
        from resnet_jax.models.units import shake

        chosen = auto if isinstance(self.branch, Auto) else self.branch
        built = with_noise(chosen, self.noise)
        return built if self.num_branches == 1 else shake.ShakeShake(built)


@part
class WideUnit(Shortcut):
    """The unit B(M) of wide residual networks (Zagoruyko & Komodakis 2016)."""

    kernels: Annotated[tuple[Count, ...], Field(min_length=1)] = (3, 3)
    """Kernel sizes M of the branch."""
    noise: Noise | None = None
    """Dropout ahead of the last convolution of a branch."""


@part
class Explicit:
    """An explicit Runge-Kutta method."""

    name: Literal["euler", "midpoint", "heun", "kutta3", "rk4"] = "rk4"


@part
class Implicit:
    """An implicit Runge-Kutta method, iterated."""

    name: Literal["implicit_euler", "implicit_midpoint"] = "implicit_euler"
    sweeps: Annotated[int, Strict(), Field(ge=2)] = 2
    """Iterations over the slopes of a step."""


@part
class RungeKuttaUnit(Shortcut):
    """A Runge-Kutta step of dx/dt = F(x)."""

    branch: Annotated[Simple | Bottleneck, Field(discriminator="name")] = Simple()
    """Residual function F."""
    noise: Noise | None = None
    """Dropout ahead of the last convolution of a branch."""
    tableau: Annotated[Explicit | Implicit, Field(discriminator="name")] = Explicit()
    """Butcher tableau of the step."""

    def built_branch(self) -> "branch.Branch":
        """The branch F, with its noise."""
        return with_noise(self.branch, self.noise)
