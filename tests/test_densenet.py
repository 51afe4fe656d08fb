"""Concatenating nets: published counts, values, memory, dropout, refusals.

Values are those of an independent forward pass in NumPy, float64, over any number of
axes, written from the papers and (HarDNet, ThreshNet) their released code.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import counted
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiers
from reference import Place, dense, draw

from resnet_jax.errors import ConfigError
from resnet_jax.models import complexity
from resnet_jax.models.layers.activations import PRelu, Relu6
from resnet_jax.models.layers.layers import LayersSpec
from resnet_jax.models.layers.operators import Ghost
from resnet_jax.models.nets.densenet import (
    Block,
    Dense,
    DenseNetSpec,
    Harmonic,
    HarmonicStem,
    Separable,
    Transition,
)
from resnet_jax.models.nets.stem_head import IMAGENET, Stem
from resnet_jax.models.units.branch import SINGLE
from resnet_jax.models.units.unit import FULL_PRE, ORIGINAL, SE, UnitSpec
from resnet_jax.models.zoo.densenets import (
    BOTTLENECK,
    POST,
    densenet,
    densenet_clips,
    densenet_imagenet,
    hardnet,
    threshnet,
)
from resnet_jax.papers import huang2017, recipes
from resnet_jax.papers.facts import ALL_BUT_SLOPES

bc = functools.partial(densenet, branch=BOTTLENECK, compression=0.5)
light = functools.partial(hardnet, branch=Separable())
SMALL, LARGE, CLIP = (32, 32, 3), (224, 224, 3), (16, 112, 112, 3)

# name, network, image, parameters, multiply-adds
# fmt: off
COUNTS = [
    # Huang et al. 2017, Table 2: 1.0, 7.0, 27.2, 0.8, 15.3, 25.6 M
    ("40 k=12",     densenet(40),             SMALL,  1_019_722, 264_812_928),
    ("100 k=12",    densenet(100),            SMALL,  6_979_642, "1.770 G"),
    ("100 k=24",    densenet(100, growth=24), SMALL, 27_249_082, "6.889 G"),
    ("BC 100 k=12", bc(100),                  SMALL,    769_162, "0.288 G"),
    ("BC 250 k=24", bc(250, growth=24),       SMALL, 15_324_406, "5.419 G"),
    ("BC 190 k=40", bc(190, growth=40),       SMALL, 25_624_430, "9.302 G"),
    # the stem of the released code, 2k for all
    ("40 k=12 2k",  densenet(40, stem_width=24),  SMALL, 1_059_298, 282_917_328),
    ("100 k=12 2k", densenet(100, stem_width=24), SMALL, 7_083_538, None),
    ("100 k=24 2k", densenet(100, growth=24, stem_width=48), SMALL, 28_071_706, None),
    # README of the released code; Gruening & Barth 2021, results of their code
    ("wide BC 40 k=36", bc(40, growth=36), SMALL, 1_542_682, None),
    ("wide BC 40 k=48", bc(40, growth=48), SMALL, 2_733_130, None),
    ("wide BC 40 k=60", bc(40, growth=60), SMALL, 4_261_690, None),
    ("BC 22 k=12",      bc(22),            SMALL,    71_686, None),
    ("BC 58 k=12",      bc(58),            SMALL,   314_470, None),
    # Huang et al. 2017, Table 1; Pleiss et al. 2017
    ("121",      densenet_imagenet(121), LARGE,  7_978_856, "2.834 G"),
    ("169",      densenet_imagenet(169), LARGE, 14_149_480, "3.360 G"),
    ("201",      densenet_imagenet(201), LARGE, 20_013_928, "4.291 G"),
    ("264",      densenet_imagenet(264), LARGE, 33_337_704, "5.752 G"),
    ("161",      densenet_imagenet(161), LARGE, 28_681_000, "7.728 G"),
    ("264 k=48", densenet_imagenet(264, growth=48), LARGE, 72_686_632, None),
    # Hara et al. 2018, released code: 400 classes
    ("3D 121", densenet_clips(121), CLIP, 11_696_528, "10.40 G"),
    ("3D 201", densenet_clips(201), CLIP, 26_143_120, "11.24 G"),
    # Chao et al. 2019, released code. Its README has multiply-adds of 1 to 2 % more:
    # 4.3, 9.1, 0.44, 0.8 G
    ("HarDNet-68",   hardnet(68), LARGE, 17_565_348, "4.246 G"),
    ("HarDNet-85",   hardnet(85), LARGE, 36_670_212, "9.074 G"),
    ("HarDNet-39DS", light(39),   LARGE, "3.5 M",    None),
    ("HarDNet-68DS", light(68),   LARGE, "4.2 M",    "0.8 G"),
    # Ju et al. 2022, released code
    ("ThreshNet-79",          threshnet(79), LARGE, 14_371_858, "3.423 G"),
    ("ThreshNet-95",          threshnet(95), LARGE, 16_189_202, "4.027 G"),
    ("ThreshNet-79 at 32x32", threshnet(79), SMALL, 14_371_858, "69.9 M"),
    ("ThreshNet-95 at 32x32", threshnet(95), SMALL, 16_189_202, "82.2 M"),
]
# Parameters with 100 classes: Huang et al. 2017, Table 2; stem of 2k
HUNDRED = {
    "40 k=12": 1_060_132, "100 k=12": 7_084_852, "100 k=24": 27_457_972,
    "BC 100 k=12": 800_032, "BC 250 k=24": 15_480_556, "BC 190 k=40": 25_821_620,
    "40 k=12 2k": 1_100_428,
}
# fmt: on


def agrees(count, published):
    """To the digits that were published."""
    if isinstance(published, int):
        return count == published
    digits, unit = published.split()
    decimals = len(digits.partition(".")[2])
    return f"{count / {'G': 1e9, 'M': 1e6}[unit]:.{decimals}f}" == digits


def is_long(spec):
    """To be traced, layer by layer."""
    return sum(block.layers for block in spec.blocks) > 50


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=row[0], marks=[pytest.mark.compile] * is_long(row[1]))
        for row in COUNTS
    ],
)
def test_parameters_and_multiply_adds(row):
    """And the weighted layers of nets that are named after them."""
    name, spec, image, params, macs = row
    parts, multiply_adds = counted.counts(spec, image)
    assert agrees(parts.params, params)
    if name in HUNDRED:  # ten times the last layer
        assert parts.params + 9 * parts.fc == HUNDRED[name]
    if macs:
        assert agrees(multiply_adds, macs)
    if "Net" not in name:
        # what the paper calls 264 has blocks of 2 x 130 layers, and 5
        layers = {265: 264}.get(parts.weighted_layers, parts.weighted_layers)
        assert str(layers) in name.split()
    if name in ("HarDNet-68", "HarDNet-85"):  # with both convolutions of the stem
        assert str(parts.weighted_layers) in name


def test_harmonic_links_of_the_released_code():
    link = Harmonic(1.7)
    layers = range(1, 9)
    sources = [(0,), (1, 0), (2,), (3, 2, 0), (4,), (5, 4), (6,), (7, 6, 4, 0)]
    assert [link.sources(i) for i in layers] == sources
    widths = [64, *(link.width(i, 14) for i in layers)]
    assert widths[1:] == [14, 24, 14, 40, 14, 24, 14, 68]
    entering = [sum(widths[i] for i in link.sources(layer)) for layer in layers]
    assert entering == [64, 78, 24, 102, 40, 54, 24, 142]
    assert Block(8, 14, UnitSpec(), link).width(64) == 124
    assert link.outputs(5) == (1, 3, 5) and link.outputs(4) == (1, 3, 4)


def test_widths_of_bc_100():
    """24 -> 216 -> 108 -> 300 -> 150 -> 342 channels."""
    spec, widths = bc(100), [24]
    for block in spec.blocks:
        widths.append(block.width(widths[-1]))
        widths += [block.transition.features] if block.transition else []
    assert spec.stem_width == 24 and widths == [24, 216, 108, 300, 150, 342]


# ---------------------------------------------------------------- values


def conv(x, at, stride=1):
    """Over any axes, padded by (k - 1) / 2."""
    kernel, rank = at.params["kernel"], x.ndim - 2
    axes = range(1, rank + 1)
    edge = [((k - 1) // 2,) * 2 for k in kernel.shape[:rank]]
    x = np.pad(x, [(0, 0), *edge, (0, 0)])
    x = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:rank], tuple(axes))
    strides = np.broadcast_to(stride, rank)
    x = x[(slice(None), *(slice(None, None, step) for step in strides))]
    taps = [rank + 1, *range(rank + 2, 2 * rank + 2)]
    return np.tensordot(x, kernel, (taps, [rank, *range(rank)]))


def pooled(x, window, stride, reduce):
    """Windows of any axes; those of 3 padded by one."""
    rank, side = x.ndim - 2, int(window == 3)
    edge = [(0, 0), *[(side, side)] * rank, (0, 0)]
    x = np.pad(x, edge, constant_values=-np.inf) if side else x
    axes = tuple(range(1, rank + 1))
    x = np.lib.stride_tricks.sliding_window_view(x, (window,) * rank, axes)
    x = x[(slice(None), *[slice(None, None, stride)] * rank)]
    return reduce(x, tuple(range(-rank, 0)))


@dataclasses.dataclass
class Reference:
    """The nets of the papers, layer by layer, on the variables of a network.

    Each of `blocks`: (layers, "dense" or "harmonic" links, "pre" or "post" layers), and
    behind it one of `pools`. `masks`: what dropout kept behind each convolution.
    """

    blocks: tuple
    way: str = "pre"  # of transitions and the head
    pools: tuple = (np.mean, np.mean)
    stem: Any = "cifar"
    act: Callable = lambda y: np.maximum(y, 0)
    train: bool = False
    masks: list = ()
    rate: float = 0.0

    def __call__(self, x, variables):
        at = Place(variables["params"], variables["batch_stats"])
        x = self.begin(x, at)
        for b, (layers, link, order) in enumerate(self.blocks):
            place = at[f"block{b + 1}"]
            x = self.block(x, place, layers, link, order)
            if "transition" in place.params:
                x = self.layer(x, place["transition"], self.way)
                x = pooled(x, 2, 2, self.pools[b]) if self.pools[b] else x
        if self.way == "pre":
            x = self.normed(x, at, "head")
        return dense(x.mean(tuple(range(1, x.ndim - 1))), at["head"])

    def begin(self, x, at):
        if self.stem == "cifar":
            x = conv(x, at["stem_conv"])
            return x if self.way == "pre" else self.normed(x, at, "stem")
        if self.stem == "harmonic":
            x = self.normed(conv(x, at["stem_conv1"], 2), at, "stem_1")
            x = self.normed(conv(x, at["stem_conv2"]), at, "stem_2")
        else:  # 7x7 at a stride an axis
            x = self.normed(conv(x, at["stem_conv"], self.stem), at, "stem")
        return pooled(x, 3, 2, np.max)

    def block(self, x, at, layers, link, order):
        maps = [x]
        for n in range(1, layers + 1):
            sources = range(n)
            if link == "harmonic":
                sources = [n - 2**i for i in range(9) if n % 2**i == 0]
            x = np.concatenate([maps[i] for i in sources], axis=-1)
            maps.append(self.layer(x, at[f"layer{n}"], order))
        if link == "harmonic":
            maps = [m for i, m in enumerate(maps) if i % 2 or i == layers]
        return np.concatenate(maps, axis=-1)

    def layer(self, x, at, order):
        branch = at["branch"]
        x = self.normed(x, at, "before") if order == "pre" else x
        if order == "pre" and "conv2" in branch.params:
            x = self.dropped(conv(x, branch["conv1"]))
            return self.dropped(conv(self.normed(x, branch, "1"), branch["conv2"]))
        x = self.dropped(conv(x, branch["conv1"]))
        return self.normed(x, branch, "1") if order == "post" else x

    def dropped(self, x):
        return x * self.masks.pop(0) / (1 - self.rate) if self.masks else x

    def normed(self, x, at, name):
        """BatchNorm (momentum 0.1, epsilon 1e-5) and rectifier."""
        at, axes, n = at[f"norm_{name}"], tuple(range(x.ndim - 1)), x[..., 0].size
        mean, var = at.stats["mean"], at.stats["var"]
        if self.train:
            now = x.mean(axes), x.var(axes)
            mean[...] = 0.9 * mean + 0.1 * now[0]
            var[...] = 0.9 * var + 0.1 * now[1] * n / (n - 1)
            mean, var = now
        x = at.params["scale"] * (x - mean) / np.sqrt(var + 1e-5) + at.params["bias"]
        return self.act(x)


PRE, AFTER = UnitSpec(BOTTLENECK, FULL_PRE, "none"), UnitSpec(SINGLE, POST, "none")
H, HARD = Harmonic(1.7), HarmonicStem()
RELU, VOLUMES, CEILING = LayersSpec(), LayersSpec(rank=3), LayersSpec(act=Relu6())


def own(*blocks, layers=RELU, stem=HARD, steps=()):
    return DenseNetSpec(
        blocks=blocks, layers=layers, stem=stem, stem_width=8, head_steps=steps
    )


def behind(features, pool):
    return Transition(features, POST, pool)


DENSE, HARMONIC = (2, "dense", "pre"), (4, "harmonic", "post")
DENSENET = Reference((DENSE, DENSE, DENSE))
MAXIMA = {"way": "post", "pools": (np.max, None), "stem": "harmonic"}
CLIPS = Stem(kernel=7, strides=(1, 2, 2), pool=(3, 2))
SIX = lambda y: np.clip(y, 0, 6)  # noqa: E731
# name: network, images, what the reference is told
# fmt: off
NETS = {
    "plain": (densenet(10, growth=4), (8, 8, 3), DENSENET),
    "B": (densenet(16, growth=4, branch=BOTTLENECK), (8, 8, 3), DENSENET),
    "C": (densenet(10, growth=5, compression=0.5), (8, 8, 3), DENSENET),
    "BC": (bc(16, growth=4), (8, 8, 3), DENSENET),
    "original order": (
        densenet(10, growth=4, order=ORIGINAL), (8, 8, 3),
        Reference(((2, "dense", "post"),) * 3, way="post"),
    ),
    "other links": (
        densenet(16, growth=4, links=(Dense(), H, Harmonic(1.6))), (8, 8, 3),
        Reference(((4, "dense", "pre"), *((4, "harmonic", "pre"),) * 2)),
    ),
    "ImageNet": (
        own(Block(2, 4, PRE, transition=Transition(6)), Block(2, 3, PRE),
            stem=IMAGENET, steps=("norm", "act")),
        (17, 19, 3), Reference((DENSE, DENSE), stem=2),
    ),
    "clips": (
        own(Block(2, 4, PRE, transition=Transition(6)), Block(2, 3, PRE),
            stem=CLIPS, steps=("norm", "act"), layers=VOLUMES),
        (5, 16, 12, 3), Reference((DENSE, DENSE), stem=(1, 2, 2)),
    ),
    "HarDNet": (
        own(Block(4, 4, AFTER, H, behind(6, "max")),
            Block(4, 6, AFTER, H, behind(8, "none")), layers=CEILING),
        (16, 16, 3), Reference((HARMONIC, HARMONIC), act=SIX, **MAXIMA),
    ),
    "ThreshNet": (
        own(Block(2, 4, PRE, transition=behind(6, "max")),
            Block(4, 4, AFTER, H, behind(8, "none"))),
        (16, 16, 3), Reference((DENSE, HARMONIC), **MAXIMA),
    ),
}
# fmt: on


def precise(spec, **fields):
    layers = dataclasses.replace(spec.layers, dtype="float64")
    return dataclasses.replace(spec, layers=layers, **fields)


def example(spec, image, seed=0):
    """A net, made-up variables, images."""
    net, generator = spec.build(), np.random.default_rng(seed)
    variables = draw(complexity.shapes(net, image), generator)
    return net, variables, 3 * generator.normal(size=(3, *image))


def run(net, variables, images, *, train, **options):
    """Logits, and what training changes."""

    @jax.jit
    def forward(variables, images):
        return net.apply(
            variables, images, train=train, mutable=["batch_stats", "intermediates"],
            **options,
        )  # fmt: skip

    return forward(jax.tree.map(jnp.asarray, variables), jnp.asarray(images))


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", tiers.one_in(2, NETS))
def test_values(name, float64):
    """Logits in training, and the running statistics that it leaves."""
    spec, image, expected = NETS[name]
    net, variables, images = example(precise(spec), image)
    logits, changed = run(net, variables, images, train=True)
    expected = dataclasses.replace(expected, train=True)
    close(logits, expected(images, variables))
    jax.tree.map(close, changed["batch_stats"], variables["batch_stats"])


def kept(tree):
    """What dropout kept, in the order of the convolutions."""
    masks = []
    for block in sorted(tree):
        layers = sorted(tree[block], key=lambda name: (name == "transition", name))
        for layer in layers:
            branch = tree[block][layer]["branch"]
            masks += [np.asarray(branch[n]["__call__"][0]) != 0 for n in sorted(branch)]
    return masks


@pytest.mark.compile
def test_dropout_behind_every_convolution_but_the_stem(float64):
    """Nothing at test; in training what is kept is scaled."""
    spec = precise(bc(16, growth=4), dropout=0.25)
    net, variables, images = example(spec, (8, 8, 3))
    close(run(net, variables, images, train=False)[0], DENSENET(images, variables))
    logits, changed = run(
        net, variables, images, train=True,
        rngs={"noise": jax.random.key(1, impl="rbg")},  # compiles fast
        capture_intermediates=lambda module, _: "dropout" in (module.name or ""),
    )  # fmt: skip
    masks = kept(changed["intermediates"])
    assert len(masks) == 16 - 2  # all layers but the stem and the classifier
    assert 0.7 < np.mean([mask.mean() for mask in masks]) < 0.8
    expected = dataclasses.replace(DENSENET, train=True, masks=masks, rate=0.25)
    close(logits, expected(images, variables))


# ---------------------------------------------------------------- memory


def one_block(layers, mode="unroll", **fields):
    return precise(
        own(Block(layers, 4, PRE), stem=Stem(steps=()), steps=("norm", "act")),
        depth_mode=mode, **fields,
    )  # fmt: skip


def step(spec, variables, images):
    """Loss, new statistics and gradients, compiled."""
    net, images = spec.build(), jnp.asarray(images)
    variables = jax.tree.map(jnp.asarray, variables)
    noise = jax.random.key(2, impl="rbg")  # compiles fast

    def loss(params):
        changed = {**variables, "params": params}
        logits, new = net.apply(
            changed, images, train=True, mutable=["batch_stats"], rngs={"noise": noise}
        )
        return jnp.square(logits).mean(), new["batch_stats"]

    return jax.jit(jax.value_and_grad(loss, has_aux=True))(variables["params"])


@pytest.mark.compile
@pytest.mark.parametrize("rate", [0.0, 0.25], ids=["plain", "dropout"])
def test_layers_computed_again_are_the_same(rate, float64):
    """Loss, gradients, and running statistics, which move once and not twice."""
    _, variables, images = example(one_block(2), (6, 6, 3))
    usual = step(one_block(2, dropout=rate), variables, images)
    again = step(one_block(2, "remat", dropout=rate), variables, images)
    jax.tree.map(close, usual, again)
    if not rate:
        dataclasses.replace(DENSENET, blocks=(DENSE,), train=True)(images, variables)
        jax.tree.map(close, again[0][1], variables["batch_stats"])


def held(layers, mode):
    """Numbers that the forward pass leaves for the backward pass, for 2 images."""
    net, image = one_block(layers, mode).build(), (16, 16, 3)

    def backward(variables, x):
        def forward(params):
            changed = {**variables, "params": params}
            return net.apply(changed, x, train=True, mutable="batch_stats")[0]

        return jax.vjp(forward, variables["params"])[1]

    images = jax.ShapeDtypeStruct((2, *image), jnp.float64)
    variables = complexity.shapes(net, image)
    leaves = jax.tree.leaves(jax.eval_shape(backward, variables, images))
    maps = [leaf.shape for leaf in leaves if leaf.ndim == 4 and leaf.shape[0] == 2]
    return sum(map(math.prod, maps))


@pytest.mark.compile
def test_memory_grows_with_the_layers_and_not_with_their_square(float64):
    usual, again = ([held(n, mode) for n in (2, 4, 6)] for mode in ("unroll", "remat"))
    assert np.diff(usual, n=2) > 0 and np.diff(again, n=2) == 0
    # For 2 layers more: 2 images of 16x16, 4 channels a layer; what the layer adds, and
    # that twice behind the last norm
    assert np.diff(again)[0] == 2 * (2 * 16 * 16) * 4 * 3
    assert again[-1] < usual[-1] / 5


# ---------------------------------------------------------------- what else it is


def test_rectifiers_and_gates_hold_for_layers():
    """A slope behind every norm; squeeze and excitation on what a layer adds."""
    spec, image = densenet(10, growth=4), (8, 8, 3)
    usual = complexity.num_params(spec.build(), image)
    layers = LayersSpec(act=PRelu("layer"))
    sloped = dataclasses.replace(spec, layers=layers).build()
    # ten norms, of which the stem's has no slope
    assert complexity.num_params(sloped, image) == usual + 10 - 1
    gated = densenet(10, growth=4, gate=SE(2)).build()
    assert complexity.num_params(gated, image) == usual + 6 * (4 * 2 + 2 + 2 * 4 + 4)


def test_first_layer_of_another_kind():
    """Min-Nets change the first layer of each block (Gruening & Barth 2021)."""
    first = UnitSpec(BOTTLENECK, FULL_PRE, "B")
    spec = own(Block(2, 4, AFTER, first=first), stem=Stem(steps=()))
    params = complexity.shapes(spec.build(), (8, 8, 3))["params"]["block1"]
    assert "shortcut_conv" in params["layer1"] and "conv2" in params["layer1"]["branch"]
    assert params["layer2"]["branch"].keys() == {"conv1", "norm_1"}


def test_relu6_is_flat_at_both_ends():
    x = jnp.array([-1.0, 0.0, 1.0, 5.0, 6.0, 7.0])
    relu6 = functools.partial(Relu6(), train=True, name="act")
    np.testing.assert_array_equal(relu6(x), [0, 0, 1, 5, 6, 6])
    np.testing.assert_array_equal(
        jax.grad(lambda x: relu6(x).sum())(x), [0, 0, 1, 1, 0, 0]
    )


REFUSED = {
    r"model.depth=41: must be 3n\+4 \(e.g. 58\)": lambda: densenet(41),
    r"model.depth=43: must be 6n\+4": lambda: bc(43),
    "model.depth=4: must be": lambda: densenet(4),
    "growth=0: a block has at least": lambda: densenet(40, growth=0),
    "model.compression=0.0: must be above 0": lambda: densenet(40, compression=0.0),
    "model.compression=1.5: must be above 0": lambda: densenet(40, compression=1.5),
    "links: 2 given for 3 blocks": lambda: densenet(40, links=(Dense(),) * 2),
    "needs model.unit.shortcut='none'": lambda: densenet(40, shortcut="A"),
    r"model.depth=122: must be one of \(121": lambda: densenet_imagenet(122),
    r"model.depth=67: must be one of \(39, 68, 85": lambda: hardnet(67),
    r"model.depth=28: must be one of \(79, 95": lambda: threshnet(28),
    "dropout=1.0: must be": lambda: densenet(40, dropout=1.0),
    r"blocks=\(\): a net has": lambda: own(),
    "needs plain convolutions, but they are Ghost": lambda: dataclasses.replace(
        densenet(40, dropout=0.2), layers=LayersSpec(operator=Ghost())
    ),
    "multiplier=0.5: must be at least 1": lambda: Harmonic(0.5),
    "maps of 1x1 are too small to halve": lambda: complexity.shapes(
        threshnet(79).build(), (16, 16, 3)
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_refusals(message):
    with pytest.raises(ConfigError, match=message):
        REFUSED[message]()


# ---------------------------------------------------------------- the paper's table


def test_published_table():
    cells = {cell.key: cell for cell in huang2017.VALUES}
    assert len(cells) == len(huang2017.VALUES)
    own = [cell for cell in huang2017.T2 if cell.origin == "own"]
    assert len(own) == 31 and len(huang2017.T3) == 10 and len(huang2017.T2) == 51
    best = cells["huang2017/T2/BC 190 k=40/C10+"]
    assert (best.top1_err, best.params_m, best.statistic) == (3.46, 25.6, "single")
    assert cells["huang2017/T2/40 k=12/SVHN"].selection == "best_val"
    for cell in (*huang2017.T2, *huang2017.T3):
        if cell.top5_err is not None:
            assert cell.top5_err < cell.top1_err


def test_published_nets_are_the_ones_counted():
    counted = {row[0]: row for row in COUNTS}
    for key, net in huang2017.NETWORKS.items():
        *_, name, column = key.split("/")
        row = counted[name.removeprefix("DenseNet-")]
        published = HUNDRED[name] if column.startswith("C100") else row[3]
        assert net["parameters"].value == published, key
        if "multiply-adds" in net:
            macs = net["multiply-adds"]
            value = f"{macs.value:.3f} G" if macs.unit else macs.value
            assert value == row[4], key


def test_recipes_speak_as_configs_do():
    for facts in huang2017.RECIPES.values():
        assert facts["decayed parameters"].value == ALL_BUT_SLOPES
        assert set(facts) <= set(recipes.HE2016B_RELEASED) | {"BatchNorm group"}
