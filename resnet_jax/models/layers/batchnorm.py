"""Batch normalisation over groups of examples, in the dialects of the papers.

The size of a group is a field, never an accident of the hardware: the papers normalised
over the images of one GPU (64 on CIFAR, 32 on ImageNet).
"""

import dataclasses
import functools
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from resnet_jax.errors import ConfigError
from resnet_jax.ops.remat_policy import saveable


@dataclasses.dataclass(frozen=True)
class NormSpec:
    """y = scale * (x - mean) / sqrt(var + epsilon) + bias."""

    momentum: float = 0.9  # weight of the old value in a running statistic
    epsilon: float = 1e-5
    running_var: Literal["unbiased", "biased"] = "unbiased"
    # "moving": m * old + (1 - m) * new.  "normalised": that sum divided by its weights,
    # as in Caffe, so that early batches are not mixed with the initial zeros.
    average: Literal["moving", "normalised"] = "moving"
    group: int | None = None  # examples that share statistics; None: the whole batch
    axis_name: str | None = None  # of pmap, where the batch is spread over devices

    def of_last_batch(self) -> "NormSpec":
        """Norm whose running statistics are the moments of the last batch alone."""
        moments = {"momentum": 0.0, "average": "moving", "running_var": "biased"}
        return dataclasses.replace(self, group=None, axis_name=None, **moments)


@dataclasses.dataclass(frozen=True)
class FrozenNormSpec(NormSpec):
    """Norm by the running statistics in training too, where they stay as they are."""


@dataclasses.dataclass(frozen=True)
class ScaledNormSpec(NormSpec):
    """Norm whose scales begin at another value than 1."""

    scale: float = 0.5  # network slimming (Liu et al. 2017, Sec. 4.2)


# Defaults of the layers of Torch, Caffe and tf.keras
TORCH = NormSpec()
CAFFE = NormSpec(momentum=0.999, average="normalised")
TENSORFLOW = NormSpec(momentum=0.99, epsilon=1e-3, running_var="biased")


class BatchNorm(nn.Module):
    """Batch normalisation (Ioffe & Szegedy 2015); statistics at least in float32.

    Each group of examples is normalised by its mean and (biased) variance; running
    statistics are means over groups.
    """

    spec: NormSpec

    @nn.compact
    def __call__(
        self, x: Float[Array, "b *hw c"], *, train: bool
    ) -> Float[Array, "b *hw c"]:
        shape = (x.shape[-1],)
        wide = jnp.promote_types(x.dtype, jnp.float32)
        first = nn.initializers.constant(getattr(self.spec, "scale", 1.0))
        scale = self.param("scale", first, shape, wide)
        bias = self.param("bias", nn.initializers.zeros, shape, wide)
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape, wide)
        var = self.variable("batch_stats", "var", jnp.ones, shape, wide)
        weight = None
        if self.spec.average == "normalised" and (train or self.is_initializing()):
            weight = self.variable("batch_stats", "weight", jnp.zeros, (), wide)
        if train and not isinstance(self.spec, FrozenNormSpec):
            y, group_mean, group_var = self._by_group(x, scale, bias)
            self._update(mean, var, weight, group_mean, group_var)
            return y
        return _affine(x, mean.value, var.value, scale, bias, self.spec)

    def _by_group(self, x, scale, bias):
        """Normalised x, and the mean and variance [c] for the running statistics."""
        group = self.spec.group or len(x)
        if len(x) % group:
            raise ConfigError(
                f"model.norm.group={group}: does not divide the batch of {len(x)}"
            )
        g = x.reshape(-1, group, *x.shape[1:])
        self._check_spread(g)
        y, mean, var = normalise(self.spec, g, scale, bias)
        count = g.size // (len(g) * g.shape[-1])
        if self.spec.axis_name and self.spec.group is None:
            count *= jax.lax.axis_size(self.spec.axis_name)
        if self.spec.running_var == "unbiased":
            var = var * (count / max(count - 1, 1))
        return (
            y.reshape(x.shape),
            mean.mean(axis=tuple(range(g.ndim - 1))),
            var.mean(axis=tuple(range(g.ndim - 1))),
        )

    def _check_spread(self, groups) -> None:
        """Raise ConfigError for a single value per channel, which has no variance."""
        spread = self.spec.axis_name and self.spec.group is None
        if groups.size == len(groups) * groups.shape[-1] and not spread:
            raise ConfigError(
                f"model.norm.group={self.spec.group or 'global'}: BatchNorm over one "
                f"value per channel, of 1 example and a map of "
                f"{'x'.join(map(str, groups.shape[2:-1])) or 1}; make groups, or the "
                "batch, or the images larger"
            )

    def _update(self, mean, var, weight, new_mean, new_var):
        """Update the running statistics, equal on all devices."""
        if self.spec.axis_name:
            new_mean, new_var = jax.lax.pmean((new_mean, new_var), self.spec.axis_name)
        momentum = self.spec.momentum
        if weight is not None:
            total = self.spec.momentum * weight.value + 1.0
            momentum = 1.0 - 1.0 / total
            weight.value = total
        mean.value = momentum * mean.value + (1.0 - momentum) * new_mean
        var.value = momentum * var.value + (1.0 - momentum) * new_var


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def normalise(spec: NormSpec, x, scale, bias):
    """Normalised x [groups group *hw c], mean and biased variance per group."""
    return _forward(spec, x, scale, bias)[0]


