"""Saliency: image gradients by several rules, and class activation maps."""

import dataclasses
import functools
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from resnet_jax.data.preprocessing import in_bytes
from resnet_jax.errors import ConfigError
from resnet_jax.models import features
from resnet_jax.models.layers.activations import Rectifier
from resnet_jax.models.layers.layers import Layers
from resnet_jax.models.nets.plain import FC, Mean, PlainSpec
from resnet_jax.models.nets.stem_head import GlobalMean
from resnet_jax.paths import replaced
from resnet_jax.train.trained import Trained

Rule = Literal["gradient", "deconvnet", "guided"]
Method = Literal["gradient", "deconvnet", "guided", "cam"]


@dataclasses.dataclass(frozen=True)
class Saliency:
    """Images with their saliency, for the predicted class or a layer.

    `maps`: gradients [b h w c], or class maps [b h2 w2], whose mean over h2, w2 is the
    logit of the predicted class.
    """

    images: np.ndarray
    maps: np.ndarray
    labels: tuple[int, ...]
    predicted: tuple[int, ...]


def saliency(
    trained: Trained, method: Method, *, count: int, layer: str | None = None
) -> Saliency:
    """Compute the saliency of a trained net on its first `count` test images."""
    batch, images = _first_images(trained, count)
    spec, variables = trained.experiment.net, trained.variables
    forward = jax.jit(functools.partial(spec.build().apply, train=False))
    predicted = np.asarray(forward(variables, images).argmax(-1))
    if method == "cam":
        every = np.asarray(class_maps(spec, variables, images))
        maps = every[np.arange(len(every)), ..., predicted]
    else:
        gradient = input_gradient(spec, variables, images, rule=method, layer=layer)
        maps = np.asarray(gradient)
    return Saliency(
        images=in_bytes(batch["image"]),
        maps=maps,
        labels=tuple(batch["label"].tolist()),
        predicted=tuple(predicted.tolist()),
    )


def _first_images(trained: Trained, count: int) -> tuple[dict[str, np.ndarray], Array]:
    """The first test examples, and their preprocessed images."""
    pipeline = trained.experiment.pipeline
    if len(pipeline.image_shape) != 3:
        raise ConfigError(
            f"--workdir: {trained.experiment.config.data.name} has inputs of shape "
            f"{pipeline.image_shape}; pictures are of [h w c] only"
        )
    batch = next(pipeline.examples("test", batch_size=count))
    batch = {name: value[batch["mask"] > 0] for name, value in batch.items()}
    return batch, pipeline.preprocess(None, batch, train=False)


@dataclasses.dataclass(frozen=True)
class BackwardRule:
    """A rectifier f(x) with another rule for the gradient R' of its output.

    guided     f'(x) max(0, R'), which for ReLU is 1[f > 0] 1[R' > 0] R'
    deconvnet  max(0, R')
    """

    act: Rectifier
    rule: Literal["deconvnet", "guided"]

    @property
    def slope(self) -> float:
        return self.act.slope

    def __call__(self, x: Array, *, train: bool, name: str) -> Array:
        return _rectified_gradient(self.rule, x, self.act(x, train=train, name=name))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _rectified_gradient(rule, x, y):
    """Identity of y; max(0, gradient) goes to y ("guided") or, past f, to x."""
    return y


def _backward(rule, _, dy):
    positive, zero = jnp.maximum(dy, 0), jnp.zeros_like(dy)
    return (zero, positive) if rule == "guided" else (positive, zero)


_rectified_gradient.defvjp(lambda rule, x, y: (y, None), _backward)


def input_gradient(
    spec: Any,
    variables: Any,
    images: Float[Array, "b *hw c"],
    *,
    rule: Rule,
    layer: str | None = None,
) -> Float[Array, "b *hw c"]:
    """Gradient of one neuron's activation with respect to each image, by a rule.

    The neuron is that of the predicted class, or the most active one of the layer at a
    path.
    """
    if rule != "gradient":
        spec = replaced(spec, {"layers.act": BackwardRule(spec.layers.act, rule)})
    net = spec.build()
    if layer is not None and features.is_stacked(layer):
        raise ConfigError(
            f"--layer={layer}: its units run in a loop; number one of them from 0, "
            f"{layer.replace('rest', 'rest/0', 1)}"
        )

    def activation(images):
        if layer is None:
            return net.apply(variables, images, train=False).max(-1).sum()
        field = "--layer"
        found = features.outputs(net, variables, images, (layer,), field=field)
        output = found[layer]
        return output.reshape(len(images), -1).max(-1).sum()

    return jax.jit(jax.grad(activation))(images)


class SownMap(nn.Module):
    """Sower of a feature map into the intermediates."""

    @nn.compact
    def __call__(self, x: Array) -> None:
        self.sow("intermediates", "map", x)


@dataclasses.dataclass(frozen=True)
class SownMean:
    """Global mean that also sows its input."""

    def __call__(self, layers: Layers, x: Array, *, name: str = "") -> Array:
        SownMap(name="sown")(x)
        return layers.global_mean(x)


def class_maps(
    spec: Any, variables: Any, images: Float[Array, "b *hw c"]
) -> Float[Array, "b *hw2 n"]:
    """Class activation maps sum_k w_k f_k(h, w) + bias, whose mean is the logit.

    Zhou et al. 2016, Eq. 1 and 2, which have no bias. For nets that end with the mean,
    the feature maps themselves.
    """
    net = _sowing(spec).build()

    @jax.jit
    def sown(variables, images):
        return net.apply(variables, images, train=False, mutable=["intermediates"])[1]

    (x,) = sown(variables, images)["intermediates"]["sown"]["map"]
    if "head" not in variables["params"]:
        return x
    head = variables["params"]["head"]
    bias = head["bias"].reshape((1,) * (x.ndim - 1) + head["bias"].shape)
    return x @ head["kernel"] + bias


def _sowing(spec: Any) -> Any:
    """The spec with a sown global mean; ConfigError for nets without CAM."""
    if isinstance(spec, PlainSpec):
        others = [
            r for r in spec.records if isinstance(r, FC) and (r.features or r.steps)
        ]
        if Mean() in spec.records and not others:
            records = (SownMean() if r == Mean() else r for r in spec.records)
            return dataclasses.replace(spec, records=tuple(records))
    elif spec.head.pool == GlobalMean() and not spec.head.hidden:
        return replaced(spec, {"head.pool": SownMean()})
    raise ConfigError(
        "--method=cam: is for nets that end with a global mean and at most one layer "
        "after it; try --method=guided"
    )
