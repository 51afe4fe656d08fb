"""Xception equals that of Keras in float64 (golden/make_keras.py); its parts."""

import dataclasses
import json
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from released import drawn

import resnet_jax
from resnet_jax.models import complexity
from resnet_jax.models.layers.layers import Layers, LayersSpec
from resnet_jax.models.units.separable import SeparableConvs
from resnet_jax.models.units.shortcut import shortcut

GOLDEN = json.loads(
    (pathlib.Path(__file__).parent / "golden" / "keras_values.json").read_text()
)
NET = "keras/xception"
BLOCKS = {"stem": 1, "stage1": 2, "stage2": 3, "stage3": 4, "stage4": 13, "head": 14}
LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias"}
LEAVES |= {"mean": "running_mean", "var": "running_var"}
# Where the output of every block is found.
OUTPUTS = {
    "block1": "stage1:input",
    "block2": "stage1",
    "block3": "stage2",
    "block4": "stage3/first",
    **{f"block{5 + unit}": f"stage3/rest/{unit}" for unit in range(8)},
    "block13": "stage4",
    "block14": "head:input",
}


def keras_name(path, unit):
    """Name under which the golden file's weights are drawn; `unit` of those stacked."""
    *modules, leaf = path
    layer = modules[-1]
    if layer == "head":
        return f"predictions.{LEAVES[leaf]}"
    place = modules[0].removeprefix("norm_").partition("_")[0]
    block = BLOCKS[place] + ("rest" in modules) * (1 + unit)
    (number,) = re.findall(r"\d", layer) or ("",)
    kind = "shortcut" if "shortcut" in layer else "conv" if block == 1 else "sepconv"
    name = f"block{block}_{kind}{number}"
    if layer.startswith("norm_"):
        return f"{name}_bn.{LEAVES[leaf]}"
    step = re.search("depthwise|pointwise", layer)
    return ".".join([name, *([step.group()] if step else []), LEAVES[leaf]])


