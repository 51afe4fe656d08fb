"""Plain nets: the papers' counts, and every record against NumPy in float64."""

import dataclasses
import functools
import itertools
import math

import counted
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from resnet_jax.errors import ConfigError
from resnet_jax.models import complexity
from resnet_jax.models.layers.activations import PRelu
from resnet_jax.models.layers.layers import LayersSpec
from resnet_jax.models.layers.pyramid import SPP
from resnet_jax.models.nets.plain import (
    FC,
    LRN,
    Conv,
    Drop,
    Flatten,
    MaxPool,
    Mean,
    PlainSpec,
    Towers,
)
from resnet_jax.models.zoo import plain_nets
from resnet_jax.models.zoo.plain_nets import (
    NO_NORM,
    all_cnn,
    nin,
    places2,
    prelu_large,
    prelu_small,
    spp_net,
    vgg,
)


def classes(spec, number):
    return dataclasses.replace(spec, num_classes=number)


def rectified(spec, act):
    return dataclasses.replace(spec, layers=dataclasses.replace(spec.layers, act=act))


def normed(spec):
    return dataclasses.replace(spec, layers=LayersSpec())


GAP_19 = vgg(19, size="cifar", variant="mean")
BINS_30 = (1, 2, 3, 4)
WISE, SHARED = PRelu("channel"), PRelu("layer")

# label, net, image, parameters, multiply-adds; text has the digits that are published
# fmt: off
CIFAR = [
    # Springenberg et al. 2015, Tables 1 and 2
    ("A",          all_cnn("A"),            839_242, None),
    ("Strided-A",  all_cnn("Strided-A"),    839_242, None),
    ("ConvPool-A", all_cnn("ConvPool-A"), 1_254_250, None),
    ("All-CNN-A",  all_cnn("All-CNN-A"),  1_254_250, None),
    ("B",          all_cnn("B"),            885_610, None),
    ("All-CNN-B",  all_cnn("All-CNN-B"),  1_300_618, None),
    ("C",          all_cnn("C"),            954_730, None),
    ("ConvPool-C", all_cnn("ConvPool-C"), 1_369_738, None),
    ("All-CNN-C",  all_cnn("All-CNN-C"),  1_369_738, "270.8 M"),
    # Lin et al. 2014, mavenlin/cuda-convnet
    ("NIN",        nin(),                   966_986, "222.5 M"),
    ("NIN C100",   classes(nin(), 100),     984_356, None),
    # Han et al. 2020: 15 M and 313 M; Liu et al. 2017: 20.04 M, twice 398 M
    ("VGG-16",     vgg(16, size="cifar"), 14_986_698, "313.46 M"),
    ("VGG-19",     GAP_19,                20_035_018, 398_136_320),
    ("VGG-19 C100", classes(GAP_19, 100), 20_081_188, None),
]
IMAGENET = [
    # He et al. 2015, Table 1: conv and fc biases; a slope a channel or a layer
    ("14 layers",          prelu_small(14),                     74_993_896, "0.95 G"),
    ("14 layers, shared",  rectified(prelu_small(14), SHARED),  74_993_909, None),
    ("14 layers, channel", rectified(prelu_small(14), WISE),    75_004_200, None),
    ("30 layers",          prelu_small(30),                     79_192_296, "2.31 G"),
    # Table 3
    ("A",       prelu_large("A"),                  178_017_384, "19.06 G"),
    ("B",       prelu_large("B"),                  183_327_080, "23.22 G"),
    ("C",       prelu_large("C"),                  330_603_368, "53.46 G"),
    ("A PReLU", rectified(prelu_large("A"), WISE), 178_017_384 + 14_688, None),
    ("B PReLU", rectified(prelu_large("B"), WISE), 183_327_080 + 15_968, None),
    ("C PReLU", rectified(prelu_large("C"), WISE), 330_603_368 + 20_576, None),
    ("VGG-19",  vgg(19),                           143_667_240, "19.63 G"),
    # conv 15,346,630,656 (channel-pruning, lib/cfgs.py), fc 123,633,664
    ("VGG-16",  vgg(16),                                  None, 15_470_264_320),
    # Hu et al. 2018, Table 2: 15.47 GFLOPs
    ("VGG-16 BN", normed(vgg(16)),                        None, "15.47 G"),
    # He et al. 2014, released prototxt: without a pyramid, with 50 and with 30 bins
    ("ZF-5, no SPP",  spp_net(levels=()),       62_357_608, None),
    ("ZF-5, 50 bins", spp_net(),                77_037_672, None),
    ("ZF-5, 30 bins", spp_net(levels=BINS_30),  56_066_152, None),
    # Shen et al. 2016, released prototxt
    ("Places2 B", places2(), 171_252_113, None),
]
ROWS = [(*row, (32, 32, 3)) for row in CIFAR]
ROWS += [(*row, (224, 224, 3)) for row in IMAGENET]
# fmt: on


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_parameters_and_multiply_adds(row):
    _, spec, params, macs, image = row
    if params is not None:
        assert counted.params(spec, image) == params
    if macs is not None:
        assert agree(counted.multiply_adds(spec, image), macs)