def _forward(spec, x, scale, bias):
    axes, wide = tuple(range(1, x.ndim - 1)), x.astype(scale.dtype)
    mean = _synced(spec, wide.mean(axes, keepdims=True))
    var = _synced(spec, jnp.square(wide - mean).mean(axes, keepdims=True))
    mean, var = saveable((mean, var))
    y = _affine(x, mean, var, scale, bias, spec)
    return (y, mean, var), (x, mean, var, scale)


def _backward(spec, saved, cotangents):
    """dx = scale / s (dy - mean(dy) - z mean(z dy)),  z = (x - mean) / s.

    s^2 = var + epsilon (Ioffe & Szegedy 2015, Sec. 3); the gradients of mean and
    variance are added. Fewer passes over the data than in JAX's own derivative: sums of
    dy and of z dy, then dx.
    """
    (x, mean, var, scale), (dy, dmean, dvar) = saved, cotangents
    axes = tuple(range(1, x.ndim - 1))
    dy, centred = dy.astype(scale.dtype), x.astype(scale.dtype) - mean
    mean_dy, mean_xdy = (t.mean(axes, keepdims=True) for t in (dy, dy * centred))
    n = float(x.size // (len(x) * x.shape[-1]))
    rate = jax.lax.rsqrt(var + spec.epsilon)
    factor = scale.reshape((1,) * (x.ndim - 1) + scale.shape) * rate
    slope = _synced(spec, 2 * dvar / n - factor * rate**2 * mean_xdy)
    shift = _synced(spec, dmean / n - factor * mean_dy)
    dx = factor * dy + slope * centred + shift
    dscale = n * (rate * mean_xdy).sum(tuple(range(x.ndim - 1)))
    dbias = n * mean_dy.sum(tuple(range(x.ndim - 1)))
    return dx.astype(x.dtype), dscale, dbias


normalise.defvjp(_forward, _backward)


def _synced(spec, statistic):
    """Mean over pmap's devices where the group is the whole batch."""
    if spec.axis_name and spec.group is None:
        return jax.lax.pmean(statistic, spec.axis_name)
    return statistic


def _affine(x, mean, var, scale, bias, spec):
    """scale * (x - mean) / sqrt(var + epsilon) + bias, in x's dtype at the end."""
    one = (1,) * (x.ndim - 1)
    if mean.ndim == 1:
        mean, var = mean.reshape(*one, -1), var.reshape(*one, -1)
    factor = scale.reshape(*one, -1) * jax.lax.rsqrt(var + spec.epsilon)
    y = (x.astype(scale.dtype) - mean) * factor + bias.reshape(*one, -1)
    return y.astype(x.dtype)
