"""Families of networks without residual units, a class each."""

from typing import TYPE_CHECKING, Literal

from resnet_jax.config.family import Levels, Looped, Pyramid, Relayed
from resnet_jax.config.types import Count, Positive, Probability, Share, part
from resnet_jax.config.units import Order
from resnet_jax.errors import ConfigError

if TYPE_CHECKING:
    from resnet_jax.models.nets.densenet import DenseNetSpec
    from resnet_jax.models.nets.plain import PlainSpec

# --- networks that concatenate


@part
class DenseUnit:
    """Slots of a layer that concatenates."""

    order: Order = "full_pre"
    """Place of norm and activation around the convolutions."""
    dropout: Share = 0.0
    """Dropout rate behind every convolution but the stem's."""


@part
class CifarDenseUnit(DenseUnit):
    """Slots of a layer of a DenseNet for 32x32 images."""

    branch: Literal["single", "bottleneck"] = "single"
    """One 3x3 convolution, or a 1x1 ahead of it (DenseNet-B)."""


@part
class Concatenating(Looped, Pyramid):
    """A network of layers that concatenate."""


@part
class DenseNet(Concatenating):
    """DenseNets for 32x32 images (Huang et al. 2017, Table 2)."""

    name: Literal["densenet"] = "densenet"
    depth: Count = 40
    """Weighted layers: 3n+4 (single), 6n+4 (bottleneck)."""
    growth: Count = 12
    """Growth rate k."""
    compression: Probability = 1.0
    """Share of the channels that a transition keeps, theta."""
    connectivity: Literal["dense", "harmonic", "threshold"] = "dense"
    """Links between layers; harmonic and threshold are of HarDNet and ThreshNet."""
    unit: CifarDenseUnit = CifarDenseUnit()
    """Slots of a layer."""

    def spec(self) -> "DenseNetSpec":
        from resnet_jax.models.nets import densenet
        from resnet_jax.models.units import unit
        from resnet_jax.models.units.branch import SINGLE
        from resnet_jax.models.zoo import densenets

        every, harmonic = densenet.Dense(), densenet.Harmonic(1.7)
        links = {
            "dense": (every,) * 3,
            "harmonic": (harmonic,) * 3,
            "threshold": (every, every, harmonic),
        }
        branches = {"single": SINGLE, "bottleneck": densenets.BOTTLENECK}
        return densenets.densenet(
            self.depth,
            growth=self.growth,
            branch=branches[self.unit.branch],
            compression=self.compression,
            dropout=self.unit.dropout,
            links=links[self.connectivity],
            order=getattr(unit, self.unit.order.upper()),
        )


@part
class ImageNetDenseNet(Concatenating):
    """DenseNet-BC for 224x224 images (Huang et al. 2017, Table 1)."""

    name: Literal["densenet_imagenet"] = "densenet_imagenet"
    depth: Count = 121
    """Weighted layers: 121, 161, 169, 201 or 264."""
    growth: Count | None = None
    """Growth rate k; None: as published."""
    compression: Probability = 0.5
    """Share of the channels that a transition keeps, theta."""
    unit: DenseUnit = DenseUnit()
    """Slots of a layer."""

    def spec(self) -> "DenseNetSpec":
        from resnet_jax.models.units import unit
        from resnet_jax.models.zoo.densenets import densenet_imagenet

        return densenet_imagenet(
            self.depth,
            growth=self.growth,
            compression=self.compression,
            dropout=self.unit.dropout,
            order=getattr(unit, self.unit.order.upper()),
        )


@part
class HarDNet(Concatenating):
    """HarDNets for 224x224 images (Chao et al. 2019)."""

    name: Literal["hardnet"] = "hardnet"
    depth: Count = 68
    """Weighted layers: 39, 68 or 85."""

    def spec(self) -> "DenseNetSpec":
        from resnet_jax.models.zoo.densenets import hardnet

        return hardnet(self.depth)


@part
class ThreshNet(Concatenating):
    """ThreshNets (Ju et al. 2022)."""

    name: Literal["threshnet"] = "threshnet"
    depth: Count = 79
    """Weighted layers: 79 or 95."""

    def spec(self) -> "DenseNetSpec":
        from resnet_jax.models.zoo.densenets import threshnet

        return threshnet(self.depth)