def agree(count, published):
    """Equal, up to the digits of a text such as "222.5 M"."""
    if not isinstance(published, str):
        return count == published
    number, unit = published.split()
    digits = len(number.partition(".")[2])
    return f"{count / {'M': 1e6, 'G': 1e9}[unit]:.{digits}f}" == number


# Of the convolutions alone, where the sources tell them apart
CONVOLUTIONS = [
    ("14 layers", prelu_small(14), 1_682_688, "0.876 G"),
    ("A", prelu_large("A"), None, "18.91 G"),
    ("B", prelu_large("B"), None, "23.07 G"),
    ("C", prelu_large("C"), None, "53.21 G"),
    ("VGG-19", vgg(19), None, "19.51 G"),
    ("VGG-16", vgg(16), None, 15_346_630_656),
    ("ZF-5", spp_net(), 3_726_464, None),
    ("Places2 B", places2(), 20_703_232, "15.9 G"),
]


@pytest.mark.parametrize("row", CONVOLUTIONS, ids=lambda row: row[0])
def test_convolutions_alone(row):
    _, spec, params, macs = row
    image = (224, 224, 3)
    tree = complexity.shapes(spec.build(), image)["params"]
    fcs = [layer for name, layer in tree.items() if name in ("fc1", "fc2", "head")]
    products = sum(math.prod(layer["kernel"].shape) for layer in fcs)
    others = sum(layer["bias"].size for layer in fcs) + products
    if params is not None:
        assert counted.params(spec, image) - others == params
    if macs is not None:
        assert agree(counted.multiply_adds(spec, image) - products, macs)


@pytest.mark.parametrize(
    "spec, convs, fcs",
    [
        (prelu_small(14), 11, 3), (prelu_small(30), 27, 3), (vgg(19), 16, 3),
        (prelu_large("A"), 16, 3), (prelu_large("B"), 19, 3), (vgg(16), 13, 3),
        (all_cnn("All-CNN-C"), 9, 0), (nin(), 9, 0), (vgg(7, size="digits"), 6, 1),
    ],
)  # fmt: skip
def test_weighted_layers(spec, convs, fcs):
    assert sum(isinstance(record, Conv) for record in spec.records) == convs
    assert sum(isinstance(record, FC) for record in spec.records) == fcs


# Pixels of the maps: the last one, and those that the sources give on the way
MAPS = {
    "14 layers": (prelu_small(14), 224, {"conv1": 109, "maxpool1": 36, "conv11": 18}),
    "A": (
        prelu_large("A"),
        224,
        {"conv1": 112, "conv6": 56, "conv11": 28, "conv16": 14},
    ),
    "ZF-5": (spp_net(), 224, {"conv1": 110, "maxpool1": 55, "conv2": 26, "conv5": 13}),
    "ZF-5 at 180": (spp_net(), 180, {"conv5": 10}),
    "NIN": (nin(), 32, {"maxpool1": 16, "maxpool2": 8, "conv9": 8}),
    "All-CNN-C": (all_cnn(), 32, {"conv3": 16, "conv6": 8, "conv9": 6}),
    "Strided-A": (all_cnn("Strided-A"), 32, {"conv1": 16, "conv2": 8, "conv5": 6}),
}


