"""Flax modules of a convolution and of a bias."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.initializers import Initializer
from resnet_jax.ops.convolution import convolve
from resnet_jax.ops.remat_policy import saveable

Padding = Sequence[tuple[int, int]]
KernelMap = Callable[[Array], Array]


class Convolution(nn.Module):
    """Convolution by a kernel [*k c_in/groups c_out], with an optional bias [c_out]."""

    kernel: tuple[int, ...]
    features: int
    strides: int | tuple[int, ...]
    groups: int
    padding: Padding
    kernel_init: Initializer
    bias_init: Initializer | None
    dtype: str
    kernel_map: KernelMap | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b *hw c"]) -> Float[Array, "b *hw2 features"]:
        if x.shape[-1] % self.groups or self.features % self.groups:
            raise ConfigError(
                f"{self.groups} groups must divide the {x.shape[-1]} input and "
                f"{self.features} output channels of {'/'.join(self.path)}; change "
                "model.unit.branch.cardinality or .group_width, or model.width"
            )
        shape = (*self.kernel, x.shape[-1] // self.groups, self.features)
        dtype = param_dtype(self.dtype)
        kernel = self.param("kernel", self.kernel_init, shape, dtype)
        kernel = self.kernel_map(kernel) if self.kernel_map else kernel
        y = convolve(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            strides=self.strides,
            groups=self.groups,
            padding=self.padding,
        )
        y = saveable(y)
        if self.bias_init:
            bias = self.param("bias", self.bias_init, (self.features,), dtype)
            y += bias.astype(self.dtype).reshape((1,) * (y.ndim - 1) + bias.shape)
        return y


class Bias(nn.Module):
    """x + bias [c], in place of a norm in nets without norms."""

    dtype: str

    @nn.compact
    def __call__(self, x: Float[Array, "b *hw c"]) -> Float[Array, "b *hw c"]:
        shape, dtype = (x.shape[-1],), param_dtype(self.dtype)
        bias = self.param("bias", nn.initializers.zeros, shape, dtype).astype(x.dtype)
        return x + bias.reshape((1,) * (x.ndim - 1) + shape)


def param_dtype(dtype: str) -> jnp.dtype:
    """Data type of parameters: float32 at least."""
    return jnp.promote_types(dtype, jnp.float32)
