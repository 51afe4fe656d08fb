"""Batch normalisation over a chosen group of examples, in the dialects of the papers.

Which examples share statistics is a field, never an accident of the hardware: the
papers normalised over the images of one GPU (64 on CIFAR, 32 on ImageNet).
"""

import dataclasses
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from resnet_jax.errors import ConfigError
from resnet_jax.ops.custom_gradient import custom_gradient
from resnet_jax.ops.remat_policy import kept


@dataclasses.dataclass(frozen=True)
class NormSpec:
    """y = scale * (x - mean) / sqrt(var + epsilon) + bias."""

    momentum: float = 0.9  # share of the old value in a running statistic
    epsilon: float = 1e-5
    running_var: Literal["unbiased", "biased"] = "unbiased"
    # "moving": m * old + (1 - m) * new.  "normalised": the same sum over its weights,
    # as Caffe keeps it, so that early batches are not mixed with the initial zeros.
    average: Literal["moving", "normalised"] = "moving"
    group: int | None = None  # examples that share statistics; None: the whole batch
    axis_name: str | None = None  # of pmap, where the batch is spread over devices

    def of_one_batch(self) -> "NormSpec":
        """Running statistics that are the moments of the last batch alone."""
        moments = {"momentum": 0.0, "average": "moving", "running_var": "biased"}
        return dataclasses.replace(self, group=None, axis_name=None, **moments)


# Defaults of Torch's BatchNorm, Caffe's BatchNorm layer, and tf.keras' layer.
TORCH = NormSpec()
CAFFE = NormSpec(momentum=0.999, average="normalised")
TENSORFLOW = NormSpec(momentum=0.99, epsilon=1e-3, running_var="biased")


class BatchNorm(nn.Module):
    """Batch normalisation (Ioffe & Szegedy 2015); statistics at least in float32.

    Each group of examples is normalised by its own mean and (biased) variance; the
    running statistics average over groups.
    """

    spec: NormSpec

    @nn.compact
    def __call__(
        self, x: Float[Array, "b *hw c"], *, train: bool
    ) -> Float[Array, "b *hw c"]:
        shape = (x.shape[-1],)
        wide = jnp.promote_types(x.dtype, jnp.float32)
        scale = self.param("scale", nn.initializers.ones, shape, wide)
        bias = self.param("bias", nn.initializers.zeros, shape, wide)
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape, wide)
        var = self.variable("batch_stats", "var", jnp.ones, shape, wide)
        if train:
            y, group_mean, group_var = self._by_group(x, scale, bias)
            self._update(mean, var, group_mean, group_var)
            return y
        return _affine(x, mean.value, var.value, scale, bias, self.spec)

    def _by_group(self, x, scale, bias):
        """Normalised x, and the mean and running variance over all groups  [c]."""
        group = self.spec.group or len(x)
        if len(x) % group:
            raise ConfigError(
                f"model.norm.group={group}: does not divide the batch of {len(x)}"
            )
        g = x.reshape(-1, group, *x.shape[1:])
        y, mean, var = standardised(self.spec, g, scale, bias)
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

    def _update(self, mean, var, new_mean, new_var):
        """Running statistics; kept equal on all devices."""
        if self.spec.axis_name:
            new_mean, new_var = jax.lax.pmean((new_mean, new_var), self.spec.axis_name)
        keep = self.spec.momentum
        if self.spec.average == "normalised":
            weight = self.variable(
                "batch_stats", "weight", jnp.zeros, (), mean.value.dtype
            )
            total = self.spec.momentum * weight.value + 1.0
            keep = 1.0 - 1.0 / total
            weight.value = total
        mean.value = keep * mean.value + (1.0 - keep) * new_mean
        var.value = keep * var.value + (1.0 - keep) * new_var


@custom_gradient
def standardised(spec: NormSpec, x, scale, bias):
    """Normalised x [groups group *hw c], and its groups' mean and biased variance."""
    return _forward(spec, x, scale, bias)[0]


def _forward(spec, x, scale, bias):
    axes, wide = tuple(range(1, x.ndim - 1)), x.astype(scale.dtype)
    mean = _synced(spec, wide.mean(axes, keepdims=True))
    var = _synced(spec, jnp.square(wide - mean).mean(axes, keepdims=True))
    mean, var = kept((mean, var))
    y = _affine(x, mean, var, scale, bias, spec)
    return (y, mean, var), (x, mean, var, scale)


def _backward(spec, saved, cotangents):
    """dx = scale / s (dy - mean(dy) - z mean(z dy)),  z = (x - mean) / s.

    s^2 = var + epsilon (Ioffe & Szegedy 2015, Sec. 3); besides, what the gradients of
    mean and variance give. Fewer passes over the data than JAX's own derivative makes:
    sums of dy and of z dy, then dx.
    """
    (x, mean, var, scale), (dy, dmean, dvar) = saved, cotangents
    axes = tuple(range(1, x.ndim - 1))
    dy, centred = dy.astype(scale.dtype), x.astype(scale.dtype) - mean
    of_one, of_x = (t.mean(axes, keepdims=True) for t in (dy, dy * centred))
    n = x.size // (len(x) * x.shape[-1])
    rate = jax.lax.rsqrt(var + spec.epsilon)
    factor = scale.reshape((1,) * (x.ndim - 1) + scale.shape) * rate
    slope = _synced(spec, 2 * dvar / n - factor * rate**2 * of_x)
    shift = _synced(spec, dmean / n - factor * of_one)
    dx = factor * dy + slope * centred + shift
    dscale = n * (rate * of_x).sum(tuple(range(x.ndim - 1)))
    dbias = n * of_one.sum(tuple(range(x.ndim - 1)))
    return dx.astype(x.dtype), dscale, dbias


standardised.defvjp(_forward, _backward)


def _synced(spec, statistic):
    """Under pmap, the mean over devices where the group is the whole batch."""
    if spec.axis_name and spec.group is None:
        return jax.lax.pmean(statistic, spec.axis_name)
    return statistic


def _affine(x, mean, var, scale, bias, spec):
    """scale * (x - mean) / sqrt(var + epsilon) + bias, rounded to x's dtype at last."""
    one = (1,) * (x.ndim - 1)
    if mean.ndim == 1:
        mean, var = mean.reshape(*one, -1), var.reshape(*one, -1)
    factor = scale.reshape(*one, -1) * jax.lax.rsqrt(var + spec.epsilon)
    y = (x.astype(scale.dtype) - mean) * factor + bias.reshape(*one, -1)
    return y.astype(x.dtype)
