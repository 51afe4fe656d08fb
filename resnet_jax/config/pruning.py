"""Pruning: how the network that a run begins with is cut."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, Strict

from resnet_jax.config.types import Count, NotNegative, Probability, part


@part
class Slimming:
    """Network slimming: the smallest scales of norms (Liu et al. 2017)."""

    name: Literal["slimming"] = "slimming"
    share: Annotated[float, Strict(), Field(gt=0, lt=1)] = 0.5
    """Share of all channels behind norms that is cut."""
    cap: Probability = 1.0
    """Largest share of the channels of one layer that is cut."""


@part
class ChannelPruning:
    """Channel pruning: channels by the LASSO, or by baselines (He et al. 2017)."""

    name: Literal["lasso", "first", "response"] = "lasso"
    speedup: Annotated[float, Strict(), Field(gt=1, allow_inf_nan=False)] = 2.0
    """Multiply-adds before over those that are left, at least."""
    ratios: tuple[tuple[str, NotNegative], ...] = ()
    """Relative shares of channels that stay, as (("conv8", 1.5),); 0: all stay."""
    images: Count = 5000
    """Training images that are sampled."""
    points: Count = 10
    """Places of each image and layer that are sampled."""


Prune: TypeAlias = Annotated[Slimming | ChannelPruning, Field(discriminator="name")]
