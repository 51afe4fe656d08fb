"""Members of the slots `branch` (F of a residual unit) and `noise` (dropout in F)."""

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import Field, Strict

from resnet_jax.config.types import Count, Odd, Positive, Share, Whole, part
from resnet_jax.errors import ConfigError
from resnet_jax.paths import replaced

if TYPE_CHECKING:
    from resnet_jax.models.layers import dropout
    from resnet_jax.models.units import branch


@part
class Auto:
    """Default branch of the family: basic or bottleneck by depth, Min, V-cycle."""

    name: Literal["auto"] = "auto"


@part
class Simple:
    """Two 3x3 convolutions (basic) or one (single), He et al. 2016a, b."""

    name: Literal["basic", "single"] = "basic"

    def build(self) -> "branch.Branch":
        """The constant of that name in `models.units.branch`."""
        from resnet_jax.models.units import branch

        return getattr(branch, self.name.upper())


@part
class Bottleneck:
    """Convolutions 1x1, 3x3, 1x1; the 3x3 is grouped in ResNeXt (Xie et al. 2017)."""

    name: Literal["bottleneck"] = "bottleneck"
    stride_at: Literal["1x1", "3x3"] = "1x1"
    """Convolution that subsamples: as in the papers, or as in fb.resnet.torch."""
    cardinality: Count = 1
    """Groups of the 3x3 convolution, C of ResNeXt's CxDd."""
    group_width: Whole = 64.0
    """Channels per group where the template has 64 channels, D of CxDd."""

    def build(self) -> "branch.B":
        """The branch, of inner width C D / 256 of the output (ResNeXt, released code).

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
class Min:
    """Minimum of two depthwise convolutions (Gruening & Barth 2021)."""

    name: Literal["min"] = "min"

    def build(self) -> "branch.Branch":
        from resnet_jax.models.units import min as min_unit

        return min_unit.Min()


@part
class Multigrid:
    """Multigrid V-cycle over groups of channels (Eliasof et al. 2023)."""

    name: Literal["multigrid"] = "multigrid"
    group: Count = 32
    """Channels per group."""
    coarsest: Annotated[int, Strict(), Field(ge=2)] = 32
    """Channels of the coarsest level."""

    def build(self) -> "branch.Branch":
        from resnet_jax.models.units import multigrid

        return multigrid.Multigrid(self.group, self.coarsest)


@part
class SeparableBottleneck:
    """Three separable convolutions, the first two narrow (Xception-50)."""

    name: Literal["separable_bottleneck"] = "separable_bottleneck"
    inner: Positive = 0.5
    """Width of the first two, as a share of the unit's."""

    def build(self) -> "branch.Branch":
        from resnet_jax.models.units.separable import XCEPTION_50

        return replaced(XCEPTION_50, {"inner": self.inner})


Branch: TypeAlias = Simple | Bottleneck | Min | Multigrid | SeparableBottleneck


# --- noise ahead of the last convolution of a branch


@part
class Dropout:
    """Dropout of features (Srivastava et al. 2014) or maps (Tompson et al. 2015)."""

    name: Literal["dropout", "spatial_dropout"] = "dropout"
    rate: Share = 0.3
    """Probability that a feature, or a feature map, is dropped."""

    def build(self) -> "dropout.Noise":
        from resnet_jax.models.layers import dropout

        spatial = self.name == "spatial_dropout"
        return (dropout.SpatialDropout if spatial else dropout.Dropout)(self.rate)


@part
class DropBlock:
    """Dropout of squares of feature maps (Ghiasi et al. 2018)."""

    name: Literal["drop_block"] = "drop_block"
    rate: Share = 0.3
    """Share of the pixels that is dropped."""
    block: Odd = 7
    """Side of a square in pixels; odd."""

    def build(self) -> "dropout.Noise":
        from resnet_jax.models.layers import dropout

        return dropout.DropBlock(self.rate, self.block)


Noise: TypeAlias = Annotated[Dropout | DropBlock, Field(discriminator="name")]


def with_noise(chosen: Branch, noise: Noise | None) -> "branch.Branch":
    """Built branch with dropout in it; ConfigError if it has no place for that."""
    built = chosen.build()
    if noise is None:
        return built
    if not hasattr(built, "noise") or len(built.kernels) < 2:
        raise ConfigError(
            f"model.unit.noise={noise.name!r}: model.unit.branch={chosen.name!r} has "
            "no place for it; leave it out"
        )
    return replaced(built, {"noise": noise.build()})