def array(path, shape):
    """The drawn array of one layer, with the axes of the package."""
    name, unit = path
    torch_shape = (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape[::-1]
    (found,) = drawn.weights(NET, {keras_name(name, unit): torch_shape}).values()
    return found.transpose((2, 3, 1, 0)) if len(shape) == 4 else found.T


def weights(spec, image):
    """All variables, drawn as make_keras.py draws them."""

    def leaf(path, x):
        path = [key.key for key in path][1:]
        if "rest" not in path:
            return array((path, 0), x.shape)
        units = range(x.shape[0])
        return np.stack([array((path, unit), x.shape[1:]) for unit in units])

    shapes = complexity.shapes(spec.build(), tuple(image))
    return jax.tree_util.tree_map_with_path(leaf, shapes)


def outputs(dtype):
    """Logits and maps of the blocks, with the weights and the image of Keras."""
    spec = dataclasses.replace(resnet_jax.xception(), num_classes=10)
    layers = dataclasses.replace(spec.layers, dtype=dtype)
    spec = dataclasses.replace(spec, layers=layers)
    variables = jax.tree.map(
        lambda x: jnp.asarray(x, dtype), weights(spec, GOLDEN["image"])
    )
    image = jnp.asarray(drawn.images(NET, GOLDEN["image"]), dtype)
    names = (*OUTPUTS.values(), "head")
    found = resnet_jax.features(spec.build(), variables, image, at=names)
    *maps, logits = (np.asarray(found[name])[0] for name in names)
    return logits, dict(zip(OUTPUTS, maps, strict=True))


def differences(logits, maps):
    """Largest difference of a logit, and of a digest, relative to the largest."""
    wanted = np.array(GOLDEN["logits"])
    worst = np.abs(logits - wanted).max() / np.abs(wanted).max()
    digests = {}
    for name, values in GOLDEN["layers"].items():
        found = drawn.digest(name, maps[name])
        digests[name] = np.abs(found - values).max() / np.abs(values).max()
    return worst, digests


@pytest.mark.compile
def test_values_are_those_of_keras(float64):
    logits, digests = differences(*outputs("float64"))
    assert logits < 1e-12
    assert digests.keys() == OUTPUTS.keys()
    assert max(digests.values()) < 1e-12


@pytest.mark.compile
def test_values_in_float32_are_those_of_keras():
    logits, _ = differences(*outputs("float32"))
    assert logits < 1e-4


def test_parameters_are_those_of_keras():
    spec = resnet_jax.xception()
    shapes = complexity.shapes(spec.build(), (71, 71, 3))
    sizes = {kind: complexity.parts_of(tree).params for kind, tree in shapes.items()}
    assert [sum(sizes.values()), sizes["params"]] == GOLDEN["params"]


def test_weighted_layers_are_the_36_of_the_paper_and_the_classifier():
    assert resnet_jax.count(resnet_jax.xception(), (71, 71, 3)).weighted_layers == 37


def test_the_middle_units_are_one_loop():
    short, long = (
        complexity.shapes(resnet_jax.xception(middle_units=n).build(), (71, 71, 3))
        for n in (1, 16)
    )
    paths = [jax.tree_util.tree_leaves_with_path(tree) for tree in (short, long)]
    assert [path for path, _ in paths[0]] == [path for path, _ in paths[1]]
    rest = long["params"]["stage3"]["rest"]["branch"]["conv3_pointwise"]["kernel"]
    assert rest.shape == (16, 1, 1, 728, 728)


def padded_maximum(x, window, strides):
    """Maximum over windows as TensorFlow places them, by loops."""
    b, h, w, c = x.shape
    sizes = [-(-side // strides) for side in (h, w)]
    ahead = [
        max((n - 1) * strides + window - side, 0) // 2
        for n, side in zip(sizes, (h, w), strict=True)
    ]
    y = np.empty((b, *sizes, c))
    for i in range(sizes[0]):
        for j in range(sizes[1]):
            top, left = i * strides - ahead[0], j * strides - ahead[1]
            rows = slice(max(top, 0), top + window)
            columns = slice(max(left, 0), left + window)
            y[:, i, j] = x[:, rows, columns].max((1, 2))
    return y


@pytest.mark.parametrize("shape", [(4, 4), (5, 5), (4, 5), (5, 6), (1, 2), (7, 1)])
@pytest.mark.parametrize("window, strides", [(3, 2), (2, 2), (3, 3)])
def test_the_pool_is_placed_as_in_tensorflow(shape, window, strides):
    """All values are negative, so that a zero beyond the edge would be the largest."""
    x = -1 - np.random.default_rng(0).random((2, *shape, 3), np.float32)
    layers = Layers(LayersSpec(), train=False)
    y = layers.same_max_pool(jnp.asarray(x), window=window, strides=strides)
    np.testing.assert_array_equal(y, padded_maximum(x, window, strides))


def test_the_projection_takes_x_itself():
    """Where "B" takes the pre-activation, "raw-B" takes what is before it."""
    taken = []

    class Recording(Layers):
        def conv(self, x, *arguments, **options):
            taken.append(x)
            return x

    layers = Recording(LayersSpec(), train=False)
    x, preact = jnp.ones((1, 2, 2, 4)), jnp.zeros((1, 2, 2, 4))
    for kind in ("B", "raw-B"):
        shortcut(layers, x, preact, 8, kind=kind, strides=2, norm=("norm",))
    assert taken[0] is preact and taken[1] is x


@pytest.mark.parametrize("side", [1, 2, 6])
def test_images_that_are_too_small_are_refused(side):
    with pytest.raises(resnet_jax.ConfigError, match=f"images of {side}x{side} are"):
        resnet_jax.count(resnet_jax.xception(), (side, side, 3))


def test_inner_widths_are_one_fewer_than_convolutions():
    with pytest.raises(resnet_jax.ConfigError, match="needs a width for each but"):
        SeparableConvs((3, 3, 3), inner=(8,))
