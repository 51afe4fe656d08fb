"""Families of networks of separable convolutions."""

from typing import TYPE_CHECKING, Literal

from resnet_jax.config.family import Staged
from resnet_jax.config.types import Count, Positive, Share, part

if TYPE_CHECKING:
    from resnet_jax.models.nets.resnet import ResNetSpec


@part
class Xception(Staged):
    """Xception for 299x299 images (Chollet 2017, Fig. 5)."""

    name: Literal["xception"] = "xception"
    width: Positive = 1.0
    """Factor on all widths."""
    middle_units: Count = 8
    """Units of the middle flow."""
    dropout: Share = 0.5
    """Dropout rate ahead of the classifier."""
    size: Literal["imagenet", "digits"] = "imagenet"
    """Images that it is for; ours for digits of 8x8 subsamples once."""

    def spec(self) -> "ResNetSpec":
        from resnet_jax.models.zoo.xceptions import xception

        return xception(
            width=self.width,
            middle_units=self.middle_units,
            dropout=self.dropout,
            size=self.size,
        )
