"""The one door to convolution, norm, activation and the rest: nets use no others.

So a rectifier, a norm or a number of spatial axes chosen here holds for every layer of
a network, its stem and head included.
"""

import dataclasses
from typing import Literal, Protocol, runtime_checkable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from resnet_jax.models.layers.activations import Rectifier, Relu
from resnet_jax.models.layers.batchnorm import TORCH, BatchNorm, NormSpec
from resnet_jax.models.layers.convolution import (
    Bias,
    Convolution,
    KernelMap,
    Padding,
    param_dtype,
)
from resnet_jax.models.layers.initializers import TORCH_LINEAR, Initializer, InitSpec
from resnet_jax.ops import pooling
from resnet_jax.ops.remat_policy import kept

Step = Literal["norm", "act"]


@dataclasses.dataclass(frozen=True)
class LayersSpec:
    """Choices that hold for every layer of a network."""

    act: Rectifier = Relu()
    norm: NormSpec | None = TORCH  # None: the bias alone that a norm would add
    init: InitSpec = InitSpec()
    dtype: Literal["float32", "bfloat16", "float64"] = "float32"  # of the arithmetic
    rank: int = 2  # spatial axes: 2 for images, 3 for clips
    # What stands for a convolution everywhere but in the stem; None: a plain one
    operator: "Operator | None" = None


@runtime_checkable
class Operator(Protocol):
    """Operator in place of a convolution (Ghost module, binary): frozen data.

    It gets the arguments of `Layers.conv`, and layers whose convolutions are plain.
    """

    def __call__(
        self,
        layers: "Layers",
        x: Array,
        features: int,
        *,
        kernel: int,
        strides: int | tuple[int, ...],
        groups: int,
        padding: Padding,
        then: tuple[Step, ...],
        name: str,
    ) -> Array: ...


@dataclasses.dataclass(frozen=True)
class Layers:
    """Layers already configured; to be called inside a compact module."""

    spec: LayersSpec
    train: bool

    def conv(
        self,
        x: Float[Array, "b *hw c"],
        features: int,
        *,
        kernel: int,
        strides: int | tuple[int, ...] = 1,
        groups: int = 1,
        padding: Padding | None = None,
        bias: Initializer | None = None,
        kernel_map: KernelMap | None = None,
        then: tuple[Step, ...] = (),
        name: str,
    ) -> Float[Array, "b *hw2 features"]:
        """Convolution, padded to ceil(size / strides) unless told otherwise.

        The steps of `then` follow it. `kernel_map` changes the kernel ahead of its use.
        """
        if padding is None:
            padding = [((kernel - 1) // 2, kernel // 2)] * self.spec.rank
        if self.spec.operator and bias is None:
            return self.spec.operator(
                self.plain(), x, features, kernel=kernel, strides=strides,
                groups=groups, padding=padding, then=then, name=name,
            )  # fmt: skip
        init = self.spec.init(slope=self.spec.act.slope)
        module = Convolution(
            (kernel,) * self.spec.rank, features, strides, groups, tuple(padding),
            init, bias, self.spec.dtype, kernel_map, name=name,
        )  # fmt: skip
        return self.then(module(x), then, name=name)

    def then(self, x: Array, steps: tuple[Step, ...], *, name: str) -> Array:
        """The steps behind a convolution, under the name of its layer."""
        return self.steps(x, steps, name=layer_of(name))

    def plain(self) -> "Layers":
        """Layers with plain convolutions: for stems, which no operator replaces."""
        return Layers(dataclasses.replace(self.spec, operator=None), self.train)

    def norm(self, x: Array, *, name: str) -> Array:
        if self.spec.norm is None:
            return Bias(self.spec.dtype, name=name)(x)
        return BatchNorm(self.spec.norm, name=name)(x, train=self.train)

    def act(self, x: Array, *, name: str) -> Array:
        return self.spec.act(x, train=self.train, name=name)

    def steps(self, x: Array, steps: tuple[Step, ...], *, name: str) -> Array:
        """Norms and activations in this order, named `norm_<name>`, `act_<name>`."""
        for step in steps:
            x = getattr(self, step)(x, name=f"{step}_{name}")
        return x

    def dense(
        self,
        x: Float[Array, "b c"],
        features: int,
        *,
        init: Initializer = TORCH_LINEAR,
        name: str,
    ) -> Float[Array, "b features"]:
        """Fully connected layer with bias."""
        product = nn.Dense(
            features,
            dtype=self.spec.dtype,
            param_dtype=param_dtype(self.spec.dtype),
            kernel_init=init,
            name=name,
        )
        return kept(product(x))

    def dropout(self, x: Array, rate: float, *, name: str) -> Array:
        drop = nn.Dropout(rate, rng_collection="noise", name=name)
        return drop(x, deterministic=not self.train)

    def instance_norm(
        self, x: Float[Array, "b *hw c"], *, name: str
    ) -> Float[Array, "b *hw c"]:
        """Each channel of each example by its own moments, at least in float32.

        Nothing is learnt or kept (Ulyanov et al. 2016; epsilon as in Torch).
        """
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        axes = tuple(range(1, x.ndim - 1))
        centred = wide - wide.mean(axes, keepdims=True)
        var = jnp.square(centred).mean(axes, keepdims=True)
        return (centred / jnp.sqrt(var + 1e-5)).astype(x.dtype)

    def global_mean(self, x: Float[Array, "b *hw c"]) -> Float[Array, "b c"]:
        """Global average pooling, summed at least in float32."""
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        return kept(wide.mean(axis=tuple(range(1, x.ndim - 1))).astype(x.dtype))

    def max_pool(
        self, x: Array, *, window: int, strides: int, padding: tuple[int, int] = (0, 0)
    ) -> Array:
        return pooling.max_pool(x, window=window, strides=strides, padding=padding)

    def avg_pool(self, x: Array, *, window: int) -> Array:
        """Mean over windows that do not overlap."""
        return pooling.avg_pool(x, window=window)

    def local_mean(self, x: Array, *, window: int) -> Array:
        """Mean over the window around every point."""
        return pooling.local_mean(x, window=window)


def layer_of(module: str) -> str:
    """`1` of `conv1`, `norm_1` and `act_1`; `stem` of `stem_conv` and `norm_stem`."""
    name = module.removeprefix("norm_").removeprefix("act_")
    return name.replace("conv", "").strip("_")