@pytest.mark.parametrize("name", MAPS)
def test_sizes_of_maps(name):
    spec, size, expected = MAPS[name]
    found = {}

    def seen(record, name):
        def call(layers, x, *, name=name):
            y = record(layers, x, name=name)
            found[name] = y.shape[1]
            return y

        return call

    records = {name: seen(record, name) for name, record in spec.named()}

    class Traced(plain_nets.PlainSpec):
        def named(self):
            return iter(records.items())

    traced = Traced(records=spec.records, layers=spec.layers)
    complexity.shapes(traced.build(), (size, size, 3))
    assert {name: found[name] for name in expected} == expected


# ---------------------------------------------------------------- values


def windows(x, size, stride):
    """i, j, [b size size c] of every window that fits."""
    h, w = ((extent - size) // stride + 1 for extent in x.shape[1:3])
    for i, j in itertools.product(range(h), range(w)):
        cut = x[:, i * stride : i * stride + size, j * stride : j * stride + size]
        yield i, j, cut


def filled(x, low, high, value=0.0):
    edge = ((0, 0), (low, high), (low, high), (0, 0))
    return np.pad(x, edge, constant_values=value)


def conv(x, at, stride=1, pad=None):
    """With its bias and ReLU; `pad` on all sides, or what keeps ceil(size / stride)."""
    kernel = at["conv"]["kernel"]
    k = len(kernel)
    x = filled(x, *((pad, pad) if pad is not None else ((k - 1) // 2, k // 2)))
    y = {(i, j): np.einsum("bklc,klcd->bd", cut, kernel)
         for i, j, cut in windows(x, k, stride)}  # fmt: skip
    return np.maximum(0, grid(y) + at["norm"]["bias"])


def grid(cells):
    """{(i, j): [b c]} as [b h w c]."""
    rows = [
        np.stack([cells[at] for at in sorted(cells) if at[0] == i], axis=1)
        for i in sorted({i for i, _ in cells})
    ]
    return np.stack(rows, axis=1)


def pool(x, size, stride, high=0):
    x = filled(x, 0, high, -np.inf)
    return grid({(i, j): cut.max((1, 2)) for i, j, cut in windows(x, size, stride)})


def lrn(x, size=3, alpha=5e-5, beta=0.75):
    """Caffe, WITHIN_CHANNEL."""
    squares = filled(x * x, size // 2, size // 2)
    mean = grid({(i, j): cut.mean((1, 2)) for i, j, cut in windows(squares, size, 1)})
    return x * (1 + alpha * mean) ** -beta


BARE64 = dataclasses.replace(NO_NORM, dtype="float64")
# A net in which every record occurs, with odd and even windows
EVERY = PlainSpec(
    records=(
        Drop(0.2),
        Conv(4, 3, strides=2, padding=1),
        LRN(3, alpha=0.3),
        MaxPool(3, 2, "up"),
        Conv(5, 2),
        Towers(((Conv(2, 1),), (Conv(3),), (Conv(4), Conv(2, 3)))),
        MaxPool(3, 1),
        Conv(6, 2, padding=0, steps=("norm",)),
        Flatten(),
        FC(7, std=0.1),
        Drop(0.5),
        FC(None, ()),
    ),
    layers=BARE64,
    num_classes=3,
)


def example(spec, *size):
    generator = np.random.default_rng(0)
    image = (*size, 3)
    variables = reference.draw(complexity.shapes(spec.build(), image), generator)
    variables = jax.tree.map(jnp.asarray, variables)
    return variables, generator.normal(size=(2, *image))


def applied(spec, variables, images):
    forward = functools.partial(spec.build().apply, train=False)
    return jax.jit(forward)(variables, jnp.asarray(images))


def test_every_record_against_numpy(float64):
    variables, images = example(EVERY, 19, 22)
    params = jax.tree.map(np.asarray, variables["params"])

    def at(name):
        step = name.replace("conv", "")
        return {"conv": params[name], "norm": params[f"norm_{step}"]}

    x = conv(images, at("conv1"), stride=2, pad=1)
    x = pool(lrn(x, alpha=0.3), 3, 2, high=1)
    x = conv(x, at("conv2"))
    many = conv(conv(x, at("towers1_3_conv1")), at("towers1_3_conv2"))
    x = np.concatenate(
        [conv(x, at("towers1_1_conv1")), conv(x, at("towers1_2_conv1")), many], axis=3
    )
    x = pool(x, 3, 1)
    kernel = params["conv3"]["kernel"]
    cells = {
        (i, j): np.einsum("bklc,klcd->bd", cut, kernel)
        for i, j, cut in windows(x, 2, 1)
    }
    x = (grid(cells) + params["norm_3"]["bias"]).reshape(2, -1)
    x = np.maximum(0, reference.dense(x, reference.Place(params["fc1"], {})))
    x = reference.dense(x, reference.Place(params["head"], {}))
    found = applied(EVERY, variables, images)
    np.testing.assert_allclose(found, x, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "spec", [all_cnn(size="digits", width=1 / 16), nin(width=1 / 32)]
)
def test_nets_that_end_with_the_mean_of_class_maps(spec, float64):
    """The convolution of the classes, its rectifier, the mean, and nothing more."""
    spec = dataclasses.replace(spec, layers=BARE64, num_classes=4)
    variables, images = example(spec, 8, 8)
    params, x = jax.tree.map(np.asarray, variables["params"]), images
    for name, record in spec.named():
        if isinstance(record, Conv):
            place = {
                "conv": params[name],
                "norm": params[name.replace("conv", "norm_")],
            }
            x = conv(x, place, stride=record.strides)
        elif isinstance(record, MaxPool):
            x = pool(x, 3, 2, high=1)
    found = applied(spec, variables, images)
    np.testing.assert_allclose(found, x.mean((1, 2)), rtol=1e-10, atol=1e-10)


def test_dropout_acts_in_training_alone():
    records = (Drop(0.2), Conv(4, 1), Drop(0.5), Mean(), FC(None, ()))
    net, x = PlainSpec(records=records, layers=NO_NORM).build(), jnp.ones((2, 5, 5, 3))
    variables = net.init(jax.random.key(0), x, train=False)

    @jax.jit
    def trained(seed):
        rngs = {"noise": jax.random.key(seed)}
        return net.apply(variables, x, train=True, rngs=rngs)

    assert not jnp.allclose(trained(1), trained(2))
    kept = net.apply(variables, x, train=False)
    np.testing.assert_allclose(kept[0], kept[1])  # both images are the same


def test_kernels_of_the_classifier_start_as_published():
    """He et al. 2015, Sec. 2.2: std 0.01, 0.01 and 0.001; biases at zero."""
    published = [r.std for r in prelu_small(14).records if isinstance(r, FC)]
    assert published == [0.01, 0.01, 0.001]
    records = (Mean(), FC(256, std=0.01), FC(None, (), std=0.001))
    net = PlainSpec(records=records, num_classes=64).build()
    params = net.init(jax.random.key(0), jnp.zeros((1, 1, 1, 64)), train=False)
    for name, std in {"fc1": 0.01, "head": 0.001}.items():
        layer = params["params"][name]
        assert np.std(layer["kernel"]) == pytest.approx(std, rel=0.03)
        assert not np.any(layer["bias"])


@dataclasses.dataclass(frozen=True)
class Halved:
    """An operator: what every convolution of a net was asked for, at half the width."""

    calls: list = dataclasses.field(default_factory=list, hash=False, compare=False)

    def __call__(self, layers, x, features, *, then, name, **asked):
        self.calls.append((name, features, then))
        y = layers.conv(x, features // 2, then=then, name=name, **asked)
        return jnp.concatenate([y, y], axis=-1)


def test_an_operator_replaces_every_convolution_the_first_too():
    operator = Halved()
    spec = vgg(16, size="cifar")
    layers = dataclasses.replace(spec.layers, operator=operator)
    net = dataclasses.replace(spec, layers=layers).build()
    params = complexity.shapes(net, (32, 32, 3))["params"]
    widths = [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
    steps = ("norm", "act")
    assert operator.calls == [
        (f"conv{i}", width, steps) for i, width in enumerate(widths, 1)
    ]
    assert params["conv1"]["kernel"].shape == (3, 3, 3, 32)
    assert params["head"]["kernel"].shape == (512, 10)


def test_widths_and_classes():
    net = classes(nin(width=0.25), 7).build()
    params = complexity.shapes(net, (32, 32, 3))["params"]
    shapes = {name: leaf["kernel"].shape for name, leaf in params.items()
              if "conv" in name}  # fmt: skip
    assert shapes["conv1"] == (5, 5, 3, 48) and shapes["conv3"] == (1, 1, 40, 24)
    assert shapes["conv9"] == (1, 1, 48, 7)


# ---------------------------------------------------------------- what is refused

CLASSES = (Mean(), FC(None, ()))


@pytest.mark.parametrize(
    "records, complaint",
    [
        ((Conv(4), FC(None)), "then one Mean, Flatten or SPP, .*; got Conv, FC"),
        ((Conv(4), *CLASSES, Conv(4)), "records: layers on maps, then one"),
        ((Mean(), Flatten(), FC(None)), "records: layers on maps, then one"),
        ((), "records: layers on maps, then one"),
        ((Conv(4), Mean(), FC(3)), r"features=\[4, 3\]; the last must be None"),
        ((Conv(None), *CLASSES), r"features=\[None, None\]; the last must be None"),
        ((Conv(None), Mean(), FC(4)), r"features=\[None, 4\]; the last must be None"),
    ],
)
def test_records_in_an_order_that_is_no_net(records, complaint):
    with pytest.raises(ConfigError, match=complaint):
        PlainSpec(records=records)


@pytest.mark.parametrize(
    "make, complaint",
    [
        (lambda: prelu_small(20), r"model.depth=20: must be one of \(14, 30\)"),
        (lambda: vgg(17), r"model.depth=17: must be one of \(7, 11, 13, 16, 19\)"),
        (lambda: all_cnn("D"), r"model.variant='D': must be one of \('A', 'B', 'C', "),
        (lambda: places2(size="cifar"), r"model.size='cifar': must be one of"),
        (lambda: places2(width=0.3), r"model.width=0.3: times 128 must be whole"),
        (lambda: nin(width=0.3), r"model.width=0.3: times 192 must be whole"),
        (
            lambda: nin(width=-1),
            r"model.width=-1: times 192 must be whole and positive",
        ),
        (lambda: MaxPool(2, 3), r"MaxPool.*: strides must not exceed the window"),
    ],
)
def test_numbers_that_are_no_net(make, complaint):
    with pytest.raises(ConfigError, match=complaint):
        make()


@pytest.mark.parametrize(
    "spec, image, complaint",
    [
        (all_cnn(), (8, 8), r"conv7: needs 3 pixels per axis, but its map is 2x2"),
        (vgg(16, size="cifar"), (16, 32), r"maxpool5: needs 2 pixels .* map is 1x2"),
        (spp_net(), (96, 96), r"levels=.*: 6 bins per axis do not fit a map of 5x5"),
        (vgg(7, size="digits", levels=(3, 1)), (8, 8), r"levels=.* a map of 2x2"),
    ],
)
def test_images_that_are_too_small_are_refused_on_shapes(spec, image, complaint):
    with pytest.raises(ConfigError, match=complaint):
        complexity.num_params(spec.build(), (*image, 3))


def test_a_pyramid_takes_images_of_any_size():
    """SPP-net's two sizes: equal parameters at 180 and 224 pixels; without it not."""
    counts = {
        levels: {
            complexity.num_params(spp_net(levels=levels).build(), (size, size, 3))
            for size in (180, 224)
        }
        for levels in ((), (1, 2, 3, 6))
    }
    assert [len(found) for found in counts.values()] == [2, 1]
    assert SPP((1, 2, 3, 6)) in spp_net().records
