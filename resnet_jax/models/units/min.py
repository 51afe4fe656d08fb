"""Min units: the element-wise minimum of two depthwise convolutions."""

import dataclasses
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.layers import Layers, Steps
from resnet_jax.models.units.branch import Branch


@dataclasses.dataclass(frozen=True)
class Min:
    """end(W2 min(l(u), r(u))), u = act(norm(W1 x))  (Gruening & Barth 2021).

    l and r are depthwise 3x3 convolutions with instance norm and activation, W1 and W2
    are 1x1. With the product in place of the minimum it is the authors' FP-block.
    """

    expansion: float = 2.0  # q: channels of u / output channels
    reduction: Literal["min", "product"] = "min"
    kernels = (3, 3)  # of the two layers that the unit replaces; not a field

    def __post_init__(self):
        if self.expansion <= 0:
            raise ConfigError(f"expansion={self.expansion}: must be positive")

    def __call__(
        self, layers: Layers, x: Array, features: int, strides: int, end: Steps
    ) -> Array:
        wide = int(self.expansion * features)
        u = layers.conv(x, wide, kernel=1, then=("norm", "act"), name="conv1")
        left = self._depthwise(layers, u, strides, name="left")
        right = self._depthwise(layers, u, strides, name="right")
        # The gradient of jnp.minimum compares both with the minimum; neither is equal
        # where XLA computes one again and rounds it differently.
        smaller = jnp.where(left > right, right, left)
        y = smaller if self.reduction == "min" else left * right
        return layers.conv(y, features, kernel=1, then=end, name="conv2")

    def _depthwise(self, layers, u, strides, *, name):
        c = u.shape[-1]
        y = layers.conv(u, c, kernel=3, strides=strides, groups=c, name=f"{name}_conv")
        if all(size == 1 for size in y.shape[1:-1]):
            raise ConfigError(
                "model.unit.branch='min': instance norm of maps of one pixel is zero; "
                "needs larger images, or fewer stages"
            )
        return layers.act(layers.instance_norm(y), name=f"act_{name}")


@dataclasses.dataclass(frozen=True)
class Beside:
    """end(F(x)) + W x + b, W a 1x1 convolution, for layers without shortcut."""

    branch: Branch

    @property
    def kernels(self) -> tuple[int, ...]:
        return self.branch.kernels

    def __call__(
        self, layers: Layers, x: Array, features: int, strides: int, end: Steps
    ) -> Array:
        h = layers.conv(
            x, features, kernel=1, strides=strides, bias=nn.initializers.zeros,
            name="shortcut_conv",
        )  # fmt: skip
        return h + self.branch(layers, x, features, strides, end)
