"""The lab: its numbers against another way to get them, its theory by hand."""

import dataclasses
import functools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict

from resnet_jax import cli, probe, signals
from resnet_jax.config import configured, validated
from resnet_jax.errors import ConfigError
from resnet_jax.modules import batchnorm, cost, zoo
from resnet_jax.modules.initializers import InitSpec
from resnet_jax.modules.layers import LayersSpec
from resnet_jax.modules.rectifiers import PRelu, Relu
from resnet_jax.modules.resnet import ResNetSpec
from resnet_jax.modules.units import FULL_PRE, SE, UnitSpec

BARE = {
    "model.name": "plain",
    "model.depth": 14,
    "model.unit.shortcut": "none",
    "model.norm.dialect": "none",
    "model.init": "he_fan_in",
    "train.epochs": 1.0,
}


def config(**changes):
    changes = {name.replace("__", "."): value for name, value in changes.items()}
    return validated(configured(BARE, {"row": changes}, "row").to_dict())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(tmp_path_factory.mktemp("tfds"))


@pytest.fixture(scope="module")
def layers(folder):
    """A plain net of 14 layers under two seeds."""
    return signals.probed(config(data__dir=folder), batch=16, seeds=2)


# ---------------------------------------------------------------- measuring

NETS = {
    "plain": ResNetSpec(
        depths=(1, 3), widths=(4, 8), stem_width=4, num_classes=5,
        unit=UnitSpec(zoo.MIXED, shortcut="none"), layers=LayersSpec(PRelu(), None),
    ),
    "residual": ResNetSpec(
        depths=(3,), widths=(8,), stem_width=4, num_classes=5,
        unit=UnitSpec(gate=SE(2)), layers=LayersSpec(Relu(), batchnorm.TORCH),
    ),
    "remat": ResNetSpec(
        depths=(2,), widths=(4,), stem_width=4, num_classes=5, depth_mode="remat",
        unit=UnitSpec(order=FULL_PRE), layers=LayersSpec(Relu(), batchnorm.TORCH),
    ),
}  # fmt: skip


def begun(net):
    keys = jax.random.split(jax.random.key(0), 2)
    images = jax.random.normal(keys[0], (6, 8, 8, 1))
    variables = jax.jit(functools.partial(net.build().init, train=False))(
        keys[1], images
    )
    variables = {"batch_stats": {}} | variables
    return signals.Start(variables, images, jnp.arange(6) % 5, {})


def by_differences(net, start, path, unit, smoothing):
    """(mean square of y, of dy) of one layer from biases that are added to its output.

    A convolution's y is moved by a bias [h w c] an image through `intercept_methods`,
    and dy is the plain gradient of the loss with respect to it: no tap is used.
    """
    import flax.linen as nn

    seen = {}

    def shifted(shift, call, args, kwargs, context):
        y = call(*args, **kwargs)
        if context.module.path != path:
            return y
        seen["calls"] = seen.get("calls", -1) + 1
        if seen["calls"] != unit:
            return y
        seen["y"] = y
        return y + shift

    def loss(shift):
        seen.clear()
        with nn.intercept_methods(functools.partial(shifted, shift)):
            logits, _ = net.build().apply(
                start.variables, start.images, train=True, mutable=["batch_stats"]
            )
        wanted = optax.smooth_labels(jax.nn.one_hot(start.labels, 5), smoothing)
        return optax.softmax_cross_entropy(logits, wanted).sum(), seen.pop("y")

    with jax.disable_jit():  # loops call their units one after the other
        y = jax.eval_shape(loss, 0.0)[1]
        gradient, y = jax.grad(loss, has_aux=True)(jnp.zeros(y.shape))
    return [(np.var(v), np.mean(np.square(v))) for v in (y, gradient)]
