"""Shake-Shake and ShakeDrop: random weights, others in the backward pass."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from resnet_jax.models.layers.layers import Layers, Steps
from resnet_jax.models.units.branch import BASIC, Branch, BranchModule


@jax.custom_vjp
def scaled(y: Array, forward: Array, backward: Array) -> Array:
    """forward * y, whose gradient is backward * dy."""
    return forward * y


def _forward(y, forward, backward):
    return forward * y, (forward, backward)


def _backward(factors, dy):
    forward, backward = factors
    return backward * dy, jnp.zeros_like(forward), jnp.zeros_like(backward)


scaled.defvjp(_forward, _backward)


@dataclasses.dataclass(frozen=True)
class ShakeShake:
    """a F1(x) + (1 - a) F2(x); backward another a; 1/2 at test (Gastaldi 2017).

    Both are drawn from U(0, 1) per image: "Shake-Shake-Image". In the paper the unit's
    order is `relu_only_pre`.
    """

    arm: Branch = BASIC

    @property
    def kernels(self) -> tuple[int, ...]:
        """Kernel sizes of one of the two branches."""
        return self.arm.kernels

    def __call__(
        self, layers: Layers, x: Array, features: int, strides: int, end: Steps
    ) -> Array:
        f1, f2 = (
            BranchModule(self.arm, layers, features, strides, end, name=f"arm{i}")(x)
            for i in (1, 2)
        )
        if not layers.train:
            return (f1 + f2) / 2
        return ShakeModule(name="shake")(f1, f2)


class ShakeModule(nn.Module):
    """Weighted sum, the weights drawn from the stream "noise"."""

    @nn.compact
    def __call__(self, f1: Array, f2: Array) -> Array:
        shape = (2, len(f1), *(1,) * (f1.ndim - 1))
        a, b = jax.random.uniform(self.make_rng("noise"), shape, f1.dtype)
        return scaled(f1, a, b) + scaled(f2, 1 - a, 1 - b)


def shake_drop(
    key: Array, f: Float[Array, "b *hw c"], survival: Array
) -> Float[Array, "b *hw c"]:
    """(g + a - g a) F; backward g + b - g b  (Yamada et al. 2019, Eq. 6).

    g ~ Bernoulli(survival) per batch, a ~ U(-1, 1) and b ~ U(0, 1) per element, as in
    the released code. The mean of the forward factor is the survival probability.
    """
    gate, alpha, beta = jax.random.split(key, 3)
    g = jax.random.bernoulli(gate, survival).astype(f.dtype)
    a = jax.random.uniform(alpha, f.shape, f.dtype, -1.0)
    b = jax.random.uniform(beta, f.shape, f.dtype)
    return scaled(f, g + a - g * a, g + b - g * b)
