"""Augmentation policies and mixing of training images."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, Strict

from resnet_jax.config.types import Count, Positive, Probability, part

Magnitude: TypeAlias = Annotated[float, Strict(), Field(ge=1, le=10)]


@part
class RandAugment:
    """Random sequence of operations (Cubuk et al. 2020)."""

    name: Literal["randaugment"] = "randaugment"
    operations: Count = 2
    """Operations per image."""
    magnitude: Magnitude = 9.0
    """Strength, 1 to 10."""


@part
class AugMix:
    """Weighted mean of the image and chains of operations (Hendrycks et al. 2020)."""

    name: Literal["augmix"] = "augmix"
    magnitude: Magnitude = 9.0
    """Greatest strength, 1 to 10."""


Policy: TypeAlias = Annotated[RandAugment | AugMix, Field(discriminator="name")]


@part
class Mix:
    """MixUp (Zhang et al. 2018) or CutMix (Yun et al. 2019) of pairs of images."""

    name: Literal["mixup", "cutmix"] = "mixup"
    alpha: Positive = 1.0
    """Parameter of the Beta distribution of mixing weights."""
    probability: Probability = 1.0
    """Probability that a batch is mixed."""
