"""Operators in place of convolutions: frozen data, as `LayersSpec.operator`.

Stems, classifiers and convolutions with a bias (gates) keep plain convolutions.
"""

import dataclasses
from typing import Literal, Unpack

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.layers import ConvOptions, Layers, LayersSpec
from resnet_jax.ops.convolution import convolve


@dataclasses.dataclass(frozen=True)
class Ghost:
    """Ghost module: [Y', Phi(Y')], Y' = f * x  (Han et al. 2020, Sec. 3.1).

    f makes ceil(features / ratio) intrinsic maps; Phi, a depthwise convolution, makes
    ratio - 1 ghosts of each. `then` follows both; surplus maps are cut off. Depthwise
    convolutions are cheap already and stay plain.
    """

    ratio: int = 2  # s of the paper
    kernel: int = 3  # d, the kernel size of Phi

    def __post_init__(self):
        if self.ratio < 2:
            raise ConfigError(f"model.operator.ratio={self.ratio}: must be 2 or more")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ConfigError(f"model.operator.kernel={self.kernel}: must be odd")

    def __call__(
        self, layers: Layers, x: Array, features: int, **options: Unpack[ConvOptions]
    ) -> Float[Array, "b *hw features"]:
        groups, name = options["groups"], options["name"]
        if groups == x.shape[-1] > 1:
            return layers.conv(x, features, **options)
        intrinsic = -(-features // self.ratio)
        if intrinsic % groups:
            raise ConfigError(
                f"model.operator.ratio={self.ratio}: leaves {intrinsic} intrinsic "
                f"maps of {features} in {name}; its {groups} groups must divide them"
            )
        y = layers.conv(x, intrinsic, **options)
        ghosts = layers.conv(
            y, intrinsic * (self.ratio - 1), kernel=self.kernel, groups=intrinsic,
            then=options["then"], name=f"cheap_{name}",
        )  # fmt: skip
        return jnp.concatenate([y, ghosts], axis=-1)[..., :features]


@dataclasses.dataclass(frozen=True)
class Dropout:
    """Convolution, dropout, and the steps that follow."""

    rate: float

    def __call__(
        self, layers: Layers, x: Array, features: int, **options: Unpack[ConvOptions]
    ) -> Float[Array, "b *hw features"]:
        name = options["name"]
        bare: ConvOptions = {**options, "then": ()}
        x = layers.conv(x, features, **bare)
        x = layers.dropout(x, self.rate, name=f"dropout_{name}")
        return layers.then(x, options["then"], name=name)


def with_dropout(layers: LayersSpec, rate: float) -> LayersSpec:
    """Layers with dropout after every convolution but the stem's."""
    if not rate:
        return layers
    if layers.operator:
        raise ConfigError(
            f"dropout={rate}: needs plain convolutions, but they are "
            f"{type(layers.operator).__name__} operators; set one of the two"
        )
    return dataclasses.replace(layers, operator=Dropout(rate))


@dataclasses.dataclass(frozen=True)
class Binary:
    """Convolution with binary kernels alpha sign(W)  (Rastegari et al. 2016).

    real    I * (alpha B)                Binary-Weight-Networks
    scaled  (sign(I) * B) (K alpha)      XNOR-Networks, K = box filter of mean |I|
    signs   (sign(I) * B) alpha          the released code: no K

    Borders are zeros, of sign(I) and of |I|. The paper gives no rule for the gradient
    through K: here the chain rule; with groups, K is per group. It does not say whether
    projections of shortcuts are binary; its reason for full precision in the first and
    the last layer, that little is gained, holds for a 1x1 projection.

    rule "released" (util.lua and BinActiveZ.lua of allenai/XNOR-Net): another gradient,
    and after every update `centred_and_clamped`. There Adam sees gradients times 1e9,
    so that its epsilon does not count; here it does.
    """

    inputs: Literal["real", "scaled", "signs"] = "real"
    projections: Literal["real", "binary"] = "real"
    rule: Literal["paper", "released"] = "paper"

    def __call__(
        self, layers: Layers, x: Array, features: int, **options: Unpack[ConvOptions]
    ) -> Float[Array, "b *hw features"]:
        name = options["name"]
        if self.projections == "real" and name.startswith("shortcut"):
            return layers.conv(x, features, **options)
        bare: ConvOptions = {**options, "then": ()}
        binarise, signs = (binary, sign) if self.rule == "paper" else RELEASED
        inputs = x if self.inputs == "real" else signs(x)
        y = layers.conv(inputs, features, kernel_map=binarise, **bare)
        if self.inputs == "scaled":
            y *= input_scale(x.astype(y.dtype), features, options)
        return layers.then(y, options["then"], name=name)


BWN, XNOR = Binary("real"), Binary("scaled")


def input_scale(
    x: Float[Array, "b *hw c"], features: int, options: ConvOptions
) -> Float[Array, "b *hw2 features"]:
    """K = A * k, A = mean over channels of |I|, k = 1 / (w h)  (Sec. 3.2)."""
    rank, kernel, groups = x.ndim - 2, options["kernel"], options["groups"]
    a = jnp.abs(x).reshape(*x.shape[:-1], groups, -1).mean(-1)
    box = jnp.full((*(kernel,) * rank, 1, groups), 1 / kernel**rank, x.dtype)
    strides, padding = options["strides"], options["padding"]
    k = convolve(a, box, strides=strides, groups=groups, padding=padding)
    return jnp.repeat(k, features // groups, axis=-1)


@jax.custom_vjp
def sign(r: Array) -> Array:
    """+1 for r >= 0, else -1; its derivative is taken as 1 for |r| <= 1, else 0."""
    return jnp.where(r >= 0, 1, -1).astype(r.dtype)


sign.defvjp(
    lambda r: (sign(r), r),
    lambda r, g: (g * (jnp.abs(r) <= 1).astype(g.dtype),),
)


@jax.custom_vjp
def binary(kernel: Float[Array, "*k c f"]) -> Float[Array, "*k c f"]:
    """alpha sign(W), alpha = |W|_1 / n for each filter of n weights.

    dC/dW = dC/d(alpha B) (1/n + alpha dsign/dW)  (Sec. 3.1, Training).
    """
    return _alpha(kernel) * sign(kernel)


def _alpha(kernel):
    return jnp.abs(kernel).mean(tuple(range(kernel.ndim - 1)), keepdims=True)


def _binary_backward(kernel, g):
    n = kernel.size // kernel.shape[-1]
    clipped = (jnp.abs(kernel) <= 1).astype(g.dtype)
    return (g * (1 / n + _alpha(kernel) * clipped),)


binary.defvjp(lambda kernel: (binary(kernel), kernel), _binary_backward)


@jax.custom_vjp
def released_sign(r: Array) -> Array:
    """-1, 0 or 1; its derivative is taken as 1 for |r| < 1, else 0."""
    return jnp.sign(r)


released_sign.defvjp(
    lambda r: (jnp.sign(r), r),
    lambda r, g: (g * (jnp.abs(r) < 1).astype(g.dtype),),
)


@jax.custom_vjp
def released_binary(kernel: Float[Array, "*k c f"]) -> Float[Array, "*k c f"]:
    """alpha sign(W) with sign(0) = 0, for kernels that are centred and clamped.

    dC/dW = dC/d(alpha B) n (1 - 1/c) (1/n + alpha dsign/dW), dsign/dW = 1 for |W| < 1.
    """
    return _alpha(kernel) * jnp.sign(kernel)


def _released_backward(kernel, g):
    n, channels = kernel.size // kernel.shape[-1], kernel.shape[-2]
    inside = (jnp.abs(kernel) < 1).astype(g.dtype)
    return (g * n * (1 - 1 / channels) * (1 / n + _alpha(kernel) * inside),)


released_binary.defvjp(lambda k: (released_binary(k), k), _released_backward)
RELEASED = released_binary, released_sign


def centred_and_clamped(kernel: Float[Array, "*k c f"]) -> Float[Array, "*k c f"]:
    """Kernel less its mean over input channels, cut to -1..1."""
    return jnp.clip(kernel - kernel.mean(axis=-2, keepdims=True), -1, 1)
