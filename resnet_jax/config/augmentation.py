"""Augmentation policies and mixing of training images."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, Strict

from resnet_jax.config.types import Count, Positive, Probability, part

Magnitude: TypeAlias = Annotated[float, Strict(), Field(gt=0, le=10)]
Severity: TypeAlias = Annotated[float, Strict(), Field(ge=0.1, le=10)]


@part
class RandAugment:
    """Random sequence of operations (Cubuk et al. 2020)."""

    name: Literal["randaugment"] = "randaugment"
    operations: Count = 2
    """Operations per image."""
    magnitude: Magnitude = 9.0
    """Strength, 10 is the whole range; m of 30 in torchvision is m / 3 here."""


@part
class AugMix:
    """Weighted mean of the image and chains of operations (Hendrycks et al. 2020)."""

    name: Literal["augmix"] = "augmix"
    severity: Severity = 3.0
    """Greatest level, drawn from 0.1 on; 10 is the whole range (ImageNet: 1)."""
    width: Count = 3
    """Chains that are mixed."""
    depth: Count | None = None
    """Operations per chain; None: 1 to 3, drawn."""
    alpha: Positive = 1.0
    """Parameter of the Dirichlet and Beta distributions of the weights."""


Policy: TypeAlias = Annotated[RandAugment | AugMix, Field(discriminator="name")]


@part
class Mix:
    """MixUp (Zhang et al. 2018) or CutMix (Yun et al. 2019) of pairs of images."""

    name: Literal["mixup", "cutmix"] = "mixup"
    alpha: Positive = 1.0
    """Parameter of the Beta distribution of mixing weights."""
    probability: Probability = 1.0
    """Probability that a batch is mixed."""
