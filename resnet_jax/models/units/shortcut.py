"""Shortcuts: their types, and how they join the branch.

Types apply where a unit changes resolution or width (He et al. 2016a, Sec. 4.1); joins
are the shortcuts of He et al. 2016b, Fig. 2 and Table 1.
"""

import dataclasses
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array

from resnet_jax.models.layers.layers import Layers, Steps


@dataclasses.dataclass(frozen=True)
class Separable:
    """Depthwise k x k, then 1x1, where resized  (GhostNet, released code)."""

    kernel: int = 3

    def __call__(
        self, layers: Layers, x: Array, features: int, strides: int, norm: Steps
    ) -> Array:
        x = layers.conv(
            x, x.shape[-1], kernel=self.kernel, strides=strides, groups=x.shape[-1],
            then=norm, name="shortcut_depthwise_conv",
        )  # fmt: skip
        return layers.conv(x, features, kernel=1, then=norm, name="shortcut_conv")


# A          subsample, pad new channels with zeros; no parameters
# B          project by a 1x1 convolution where resized, identity elsewhere
# C          project everywhere
# raw-B      like B, of x itself where others take its pre-activation (Chollet 2017)
# avgpool-A  like A, averaging instead of subsampling (Huang et al. 2016)
# none       no shortcut: a plain net
Shortcut: TypeAlias = Literal["A", "B", "C", "raw-B", "avgpool-A", "none"] | Separable


def shortcut(
    layers: Layers,
    x: Array,
    preact: Array,
    features: int,
    *,
    kind: Shortcut,
    strides: int,
    norm: Steps,
) -> Array | None:
    """h(x) [b *hw/strides features], or None for a plain net.

    Where the unit resizes, h takes the pre-activation of the branch (He et al. 2016b,
    Sec. 5 and released code), but for raw-B; elsewhere the identity takes x itself. A
    projection ends with `norm` where its branch does.
    """
    resized = strides != 1 or x.shape[-1] != features
    if kind == "none":
        return None
    if not resized and kind != "C":
        return x
    if kind == "A":
        return zero_pad(subsample(preact, strides), features)
    if kind == "avgpool-A":
        return zero_pad(layers.avg_pool(preact, window=strides), features)
    if isinstance(kind, Separable):
        return kind(layers, preact, features, strides, norm)
    source = x if kind == "raw-B" else preact
    return layers.conv(
        source, features, kernel=1, strides=strides, then=norm, name="shortcut_conv"
    )


def subsample(x: Array, strides: int) -> Array:
    """Every strides-th pixel along each axis, from the first."""
    return x[(slice(None), *(slice(None, None, strides),) * (x.ndim - 2))]


def zero_pad(x: Array, features: int) -> Array:
    """Pad with channels of zeros."""
    return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, features - x.shape[-1])])


@runtime_checkable
class Join(Protocol):
    """Sum of shortcut and branch, in some proportion."""

    def __call__(self, layers: Layers, h: Array, f: Array) -> Array: ...


@dataclasses.dataclass(frozen=True)
class Add:
    """h + F."""

    def __call__(self, layers: Layers, h: Array, f: Array) -> Array:
        return h + f


@dataclasses.dataclass(frozen=True)
class Scaled:
    """Constant scaling: shortcut * h + residual * F."""

    shortcut: float = 0.5
    residual: float = 0.5

    def __call__(self, layers: Layers, h: Array, f: Array) -> Array:
        return self.shortcut * h + self.residual * f


@dataclasses.dataclass(frozen=True)
class Gated:
    """(1 - g) h + g F (exclusive) or (1 - g) h + F (shortcut-only gating).

    g = sigmoid(W h + bias), W a 1x1 convolution of the resized shortcut; `bias` is the
    initial gate bias b_g, which the paper searches from 0 to -10.
    """

    gates: Literal["both", "shortcut"] = "both"
    bias: float = -6.0

    def __call__(self, layers: Layers, h: Array, f: Array) -> Array:
        init = nn.initializers.constant(self.bias)
        logit = layers.conv(h, h.shape[-1], kernel=1, bias=init, name="gate_conv")
        g = nn.sigmoid(logit)
        return (1 - g) * h + (g * f if self.gates == "both" else f)


@dataclasses.dataclass(frozen=True)
class Dropped:
    """dropout(h) + F."""

    rate: float = 0.5

    def __call__(self, layers: Layers, h: Array, f: Array) -> Array:
        return layers.dropout(h, self.rate, name="shortcut_dropout") + f
