"""Optimizers and learning-rate schedules, in iterations (updates)."""

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from resnet_jax.config.types import Count, NotNegative, Positive, Share, part
from resnet_jax.paths import Tree


@part
class Steps:
    """Learning rate that drops at boundaries."""

    name: Literal["steps"] = "steps"
    boundaries: Annotated[tuple[Positive, ...], Field(min_length=1)] = (0.5, 0.75)
    """Drops: iterations, or shares of the run where below 1."""
    decay_factor: Annotated[Positive, Field(le=1)] = 0.1
    """Factor on the rate at each boundary."""


@part
class Smooth:
    """Learning rate that falls to zero as half a cosine or a line, or is constant."""

    name: Literal["cosine", "linear", "constant"] = "cosine"


@part
class Warmup:
    """Warm-up: first iterations at a lower learning rate."""

    name: Literal["constant", "linear"] = "constant"
    steps: Count = 400
    """Iterations, fewer than the run has."""
    learning_rate: Positive = 0.01
    """Learning rate of a constant warm-up, the first one of a linear warm-up."""


@part
class Optimizer:
    """Fields of every optimizer; they keep their values when another one is chosen."""

    STAYS: ClassVar = True

    learning_rate: Positive = 0.1
    """Learning rate after the warm-up, before the first drop."""
    weight_decay: NotNegative = 1e-4
    """Weight decay; slopes of PReLU never decay."""
    decay: Literal["all", "kernels"] = "all"
    """Parameters that decay: all but slopes, or kernels only."""
    scale_l1: NotNegative = 0.0
    """Factor on the sum of all |scales| of norms in the loss (network slimming)."""
    schedule: Annotated[Steps | Smooth, Field(discriminator="name")] = Steps()
    """Learning-rate schedule."""
    warmup: Warmup | None = None
    """Warm-up."""
    frozen: tuple[str, ...] = ()
    """Layers whose parameters stay, by name: stem, stage1 or stage1/first."""
    factors: tuple[tuple[str, Positive], ...] = ()
    """Factors on the learning rate of layers, as (("head", 10.0),)."""

    def spec_fields(self) -> Tree:
        """Fields of `train.optim.OptimSpec` specific to the optimizer."""
        raise NotImplementedError


@part
class Sgd(Optimizer):
    """Stochastic gradient descent with momentum, in the form of Torch or Caffe."""

    name: Literal["sgd"] = "sgd"
    momentum: Share = 0.9
    """Momentum."""
    dampening: Share = 0.0
    """Dampening of Torch's momentum: share of the gradient that is left out."""
    dialect: Literal["torch", "caffe"] = "torch"
    """Learning rate inside the momentum buffer (caffe) or outside (torch)."""
    nesterov: bool = False
    """Nesterov's momentum."""

    def spec_fields(self) -> Tree:
        names = ("name", "momentum", "dampening", "dialect", "nesterov")
        return {name: getattr(self, name) for name in names}


@part
class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    name: Literal["adamw"] = "adamw"
    beta1: Share = 0.9
    """Decay of the first moment."""
    beta2: Share = 0.999
    """Decay of the second moment."""
    epsilon: Positive = 1e-8
    """Number added to the root of the second moment."""

    def spec_fields(self) -> Tree:
        own = {"beta2": self.beta2, "epsilon": self.epsilon}
        return {"name": self.name, "momentum": self.beta1} | own


Optim: TypeAlias = Annotated[Sgd | AdamW, Field(discriminator="name")]
