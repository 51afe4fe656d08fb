"""Xception as a function to a spec, with its stem and its head."""

import dataclasses
from typing import Literal, Unpack

from jaxtyping import Array, Float

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.batchnorm import TENSORFLOW
from resnet_jax.models.layers.layers import Layers, LayersSpec
from resnet_jax.models.nets.resnet import ResNetSpec
from resnet_jax.models.nets.stem_head import Head, Stem
from resnet_jax.models.units.separable import SeparableConvs, separable_conv
from resnet_jax.models.units.unit import RELU_ONLY_PRE, UnitFields, UnitSpec
from resnet_jax.models.zoo.resnets import lookup, scaled

# Leading subsamplings that are omitted: the last maps have 10 and 2 pixels
OMITTED = {"imagenet": 0, "digits": 4}


@dataclasses.dataclass(frozen=True)
class UnpaddedStem(Stem):
    """Two unpadded convolutions, the first of half the width (Chollet 2017, Fig. 5)."""

    def __call__(
        self, layers: Layers, x: Float[Array, "b *hw c"], features: int
    ) -> Float[Array, "b *hw2 features"]:
        layers, rank, shape = layers.plain(), layers.spec.rank, x.shape[1:-1]
        for i, (width, strides) in enumerate(
            ((features // 2, self.strides), (features, 1)), 1
        ):
            if min(x.shape[1:-1]) < self.kernel:
                raise ConfigError(
                    f"images of {'x'.join(map(str, shape))} are too small for two "
                    "unpadded convolutions; use larger ones, or model.size='digits'"
                )
            x = layers.conv(
                x, width, kernel=self.kernel, strides=strides,
                padding=[(0, 0)] * rank, then=self.steps, name=f"stem_conv{i}",
            )  # fmt: skip
        return x


@dataclasses.dataclass(frozen=True)
class SeparableHead(Head):
    """Head with separable convolutions before its pool (Chollet 2017, Fig. 5)."""

    widths: tuple[int, ...] = (1536, 2048)

    def __call__(
        self, layers: Layers, x: Float[Array, "b *hw c"], num_classes: int
    ) -> Float[Array, "b n"]:
        for i, width in enumerate(self.widths, 1):
            x = separable_conv(
                layers, x, width, kernel=3, then=("norm", "act"), name=f"head_conv{i}"
            )
        return super().__call__(layers, x, num_classes)


def xception(
    *,
    width: int | float = 1,
    middle_units: int = 8,
    dropout: float = 0.5,
    size: Literal["imagenet", "digits"] = "imagenet",
    **unit: Unpack[UnitFields],
) -> ResNetSpec:
    """Xception for 299x299 images (Chollet 2017, Fig. 5; released in Keras).

    The eight `middle_units` run as one loop; `dropout` acts before the classifier (Sec.
    4.3). `digits`, ours, is for 8x8 images and subsamples in the last unit alone.
    `unit` are fields of all units. Norms are TensorFlow's. ConfigError for other sizes,
    for images that are too small, and where a width is not whole.
    """
    omitted = lookup("size", size, OMITTED)
    stem, *widths = scaled((64, 128, 256, 728, 1024), width)
    head = scaled((1536, 2048), width)
    slots: UnitFields = {"order": RELU_ONLY_PRE, "shortcut": "raw-B"}

    def made(*kernels: int, inner: tuple[int, ...] | float = 1.0) -> UnitSpec:
        return UnitSpec(SeparableConvs(kernels, inner), **slots | unit)

    entry, last = made(3, 3), made(3, 3, inner=(widths[2],))
    strides = (1,) * omitted + (2,) * (5 - omitted)
    return ResNetSpec(
        depths=(1, 1, 1 + middle_units, 1),
        widths=tuple(widths),
        unit=made(3, 3, 3),
        firsts=(entry, entry, entry, last),
        strides=strides[1:],
        layers=LayersSpec(norm=TENSORFLOW),
        stem=UnpaddedStem(strides=strides[0]),
        stem_width=stem,
        head=SeparableHead(widths=head, dropout=dropout),
        head_steps=(),
        num_classes=1000,
    )
