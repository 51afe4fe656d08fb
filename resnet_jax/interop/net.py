"""Released network: what it is here, and the rules of its names."""

import dataclasses
from collections.abc import Mapping
from typing import TypeAlias

import flax.linen as nn
from jaxtyping import PyTree

from resnet_jax.config.datasets import DATASETS, UNCOUNTED
from resnet_jax.config.resolve import changed, validated
from resnet_jax.config.schema import Config
from resnet_jax.interop.rules import Rule
from resnet_jax.models import complexity
from resnet_jax.models.layers.initializers import Initializer, InitSpec
from resnet_jax.models.nets.spec import NetSpec
from resnet_jax.models.network import network
from resnet_jax.paths import replaced

Fields: TypeAlias = Mapping[str, object]  # of a config, by dotted path

# Evaluation of torchvision's first weights: shorter side 256, bilinear; the centre of
# 224; mean and std of ImageNet. timm's are the same, but bicubic.
BILINEAR: Fields = {
    "data.name": "imagenet2012",
    "data.augment": "imagenet_scale",
    "data.normalize": "channel",
}
BICUBIC: Fields = {**BILINEAR, "data.augment": "imagenet_aspect"}
CLIPS: Fields = {"data.name": "kinetics400", "data.normalize": "channel"}
SPEC_FILE: Fields = {"model.name": "spec"}
# A converted net has no schedule of its own.
TRAIN: Fields = {
    "train.epochs": None,
    "train.iterations": 1,
    "optim.schedule": "constant",
    "data.batch_size": 32,
}


@dataclasses.dataclass(frozen=True)
class Net:
    """Network of a released file, as fields of a config or as a spec.

    `renamed`: (pattern, replacement) of names in released files that differ from those
    of the library's own state_dict.
    """

    rules: tuple[Rule, ...]
    model: Fields | NetSpec
    data: Fields = dataclasses.field(default_factory=lambda: BILINEAR)
    renamed: tuple[tuple[str, str], ...] = ()

    @property
    def head(self) -> str:
        """Name of the classifier in PyTorch."""
        return next(rule.theirs for rule in self.rules if rule.ours == "head")

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of an image, or of a clip [t h w c]."""
        return (DATASETS | UNCOUNTED)[str(self.data["data.name"])].image

    def config(self, *, num_classes: int) -> Config:
        """Config of a run folder with the network."""
        model = self.model if isinstance(self.model, Mapping) else SPEC_FILE
        fields = {**model, "model.num_classes": num_classes, **self.data, **TRAIN}
        return validated(*changed(Config().to_dict(), fields))

    @property
    def of_spec(self) -> bool:
        """True where no family of the config describes the network."""
        return not isinstance(self.model, Mapping)

    def spec(self, *, num_classes: int) -> NetSpec:
        """Spec of the network."""
        if not isinstance(self.model, Mapping):
            return replaced(self.model, {"num_classes": num_classes})
        config = self.config(num_classes=num_classes)
        return network(config, num_classes=num_classes, devices=1)

    def shapes(self, *, num_classes: int) -> dict[str, PyTree]:
        """Shapes of the variables of the network."""
        spec = self.spec(num_classes=num_classes)
        spec = replaced(spec, {"layers.init": _Zeros()})  # half the time to trace
        return complexity.shapes(spec.build(), self.image_shape)


@dataclasses.dataclass(frozen=True)
class _Zeros(InitSpec):
    """Kernels of zeros, where shapes alone are wanted."""

    def __call__(self, *, slope: float) -> Initializer:
        return nn.initializers.zeros
