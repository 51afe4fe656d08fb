"""The three forms of a ResNeXt branch are one function (Xie et al. 2017, Fig. 3).

(c), the package's, is a grouped convolution. (a), a sum of paths, and (b), paths that
are concatenated ahead of one 1x1, are written here in NumPy with its weights.
"""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from resnet_jax.models import complexity
from resnet_jax.models.layers.layers import LayersSpec
from resnet_jax.models.units.branch import BOTTLENECK_3X3, B
from resnet_jax.models.units.unit import ResidualUnit, UnitSpec

PATHS, WIDTH, FEATURES = 4, 3, 16


pytestmark = pytest.mark.usefixtures("float64")


def branch():
    """(c) on drawn variables: its output, its weights and norms, and the input."""
    inner = PATHS * WIDTH / FEATURES
    grouped = dataclasses.replace(BOTTLENECK_3X3, inner=inner, cardinality=PATHS)
    unit = UnitSpec(grouped, shortcut="none")
    net = ResidualUnit(unit, LayersSpec(dtype="float64"), FEATURES)
    generator = np.random.default_rng(0)
    x = jnp.asarray(generator.normal(size=(2, 5, 5, FEATURES)))
    init = functools.partial(net.init, survival=None, train=False)
    shapes = jax.eval_shape(init, jax.random.key(0), x)
    variables = reference.draw(shapes, generator)
    y = net.apply(jax.tree.map(jnp.asarray, variables), x, None, train=False)
    at = reference.Place(variables["params"], variables["batch_stats"])["branch"]
    return np.asarray(x), np.asarray(y), at


def inner_paths(x, at):
    """What each path has ahead of its last 1x1: [b h w WIDTH] a path."""
    for path in range(PATHS):
        own = slice(path * WIDTH, (path + 1) * WIDTH)
        z = x
        for i in (1, 2):
            z = reference.conv(z, at[f"conv{i}"].params["kernel"][..., own])
            z = np.maximum(part(z, at[f"norm_{i}"], own), 0)
        yield own, z


def part(z, place, own):
    """The norm of some channels alone."""
    params = {name: leaf[own] for name, leaf in place.params.items()}
    stats = {name: leaf[own] for name, leaf in place.stats.items()}
    return reference.norm(z, reference.Place(params, stats), train=False)


def test_a_sum_of_paths():
    x, y, at = branch()
    last = at["conv3"].params["kernel"]
    total = sum(reference.conv(z, last[..., own, :]) for own, z in inner_paths(x, at))
    expected = np.maximum(reference.norm(total, at["norm_3"], train=False), 0)
    np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-10)


def test_paths_that_are_concatenated():
    x, y, at = branch()
    z = np.concatenate([z for _, z in inner_paths(x, at)], axis=3)
    z = reference.conv(z, at["conv3"].params["kernel"])
    expected = np.maximum(reference.norm(z, at["norm_3"], train=False), 0)
    np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "groups, width, products",
    [
        (1, 64, 69_632),
        (2, 40, 69_760),
        (4, 24, 69_888),
        (8, 14, 71_456),
        (32, 4, 70_144),
    ],
)
def test_templates_cost_the_same(groups, width, products):
    """C (256 d + 9 d^2 + 256 d) multiply-adds a pixel (Eq. 4)."""
    grouped = dataclasses.replace(
        BOTTLENECK_3X3, inner=groups * width / 256, cardinality=groups
    )
    assert complexity.multiply_adds(One(grouped), (1, 1, 256)) == products


class One(nn.Module):
    """A single unit as a net."""

    branch: B

    @nn.compact
    def __call__(self, x, *, train):
        unit = ResidualUnit(UnitSpec(self.branch), LayersSpec(), 256)
        return unit(x, None, train=train)
