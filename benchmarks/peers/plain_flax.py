"""Residual network in plain Flax, with a Python loop over units."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import jitted
from cases import Case, Net
from work import Training


class Unit(nn.Module):
    """Residual unit."""

    net: Net
    features: int
    strides: int
    first: bool  # in the network, where the stem has already applied the activation
    dtype: str

    @nn.compact
    def __call__(self, x, *, train: bool):
        conv, norm = layers(self.dtype, train)
        preact = self.net.preact
        y = shortcut = nn.relu(norm()(x)) if preact and not self.first else x
        for i, (k, width, s) in enumerate(self.net.branch(self.features, self.strides)):
            y = y if i == 0 else nn.relu(norm()(y))
            y = conv(width, (k, k), strides=s)(y)
        if x.shape[-1] == self.features:
            shortcut = x
        elif self.net.pads:
            s, more = self.strides, self.features - x.shape[-1]
            shortcut = jnp.pad(x[:, ::s, ::s], [(0, 0)] * 3 + [(0, more)])
        else:
            shortcut = conv(self.features, (1, 1), strides=self.strides)(shortcut)
            shortcut = shortcut if preact else norm()(shortcut)
        return shortcut + y if preact else nn.relu(shortcut + norm()(y))


class ResNet(nn.Module):
    """Stem, units and classifier."""

    net: Net
    dtype: str

    @nn.compact
    def __call__(self, x, *, train: bool):
        net, (conv, norm) = self.net, layers(self.dtype, train)
        if net.stem == "imagenet":
            x = nn.relu(norm()(conv(net.stem_width, (7, 7), strides=2)(x)))
            x = nn.max_pool(x, (3, 3), (2, 2), padding="SAME")
        else:
            x = nn.relu(norm()(conv(net.stem_width, (3, 3))(x)))
        for stage, (units, features) in enumerate(
            zip(net.units, net.widths, strict=True)
        ):
            for i in range(units):
                strides = 2 if stage > 0 and i == 0 else 1
                unit = Unit(net, features, strides, stage == i == 0, self.dtype)
                x = unit(x, train=train)
        if net.preact:
            x = nn.relu(norm()(x))
        x = nn.Dense(net.classes, dtype=self.dtype)(x.mean((1, 2)))
        return x.astype(jnp.float32)


def layers(dtype: str, train: bool):
    """(convolution, BatchNorm) with the arguments that all layers share."""
    conv = functools.partial(nn.Conv, use_bias=False, dtype=dtype)
    norm = functools.partial(
        nn.BatchNorm, use_running_average=not train, momentum=0.9, dtype=dtype
    )
    return conv, norm


def training(case: Case) -> Training:
    model = ResNet(case.net, case.dtype)
    images, labels = jitted.batch(case)
    variables = model.init(jax.random.key(0), images[:1], train=False)

    def forward(params, stats, images):
        logits, new = model.apply(
            {"params": params, "batch_stats": stats},
            images,
            train=True,
            mutable=["batch_stats"],
        )
        return logits, new["batch_stats"]

    return jitted.sgd(
        forward, variables["params"], variables["batch_stats"], images, labels
    )
