"""Residual functions F: frozen data that apply themselves inside a module.

A new residual unit starts here (CONTRIBUTING.md shows one).
"""

import dataclasses
from typing import Protocol, runtime_checkable

import flax.linen as nn
from jaxtyping import Array

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.dropout import Noise
from resnet_jax.models.layers.layers import Layers, Steps


@runtime_checkable
class Branch(Protocol):
    """end(F(x)): [b *hw c] -> [b *hw/strides features].

    The call names every layer and closes with the steps `end`. A branch that takes
    noise before its last convolution has a field `noise: Noise | None`.
    """

    @property
    def kernels(self) -> tuple[int, ...]:
        """Kernel sizes of weighted layers, as the depth of networks counts them."""
        ...

    def __call__(
        self, layers: Layers, x: Array, features: int, strides: int, end: Steps
    ) -> Array: ...


@dataclasses.dataclass(frozen=True)
class B:
    """Convolutions with norm and activation between them: B(M) of WRN, Sec. 2.2."""

    kernels: tuple[int, ...] = (3, 3)
    inner: float = 1.0  # inner width / output width
    cardinality: int = 1  # groups of the inner convolutions (ResNeXt)
    stride_at: int = 0  # index of the convolution that subsamples
    noise: Noise | None = None  # before the last convolution

    def __post_init__(self):
        if not 0 <= self.stride_at < len(self.kernels):
            raise ConfigError(
                f"stride_at={self.stride_at}: must index kernels={self.kernels}"
            )

    def __call__(
        self, layers: Layers, x: Array, features: int, strides: int, end: Steps
    ) -> Array:
        last = len(self.kernels) - 1
        for i, kernel in enumerate(self.kernels):
            if self.noise and i == last > 0:
                x = self.noise(layers, x, name="noise")
            x = layers.conv(
                x,
                features if i == last else round(self.inner * features),
                kernel=kernel,
                strides=strides if i == self.stride_at else 1,
                groups=self.cardinality if 0 < i < last else 1,
                then=end if i == last else ("norm", "act"),
                name=f"conv{i + 1}",
            )
        return x


BASIC = B((3, 3))
BOTTLENECK = B((1, 3, 1), inner=1 / 4)  # strides in the first 1x1, as in the papers
BOTTLENECK_3X3 = B((1, 3, 1), inner=1 / 4, stride_at=1)  # fb.resnet.torch, torchvision
SINGLE = B((3,))  # the 1-layer skip of He et al. 2016b, Table 3


class BranchModule(nn.Module):
    """A branch as a module, a scope in the parameter tree."""

    branch: Branch
    layers: Layers
    features: int
    strides: int
    end: Steps

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return self.branch(self.layers, x, self.features, self.strides, self.end)
