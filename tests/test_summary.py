"""Tables of layers: rows by hand, totals of every family, counts of the audit."""

import dataclasses
import math
import pathlib

import numpy as np
import pytest
import tiers
from counted import FROZEN
from flax.traverse_util import flatten_dict

from resnet_jax.analysis.audit_values import ConfigValues
from resnet_jax.config import experiment_file
from resnet_jax.errors import ConfigError
from resnet_jax.models import complexity
from resnet_jax.models.complexity import count
from resnet_jax.models.nets.auxiliary_loss import Relay
from resnet_jax.models.nets.resnet import ResNetSpec
from resnet_jax.models.summary import Layer, summary
from resnet_jax.models.zoo.plain_nets import vgg
from resnet_jax.models.zoo.resnets import cifar_resnet, imagenet_resnet

FILE = pathlib.Path(__file__).parents[1] / "experiments" / "digits_families.py"
ROWS = experiment_file.load(FILE)
SPEC = ResNetSpec(depths=(3,), widths=(4,), stem_width=4, num_classes=3)


def test_rows_by_hand():
    """36 pixels: 3x3x2x4 and 3x3x4x4 weights, scales and offsets, 4x3 + 3."""
    unit = [
        (f"branch/{name}", (6, 6, 4), *numbers)
        for name, numbers in {
            "conv1": (144, 36 * 144),
            "norm_1": (8, 0),
            "conv2": (144, 36 * 144),
            "norm_2": (8, 0),
        }.items()
    ]
    expected = [
        Layer("stem_conv", (6, 6, 4), 72, 36 * 72),
        Layer("norm_stem", (6, 6, 4), 8, 0),
        *(Layer(f"stage1/first/{name}", *rest) for name, *rest in unit),
        *(Layer(f"stage1/rest/{name}", *rest, times=2) for name, *rest in unit),
        Layer("head", (3,), 15, 12),
    ]
    table = summary(SPEC, (6, 6, 2))
    assert list(table.layers) == expected
    lines = str(table).splitlines()
    assert lines[0].split() == ["layer", "output", "parameters", "multiply-adds"]
    assert lines[8].split() == [
        "stage1/rest/branch/conv1", "6x6x4", "144", "5,184", "x", "2"
    ]  # fmt: skip
    assert lines[-1].split() == ["total", "1,007", f"{36 * (72 + 6 * 144) + 12:,}"]


@pytest.mark.parametrize("mode", ["unroll", "remat", "sqrt"])
def test_a_mode_of_the_loop_changes_no_row(mode):
    other = dataclasses.replace(SPEC, depth_mode=mode)
    assert summary(other, (6, 6, 2)) == summary(SPEC, (6, 6, 2))
    assert summary(other.build(), (6, 6, 2)) == summary(SPEC, (6, 6, 2))


@pytest.mark.parametrize("spec", [cifar_resnet(20), vgg(7, size="digits")])
def test_products_of_a_layer_are_weights_times_outputs(spec):
    """Layers of equal shapes, too, have their own."""
    table = summary(spec, (8, 8, 3))
    shapes = flatten_dict(complexity.shapes(spec.build(), (8, 8, 3))["params"])
    kernels = {"/".join(p[:-1]): x.shape for p, x in shapes.items() if "kernel" in p}
    rows = {layer.name: layer for layer in table.layers}
    assert rows.keys() >= kernels.keys()
    for name, row in rows.items():
        assert row.output is not None
        expected = 0
        if name in kernels:
            kernel = kernels[name][1:] if row.times > 1 else kernels[name]
            expected = math.prod(kernel[:-1]) * math.prod(row.output)
        assert row.multiply_adds == expected, name


@pytest.mark.parametrize("name", tiers.one_in(4, ROWS.rows))
def test_totals_of_every_family_are_those_of_the_audit(name):
    """Frozen counts, which test_experiments.py compares with the audit's."""
    row = ConfigValues(ROWS.config(name))
    frozen, table = FROZEN[f"{FILE.stem}:{name}"], summary(row.net, row.image)
    assert table.multiply_adds == frozen["macs"]
    assert table.params == sum(
        frozen["parts"][kind] for kind in ("conv", "norm", "slopes", "gates", "fc")
    )
    assert all(layer.params or layer.multiply_adds for layer in table.layers)


def test_heads_of_auxiliary_losses_have_parameters_but_no_output():
    spec = dataclasses.replace(SPEC, depths=(1, 1), widths=(4, 4), relays=(Relay(1),))
    table = summary(spec, (6, 6, 2))
    assert [x for x in table.layers if x.output is None] == [
        Layer("relay1/head", None, 15, 0)
    ]
    assert table.params == count(spec, (6, 6, 2)).params
    assert "relay1/head" in str(table) and " - " in str(table)


def test_count_is_the_published_one():
    """He et al. 2016a, Table 1 (3.8e9 FLOPs) and torchvision's 25,557,032."""
    found = count(imagenet_resnet(50), (224, 224, 3))
    assert found.params == 25_557_032 and found.weighted_layers == 50
    assert found.multiply_adds == pytest.approx(3.86e9, rel=0.01)
    assert found.fc == 2048 * 1000 + 1000


@pytest.mark.parametrize("shape", [(32, 32), (3, 8, 8, 3), (8, 0, 3)])
def test_shapes_of_other_axes_are_refused(shape):
    for function in (count, summary):
        with pytest.raises(ConfigError, match=r"must be \(height, width, channels\)"):
            function(SPEC, shape)
    assert np.prod(summary(SPEC, (6, 6, 2)).layers[0].output) == 144
