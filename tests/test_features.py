"""Maps inside networks by name, against NumPy unit by unit and flax's own capture."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
import tiers

from resnet_jax.errors import ConfigError
from resnet_jax.models import complexity
from resnet_jax.models.features import features
from resnet_jax.models.layers.layers import LayersSpec
from resnet_jax.models.nets.plain import FC, Conv, MaxPool, Mean, PlainSpec
from resnet_jax.models.nets.resnet import ResNetSpec
from resnet_jax.models.nets.rkcnn import RKCNNSpec
from resnet_jax.models.units.unit import FULL_PRE, UnitSpec
from resnet_jax.models.zoo.densenets import densenet
from resnet_jax.paths import replaced

SPEC = ResNetSpec(
    depths=(1, 4),
    widths=(4, 6),
    unit=UnitSpec(order=FULL_PRE),
    stem_width=4,
    num_classes=3,
    layers=LayersSpec(dtype="float64"),
)

pytestmark = pytest.mark.usefixtures("float64")


def example(spec, shape=(6, 6, 3), seed=0):
    """A net, made-up variables, and two images."""
    net, generator = spec.build(), np.random.default_rng(seed)
    variables = reference.draw(complexity.shapes(net, shape), generator)
    return net, variables, generator.normal(size=(2, *shape))


class Recorded(reference.Net):
    """The network in NumPy, unit by unit, which keeps what every unit gives."""

    def unit(self, x, at, *args, **kwargs):
        self.maps = [*getattr(self, "maps", []), super().unit(x, at, *args, **kwargs)]
        return self.maps[-1]


@pytest.mark.parametrize("mode", ["scan", "unroll", "remat", "sqrt"])
def test_units_in_and_outside_of_loops_are_those_of_numpy(mode):
    net, variables, images = example(dataclasses.replace(SPEC, depth_mode=mode))
    net_in_numpy = Recorded(SPEC.depths, SPEC.widths, order="full pre-activation")
    net_in_numpy(images, variables)
    expected = dict(zip(
        ("stage1/first", "stage2/first", *(f"stage2/rest/{k}" for k in range(3))),
        net_in_numpy.maps,
        strict=True,
    ))  # fmt: skip
    expected["stage1"] = expected["stage2:input"] = expected["stage1/first"]
    expected["stage2"] = expected["stage2/rest[2]"] = expected["stage2/rest/2"]
    expected["stage2/rest/1:input"] = expected["stage2/rest/0"]
    expected["stage2/rest"] = np.stack(net_in_numpy.maps[2:])
    found = features(net, variables, images, at=tuple(expected))
    assert list(found) == list(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-10, err_msg=name)


def test_layers_of_a_unit_in_a_loop_and_the_vector_of_the_classifier():
    net, variables, images = example(SPEC)
    names = ("stage2/rest/1/branch/conv1", "stage2/rest/1/branch/conv1:input")
    found = features(net, variables, images, at=(*names, "head", "head:input"))
    kernel = variables["params"]["stage2"]["rest"]["branch"]["conv1"]["kernel"][1]
    output, entering = (np.asarray(found[name]) for name in names)
    expected = reference.conv(entering, kernel)
    np.testing.assert_allclose(output, expected, rtol=1e-10, atol=1e-12)
    head = variables["params"]["head"]
    logits = np.asarray(found["head:input"]) @ head["kernel"] + head["bias"]
    np.testing.assert_allclose(found["head"], logits, rtol=1e-10)
    plain = reference.Net(SPEC.depths, SPEC.widths, order="full pre-activation")
    np.testing.assert_allclose(found["head"], plain(images, variables), rtol=1e-10)


RECORDS = (Conv(4), MaxPool(), Conv(5), Mean(), FC(None, ()))
OTHERS = {
    "dense": (
        densenet(10, growth=2),
        ("block1", "block2/layer2", "block1/transition", "block3/layer1/branch/conv1"),
    ),
    "plain": (PlainSpec(records=RECORDS), ("conv1", "norm_2", "head")),
    "RKCNN": (
        RKCNNSpec(depths=(1, 1), width=4),
        ("stage2", "transition1", "norm_head2"),
    ),
}


@pytest.mark.parametrize("name", tiers.one_in(3, ["plain", "dense", "RKCNN"]))
def test_other_nets_by_their_layer_names(name):
    """Equal to flax's `capture_intermediates`, operation by operation."""
    spec, names = OTHERS[name]
    net, variables, images = example(replaced(spec, {"layers.dtype": "float64"}))
    variables, images = jax.tree.map(jnp.asarray, (variables, images))
    with jax.disable_jit():
        _, captured = net.apply(
            variables, images, train=False, capture_intermediates=True,
            mutable=["intermediates"],
        )  # fmt: skip
    found = features(net, variables, images, at=names)
    for path in names:
        tree = captured["intermediates"]
        for part in path.split("/"):
            tree = tree[part]
        expected = tree["__call__"][0]
        assert expected.size and float(jnp.abs(expected).max()) > 0
        np.testing.assert_allclose(found[path], expected, rtol=1e-9, atol=1e-12)


def test_one_name_alone_and_gradients():
    net, variables, images = example(SPEC)

    def energy(images):
        return (features(net, variables, images, at="stage1")["stage1"] ** 2).sum() / 2

    gradient = jax.grad(energy)(images)
    step = 1e-6 * np.sign(gradient)
    slope = (energy(images + step) - energy(images - step)) / 2
    np.testing.assert_allclose(slope, 1e-6 * np.abs(gradient).sum(), rtol=1e-5)


@pytest.mark.parametrize(
    "name, complaint",
    [
        ("stage2/rest/3", "at=stage2/rest/3: no such unit; .*rest has units 0 to 2$"),
        ("stage2/rest/3/branch/conv1", "no such unit; stage2/rest has units 0 to 2$"),
        (
            "stage2/rest/1/branch/conv3",
            "stage2/rest/branch has conv1, norm_1, conv2; did you mean "
            r"'stage2/rest/1/branch/conv\d'",
        ),
        ("stagee2", "no such layer; the net has stem_conv, norm_stem, stage1, stage2, "
         "norm_head, head; did you mean 'stage2'"),
        ("head/kernel", "no such layer; head has no layers in it"),
        ("head:out", "at=head:out: a name may end with :input or :output"),
    ],
)  # fmt: skip
def test_unknown_names_are_one_line_with_those_there_are(name, complaint):
    net, variables, images = example(SPEC)
    with pytest.raises(ConfigError, match=complaint) as error:
        features(net, variables, images, at=("stage1", name))
    assert str(error.value).count("\n") == 0
    assert not getattr(error.value, "__notes__", ())
