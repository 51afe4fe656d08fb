"""Operators in place of convolutions: frozen data, as `LayersSpec.operator`.

Stems, classifiers and convolutions with a bias (gates) stay as they are.
"""

import dataclasses
import functools
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.convolution import Padding
from resnet_jax.models.layers.layers import Layers, Step
from resnet_jax.ops.convolution import convolve


@dataclasses.dataclass(frozen=True)
class Ghost:
    """Ghost module: [Y', Phi(Y')], Y' = f * x  (Han et al. 2020, Sec. 3.1).

    f makes ceil(features / ratio) intrinsic maps; Phi, a depthwise convolution, makes
    ratio - 1 ghosts of each. Both parts have the steps that follow; what is over is cut
    off. A depthwise convolution is cheap already and stays.
    """

    ratio: int = 2  # s, of the paper
    kernel: int = 3  # d, of Phi

    def __post_init__(self):
        if self.ratio < 2:
            raise ConfigError(f"model.operator.ratio={self.ratio}: must be 2 or more")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ConfigError(f"model.operator.kernel={self.kernel}: must be odd")

    def __call__(
        self,
        layers: Layers,
        x: Float[Array, "b *hw c"],
        features: int,
        *,
        kernel: int,
        strides: int | tuple[int, ...],
        groups: int,
        padding: Padding,
        then: tuple[Step, ...],
        name: str,
    ) -> Float[Array, "b *hw2 features"]:
        conv = functools.partial(
            layers.conv, kernel=kernel, strides=strides, groups=groups,
            padding=padding, then=then, name=name,
        )  # fmt: skip
        if groups == x.shape[-1] > 1:
            return conv(x, features)
        intrinsic = -(-features // self.ratio)
        if intrinsic % groups:
            raise ConfigError(
                f"model.operator.ratio={self.ratio}: leaves {intrinsic} intrinsic "
                f"maps of {features} in {name}; its {groups} groups must divide them"
            )
        y = conv(x, intrinsic)
        ghosts = layers.conv(
            y, intrinsic * (self.ratio - 1), kernel=self.kernel, groups=intrinsic,
            then=then, name=f"cheap_{name}",
        )  # fmt: skip
        return jnp.concatenate([y, ghosts], axis=-1)[..., :features]


@dataclasses.dataclass(frozen=True)
class Dropout:
    """A plain convolution with dropout between it and its steps."""

    rate: float

    def __call__(
        self,
        layers: Layers,
        x: Array,
        features: int,
        *,
        kernel: int,
        strides: int | tuple[int, ...],
        groups: int,
        padding: Padding,
        then: tuple[Step, ...],
        name: str,
    ) -> Array:
        x = layers.conv(
            x, features, kernel=kernel, strides=strides, groups=groups,
            padding=padding, name=name,
        )  # fmt: skip
        x = layers.dropout(x, self.rate, name=f"dropout_{name}")
        return layers.then(x, then, name=name)


@dataclasses.dataclass(frozen=True)
class Binary:
    """Binary kernels alpha sign(W), and the inputs they meet (Rastegari et al. 2016).

    real    I * (alpha B)                Binary-Weight-Networks
    scaled  (sign(I) * B) (K alpha)      XNOR-Networks, K = box filter of mean |I|
    signs   (sign(I) * B) alpha          their released code: no K

    Borders are zeros, of sign(I) and of |I|. The paper gives no rule for the gradient
    by K: here the chain rule; with groups K is of a group's channels. Whether the
    projections of shortcuts are binary it does not say; its reason for full precision
    in the first and the last layer, that little is gained, holds for a 1x1 projection.
    """

    inputs: Literal["real", "scaled", "signs"] = "real"
    projections: Literal["real", "binary"] = "real"

    def __call__(
        self,
        layers: Layers,
        x: Float[Array, "b *hw c"],
        features: int,
        *,
        kernel: int,
        strides: int | tuple[int, ...],
        groups: int,
        padding: Padding,
        then: tuple[Step, ...],
        name: str,
    ) -> Float[Array, "b *hw2 features"]:
        conv = functools.partial(
            layers.conv, features=features, kernel=kernel, strides=strides,
            groups=groups, padding=padding, name=name,
        )  # fmt: skip
        if self.projections == "real" and name.startswith("shortcut"):
            return conv(x, then=then)
        y = conv(x if self.inputs == "real" else sign(x), kernel_map=binary)
        if self.inputs == "scaled":
            y *= input_scale(
                x.astype(y.dtype), features, kernel=kernel, strides=strides,
                groups=groups, padding=padding,
            )  # fmt: skip
        return layers.then(y, then, name=name)


BWN, XNOR = Binary("real"), Binary("scaled")


def input_scale(
    x: Float[Array, "b *hw c"],
    features: int,
    *,
    kernel: int,
    strides: int | tuple[int, ...],
    groups: int,
    padding: Padding,
) -> Float[Array, "b *hw2 features"]:
    """K = A * k, A = mean over channels of |I|, k = 1 / (w h)  (Sec. 3.2)."""
    rank = x.ndim - 2
    a = jnp.abs(x).reshape(*x.shape[:-1], groups, -1).mean(-1)
    box = jnp.full((*(kernel,) * rank, 1, groups), 1 / kernel**rank, x.dtype)
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