# --- one layer after the other


@part
class Sequential(Relayed):
    """A network of layers one after the other."""

    width: Positive = 1.0
    """Factor on all widths."""


@part
class Nin(Sequential):
    """Network in Network for 32x32 images (Lin et al. 2014)."""

    name: Literal["nin"] = "nin"

    def spec(self) -> "PlainSpec":
        from resnet_jax.models.zoo.plain_nets import nin

        return nin(width=self.width)


@part
class AllCnn(Sequential):
    """All-convolutional nets for 32x32 images (Springenberg et al. 2015)."""

    name: Literal["all_cnn"] = "all_cnn"
    variant: Literal[
        "A", "B", "C", "Strided-A", "Strided-B", "Strided-C", "ConvPool-A",
        "ConvPool-B", "ConvPool-C", "All-CNN-A", "All-CNN-B", "All-CNN-C",
    ] = "All-CNN-C"  # fmt: skip
    """Row of the paper's Tables 1 and 2."""
    size: Literal["cifar", "digits"] = "cifar"
    """Images that it is for; ours for digits of 8x8 pads where the paper does not."""

    def spec(self) -> "PlainSpec":
        from resnet_jax.models.zoo.plain_nets import all_cnn

        return all_cnn(self.variant, size=self.size, width=self.width)


@part
class Vgg(Sequential):
    """VGG nets (Simonyan & Zisserman 2015)."""

    name: Literal["vgg"] = "vgg"
    depth: Count = 16
    """Weighted layers of the ImageNet net: 11, 13, 16 or 19; 7 is ours for digits."""
    size: Literal["imagenet", "cifar", "digits"] = "imagenet"
    """Images that its classifier is for."""
    variant: Literal["fc", "mean"] = "fc"
    """End: fully connected layers, or the mean of the last map (Liu et al. 2017)."""
    levels: Levels = ()
    """Bins per side of a spatial pyramid in place of the last pool; (): none."""

    def spec(self) -> "PlainSpec":
        from resnet_jax.models.zoo.plain_nets import vgg

        if self.variant == "mean" and self.size != "cifar":
            told = f"is of model.size=cifar, not {self.size!r}"
            raise ConfigError(f"model.variant='mean': {told}")
        return vgg(
            self.depth, size=self.size, variant=self.variant, levels=self.levels,
            width=self.width,
        )  # fmt: skip


@part
class PReluSmall(Sequential):
    """Nets of 14 and 30 layers for 224x224 images (He et al. 2015, Table 1)."""

    name: Literal["prelu_small"] = "prelu_small"
    depth: Count = 14
    """Weighted layers: 14 or 30."""

    def spec(self) -> "PlainSpec":
        from resnet_jax.models.zoo.plain_nets import prelu_small

        return prelu_small(self.depth, width=self.width)


@part
class PReluLarge(Sequential):
    """Models A, B and C for 224x224 images (He et al. 2015, Table 3)."""

    name: Literal["prelu_large"] = "prelu_large"
    variant: Literal["A", "B", "C"] = "A"
    """Column of the paper's Table 3."""

    def spec(self) -> "PlainSpec":
        from resnet_jax.models.zoo.plain_nets import prelu_large

        return prelu_large(self.variant, width=self.width)


@part
class SppNet(Sequential):
    """ZF-5 of SPP-net for images of any size (He et al. 2014, Table 1)."""

    name: Literal["spp_net"] = "spp_net"
    levels: Levels = (1, 2, 3, 6)
    """Bins per side of the spatial pyramid; (): a 3x3 pool, for 224x224 images."""

    def spec(self) -> "PlainSpec":
        from resnet_jax.models.zoo.plain_nets import spp_net

        return spp_net(levels=self.levels, width=self.width)


@part
class Places2(Sequential):
    """Model B of three towers (Shen et al. 2016)."""

    name: Literal["places2"] = "places2"
    size: Literal["imagenet", "digits"] = "imagenet"
    """Images that it is for; ours for digits of 8x8 is one block deep."""

    def spec(self) -> "PlainSpec":
        from resnet_jax.models.zoo.plain_nets import places2

        return places2(size=self.size, width=self.width)
