"""Slots of the residual unit y = after(h(x) + gate(end(F(before(x))))), as data."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import Field, Strict

from resnet_jax.config.types import Count, Finite, Positive, Share, part
from resnet_jax.errors import ConfigError

if TYPE_CHECKING:
    from resnet_jax.models.layers import dropout
    from resnet_jax.models.units import branch, shortcut, unit

Order: TypeAlias = Literal[
    "original", "norm_after_addition", "relu_before_addition", "relu_only_pre",
    "full_pre", "pyramid",
]  # fmt: skip


# --- branch F


@part
class Auto:
    """The branch of the family: basic or bottleneck by depth, Min, V-cycle."""

    name: Literal["auto"] = "auto"


@part
class Basic:
    """Two 3x3 convolutions (He et al. 2016a, Fig. 5 left)."""

    name: Literal["basic"] = "basic"

    def build(self) -> "branch.B":
        from resnet_jax.models.units import branch

        return branch.BASIC


@part
class Bottleneck:
    """1x1, 3x3, 1x1 convolutions, the 3x3 in groups for ResNeXt (Xie et al. 2017)."""

    name: Literal["bottleneck"] = "bottleneck"
    stride_at: Literal["1x1", "3x3"] = "1x1"
    """Convolution that subsamples: as in the papers, or as in fb.resnet.torch."""
    cardinality: Count = 1
    """Groups of the 3x3 convolution, C of ResNeXt's CxDd."""
    group_width: Positive = 64.0
    """Channels per group where the template has 64 channels, D of CxDd."""

    def build(self) -> "branch.B":
        """C groups of D channels are C D / 256 of the output (ResNeXt, released code).

        One group of 64 is He's bottleneck, one of 128 that of WRN-50-2.
        """
        from resnet_jax.models.units import branch

        return branch.B(
            (1, 3, 1),
            inner=self.cardinality * self.group_width / 256,
            cardinality=self.cardinality,
            stride_at=1 if self.stride_at == "3x3" else 0,
        )


@part
class Single:
    """One 3x3 convolution (He et al. 2016b, Table 3)."""

    name: Literal["single"] = "single"

    def build(self) -> "branch.B":
        from resnet_jax.models.units import branch

        return branch.SINGLE


@part
class Min:
    """The minimum of two depthwise convolutions (Gruening & Barth 2021)."""

    name: Literal["min"] = "min"

    def build(self) -> "branch.Branch":
        from resnet_jax.models.units import min as min_unit

        return min_unit.Min()


@part
class Multigrid:
    """A V-cycle over groups of channels (Eliasof et al. 2023)."""

    name: Literal["multigrid"] = "multigrid"
    group: Count = 32
    """Channels per group."""
    coarsest: Annotated[int, Strict(), Field(ge=2)] = 32
    """Channels of the coarsest level."""

    def build(self) -> "branch.Branch":
        from resnet_jax.models.units import multigrid

        return multigrid.Multigrid(self.group, self.coarsest)


# --- noise ahead of the last convolution of a branch


@part
class Dropout:
    """Single features (Srivastava et al. 2014)."""

    name: Literal["dropout"] = "dropout"
    rate: Share = 0.3
    """Probability that a feature is dropped."""

    def build(self) -> "dropout.Noise":
        from resnet_jax.models.layers import dropout

        return dropout.Dropout(self.rate)


@part
class SpatialDropout:
    """Whole maps (Tompson et al. 2015)."""

    name: Literal["spatial_dropout"] = "spatial_dropout"
    rate: Share = 0.3
    """Probability that a map is dropped."""

    def build(self) -> "dropout.Noise":
        from resnet_jax.models.layers import dropout

        return dropout.SpatialDropout(self.rate)


@part
class DropBlock:
    """Squares of a map (Ghiasi et al. 2018)."""

    name: Literal["drop_block"] = "drop_block"
    rate: Share = 0.3
    """Share of the pixels that is dropped."""
    block: Count = 7
    """Side of a square in pixels; odd."""

    def build(self) -> "dropout.Noise":
        from resnet_jax.models.layers import dropout

        return dropout.DropBlock(self.rate, self.block)


Noise: TypeAlias = Annotated[
    Dropout | SpatialDropout | DropBlock, Field(discriminator="name")
]


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

    def build(self) -> "unit.SE":
        from resnet_jax.models.units import unit

        return unit.SE(self.reduction, self.place)


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

    def slots(self) -> dict[str, Any]:
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

    def slots(self) -> dict[str, Any]:
        if self.join != Add() and self.shortcut == "none":
            raise ConfigError(
                f"model.unit.join={self.join.name!r}: shortcut 'none' joins nothing"
            )
        own = {"shortcut": self.shortcut, "join": self.join.build()}
        return super().slots() | own


@part
class ResidualUnit(Shortcut):
    """The residual unit of most families."""

    branch: Annotated[
        Auto | Basic | Bottleneck | Single | Min | Multigrid,
        Field(discriminator="name"),
    ] = Auto()
    """Residual function F."""
    noise: Noise | None = None
    """Dropout ahead of the last convolution of a branch."""
    num_branches: Literal[1, 2] = 1
    """Branches per unit; 2: Shake-Shake (Gastaldi 2017)."""

    def built_branch(self, auto: Basic | Bottleneck | Min | Multigrid):
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

    branch: Annotated[Basic | Bottleneck | Single, Field(discriminator="name")] = (
        Basic()
    )
    """Residual function F."""
    noise: Noise | None = None
    """Dropout ahead of the last convolution of a branch."""
    tableau: Annotated[Explicit | Implicit, Field(discriminator="name")] = Explicit()
    """Butcher tableau of the step."""


def with_noise(chosen: Any, noise: Noise | None) -> "branch.Branch":
    """The branch of a slot with noise in it; ConfigError where it takes none."""
    import dataclasses

    built = chosen.build()
    if noise is None:
        return built
    if isinstance(chosen, Single) or not hasattr(built, "noise"):
        raise ConfigError(
            f"model.unit.noise={noise.name!r}: model.unit.branch={chosen.name!r} has "
            "no place for it; leave it out"
        )
    return dataclasses.replace(built, noise=noise.build())
