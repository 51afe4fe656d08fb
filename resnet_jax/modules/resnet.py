"""Residual networks: stem, stages, head."""

import dataclasses
import itertools
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from resnet_jax.errors import ConfigError
from resnet_jax.modules.layers import Layers, LayersSpec
from resnet_jax.modules.stages import DepthMode, Stage
from resnet_jax.modules.units import UnitSpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResNetSpec:
    """A residual (or plain) network, as data."""

    depths: tuple[int, ...]  # units in each stage
    widths: tuple[int, ...]  # output channels of each stage
    unit: UnitSpec = UnitSpec()
    layers: LayersSpec = LayersSpec()
    stem: Literal["cifar", "imagenet"] = "cifar"
    stem_width: int = 16
    num_classes: int = 10
    survival: float = 1.0  # of the last unit; falls linearly from the stem on
    depth_mode: DepthMode = "scan"

    def __post_init__(self):
        if len(self.depths) != len(self.widths) or min(self.depths) < 1:
            raise ConfigError(
                "one width and at least one unit a stage: got "
                f"depths={self.depths}, widths={self.widths}"
            )

    def build(self) -> nn.Module:
        return ResNet(self)


class ResNet(nn.Module):
    """Stem, stages, head  (He et al. 2016a, Table 1 and Sec. 4.2).

    The stem ends with norm and activation, and the first unit has no pre-activation of
    its own. For pre-activation nets that is the rule of He et al. 2016b, Sec. 5: "the
    first activation right after conv1, before splitting into two paths"; likewise the
    head repeats once more what stands ahead of each branch.
    """

    spec: ResNetSpec

    @nn.compact
    def __call__(
        self, x: Float[Array, "b *hw c"], *, train: bool
    ) -> Float[Array, "b n"]:
        s, layers = self.spec, Layers(self.spec.layers, train)
        x = self._stem(layers, x)
        for i, (units, features, survival) in enumerate(
            zip(s.depths, s.widths, self._survival(), strict=True)
        ):
            stage = Stage(
                self._first(i), s.unit, s.layers, units, features,
                strides=1 if i == 0 else 2, mode=s.depth_mode, name=f"stage{i + 1}",
            )  # fmt: skip
            x = stage(x, survival, train=train)
        x = layers.steps(x, s.unit.order.before, name="head")
        logits = layers.dense(layers.global_mean(x), s.num_classes, name="head")
        return logits.astype(jnp.promote_types(logits.dtype, jnp.float32))

    def _stem(self, layers, x):
        if self.spec.stem == "cifar":
            x = layers.conv(x, self.spec.stem_width, kernel=3, name="stem_conv")
            return layers.steps(x, ("norm", "act"), name="stem")
        x = layers.conv(
            x, self.spec.stem_width, kernel=7, strides=2,
            padding=[(3, 3)] * self.spec.layers.rank, name="stem_conv",
        )  # fmt: skip
        x = layers.steps(x, ("norm", "act"), name="stem")
        return layers.max_pool(x, window=3, strides=2, padding=(1, 1))

    def _first(self, stage):
        """The spec of a stage's first unit."""
        unit = self.spec.unit
        if stage > 0:
            return unit
        return dataclasses.replace(
            unit, order=dataclasses.replace(unit.order, before=())
        )

    def _survival(self):
        """p_l = 1 - (l / L) (1 - p_L) for l = 1 .. L, cut into stages."""
        depths = self.spec.depths
        if self.spec.survival == 1.0:
            return [None] * len(depths)
        total = sum(depths)
        p = 1 - jnp.arange(1, total + 1) / total * (1 - self.spec.survival)
        return jnp.split(p, list(itertools.accumulate(depths))[:-1])
