"""Rectifiers as frozen data that apply themselves: act(x, train=..., name=...).

`slope`, of the negative part at initialisation, sets the gain of He initialisation:
Var[w] = 2 / ((1 + slope^2) n)  (He et al. 2015, Eq. 15).
"""

import dataclasses
from typing import Literal, Protocol, runtime_checkable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@runtime_checkable
class Rectifier(Protocol):
    """Activation: frozen data."""

    @property
    def slope(self) -> float:
        """Slope of the negative part at initialisation."""
        ...

    def __call__(self, x: Array, *, train: bool, name: str) -> Array: ...


@dataclasses.dataclass(frozen=True)
class Relu:
    """max(0, y)."""

    slope: float = 0.0

    def __call__(self, x: Array, *, train: bool, name: str) -> Array:
        return nn.relu(x)


@dataclasses.dataclass(frozen=True)
class Relu6:
    """min(max(0, y), 6), with derivative 0 at both ends."""

    slope: float = 0.0

    def __call__(self, x: Array, *, train: bool, name: str) -> Array:
        return jnp.where(x < 6, jnp.where(x > 0, x, 0), 6)


@dataclasses.dataclass(frozen=True)
class Linear:
    """Identity, for operators that are nonlinear; Var[w] = 1 / n keeps variances."""

    slope: float = 1.0

    def __call__(self, x: Array, *, train: bool, name: str) -> Array:
        return x


@dataclasses.dataclass(frozen=True)
class LeakyRelu:
    """max(0, y) + slope * min(0, y), slope fixed (Maas et al. 2013 use 0.01)."""

    slope: float = 0.01

    def __call__(self, x: Array, *, train: bool, name: str) -> Array:
        return jnp.where(x > 0, x, self.slope * x)


@dataclasses.dataclass(frozen=True)
class PRelu:
    """max(0, y) + a * min(0, y), a learned (He et al. 2015, Eq. 1)."""

    sharing: Literal["channel", "layer"] = "channel"  # channel-wise or -shared
    slope: float = 0.25

    def __call__(self, x: Array, *, train: bool, name: str) -> Array:
        return PReluModule(self, name=name)(x)


class PReluModule(nn.Module):
    """Slopes of one layer: [c] channel-wise, [1] channel-shared."""

    spec: PRelu

    @nn.compact
    def __call__(self, x: Float[Array, "*b c"]) -> Float[Array, "*b c"]:
        shape = (x.shape[-1] if self.spec.sharing == "channel" else 1,)
        init = nn.initializers.constant(self.spec.slope)
        dtype = jnp.promote_types(x.dtype, jnp.float32)
        return prelu(x, self.param("slope", init, shape, dtype).astype(x.dtype))


def prelu(x: Float[Array, "*b c"], slope: Float[Array, " s"]) -> Float[Array, "*b c"]:
    """y where y > 0, else slope * y; at 0 the derivative is the slope."""
    slope = slope.reshape((1,) * (x.ndim - 1) + slope.shape)
    return jnp.where(x > 0, x, slope * x)


@dataclasses.dataclass(frozen=True)
class RRelu:
    """y / r below zero, r ~ U(lower, upper) per element; r = mean at test.

    Xu et al. 2015, Sec. 2.4: U(3, 8), and y / 5.5 at test.
    """

    lower: float = 3.0
    upper: float = 8.0

    @property
    def slope(self) -> float:
        return 2.0 / (self.lower + self.upper)

    def __call__(self, x: Array, *, train: bool, name: str) -> Array:
        if not train:
            return jnp.where(x > 0, x, self.slope * x)
        return RReluModule(self, name=name)(x)


class RReluModule(nn.Module):
    """Division by r, drawn per element from the stream "noise"."""

    spec: RRelu

    @nn.compact
    def __call__(self, x: Float[Array, "*b c"]) -> Float[Array, "*b c"]:
        key = self.make_rng("noise")
        lower, upper = self.spec.lower, self.spec.upper
        r = jax.random.uniform(key, x.shape, x.dtype, minval=lower, maxval=upper)
        return jnp.where(x > 0, x, x / r)


@dataclasses.dataclass(frozen=True)
class Elu:
    """alpha * (exp(y) - 1) below zero (Clevert et al. 2016)."""

    alpha: float = 1.0
    slope: float = 0.0  # the gain of ReLU: the paper gives none

    def __call__(self, x: Array, *, train: bool, name: str) -> Array:
        return nn.elu(x, self.alpha)
