"""Layers of networks: the only place where they get convolutions, norms, activations.

So a rectifier, a norm or a number of spatial axes chosen here holds for every layer of
a network, its stem and head included.
"""

import dataclasses
from typing import Literal, Protocol, TypeAlias, TypedDict, Unpack, runtime_checkable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from resnet_jax.errors import ConfigError
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
from resnet_jax.ops.remat_policy import saveable

Step = Literal["norm", "act"]
Steps: TypeAlias = tuple[Step, ...]


@dataclasses.dataclass(frozen=True)
class LayersSpec:
    """Options of every layer of a network."""

    act: Rectifier = Relu()
    norm: NormSpec | None = TORCH  # None: only the bias that a norm would add
    init: InitSpec = InitSpec()
    dtype: Literal["float32", "bfloat16", "float64"] = "float32"  # of the arithmetic
    rank: int = 2  # spatial axes: 2 for images, 3 for clips
    operator: "Operator | None" = None  # replaces convolutions outside the stem


class ConvOptions(TypedDict):
    """Keywords of `Layers.conv` that an operator takes."""

    kernel: int
    strides: int | tuple[int, ...]
    groups: int
    padding: Padding
    then: Steps
    name: str


@runtime_checkable
class Operator(Protocol):
    """Operator in place of a convolution (Ghost module, binary): frozen data.

    It takes the arguments of `Layers.conv`, and layers whose convolutions are plain.
    """

    def __call__(
        self, layers: "Layers", x: Array, features: int, **options: Unpack[ConvOptions]
    ) -> Array: ...


@dataclasses.dataclass(frozen=True)
class Layers:
    """Configured layers, to be called inside a compact module."""

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
        then: Steps = (),
        name: str,
    ) -> Float[Array, "b *hw2 features"]:
        """Convolution and the steps `then`; padded to ceil(size / strides) by default.

        `kernel_map` is applied to the kernel before use.
        """
        if features < 1:
            raise ConfigError(f"{name}: rounds to no channels; use a larger width")
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

    def then(self, x: Array, steps: Steps, *, name: str) -> Array:
        """Apply the steps after the convolution of that name."""
        return self.steps(x, steps, name=layer_of(name))

    def plain(self) -> "Layers":
        """Layers without operator, for stems."""
        return Layers(dataclasses.replace(self.spec, operator=None), self.train)

    def norm(self, x: Array, *, name: str) -> Array:
        if self.spec.norm is None:
            return Bias(self.spec.dtype, name=name)(x)
        return BatchNorm(self.spec.norm, name=name)(x, train=self.train)

    def act(self, x: Array, *, name: str) -> Array:
        return self.spec.act(x, train=self.train, name=name)

    def steps(self, x: Array, steps: Steps, *, name: str) -> Array:
        """Apply norms and activations in order, named `norm_<name>`, `act_<name>`."""
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
        dtype = self.spec.dtype
        product = nn.Dense(
            features, dtype=dtype, param_dtype=param_dtype(dtype), kernel_init=init,
            name=name,
        )  # fmt: skip
        return saveable(product(x))

    def dropout(self, x: Array, rate: float, *, name: str) -> Array:
        drop = nn.Dropout(rate, rng_collection="noise", name=name)
        return drop(x, deterministic=not self.train)

    def instance_norm(self, x: Float[Array, "b *hw c"]) -> Float[Array, "b *hw c"]:
        """Instance norm without parameters or running statistics, at least in float32.

        Ulyanov et al. 2016; epsilon as in Torch.
        """
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        axes = tuple(range(1, x.ndim - 1))
        centred = wide - wide.mean(axes, keepdims=True)
        var = jnp.square(centred).mean(axes, keepdims=True)
        return (centred / jnp.sqrt(var + 1e-5)).astype(x.dtype)

    def global_mean(self, x: Float[Array, "b *hw c"]) -> Float[Array, "b c"]:
        """Global average pooling, summed at least in float32."""
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        return saveable(wide.mean(axis=tuple(range(1, x.ndim - 1))).astype(x.dtype))

    max_pool = staticmethod(pooling.max_pool)
    same_max_pool = staticmethod(pooling.same_max_pool)
    avg_pool = staticmethod(pooling.avg_pool)
    local_mean = staticmethod(pooling.local_mean)


def layer_of(module: str) -> str:
    """Layer of a module: `1` of `conv1` and `norm_1`, `stem` of `stem_conv`."""
    name = module.removeprefix("norm_").removeprefix("act_")
    return name.replace("conv", "").strip("_")
