"""Spatial pyramid pooling against loops over bins, and its rules for sizes."""

import dataclasses
import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tinytask

from resnet_jax.errors import ConfigError
from resnet_jax.main import main
from resnet_jax.models import complexity
from resnet_jax.models.layers.layers import Layers, LayersSpec
from resnet_jax.models.layers.pyramid import SPP, on_map, regions
from resnet_jax.models.nets.resnet import ResNetSpec
from resnet_jax.models.nets.stem_head import Head, Pool
from resnet_jax.models.network import network

LAYERS = Layers(LayersSpec(), train=False)


pytestmark = pytest.mark.usefixtures("float64")


def exact(size, n):
    """He et al. 2014, appendix: rows floor((i-1)/n h) to ceil(i/n h), i from 1."""
    return [
        (math.floor((i - 1) * size / n), math.ceil(i * size / n))
        for i in range(1, n + 1)
    ]


def window(size, n):
    """Sec. 2.3: win = ceil(a/n), stride = floor(a/n)."""
    win, stride = math.ceil(size / n), math.floor(size / n)
    return [(at, at + win) for at in range(0, size - win + 1, stride)]


def pyramid(x, levels, rule):
    """[*hw c] -> [features]: the greatest number in every box."""
    values = []
    for n in levels:
        for box in itertools.product(*(rule(size, n) for size in x.shape[:-1])):
            cut = x[tuple(slice(*span) for span in box)]
            values.append(cut.reshape(-1, x.shape[-1]).max(0))
    return np.concatenate(values)


def applied(spp, x):
    return jax.jit(lambda x: spp(LAYERS, x))(jnp.asarray(x))


pooled_regions = jax.jit(regions, static_argnames="levels")


def maps(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("rule", [exact, window], ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("size", [(13, 13), (18, 14), (7, 6), (6, 12, 7), (7,)])
def test_both_rules_are_the_papers(rule, size):
    x = maps(2, *size, 3)
    levels = (6, 3, 2, 1)
    pooled = applied(SPP(levels, rule.__name__), x)
    assert pooled.shape == (2, 3 * sum(n ** len(size) for n in levels))
    expected = np.stack([pyramid(one, levels, rule) for one in x])
    np.testing.assert_array_equal(pooled, expected)


@pytest.mark.parametrize("size", [(10, 10), (11, 8), (6, 17), (7, 8, 9)])
def test_exact_bins_take_any_size(size):
    x = maps(1, *size, 2)
    pooled = applied(SPP((1, 2, 3, 6)), x)
    np.testing.assert_array_equal(pooled[0], pyramid(x[0], (1, 2, 3, 6), exact))


# He et al. 2014, Sec. 2.3: window and stride on 13 pixels (224) and on 10 (180)
@pytest.mark.parametrize(
    "size, n, win, stride",
    [
        (13, 6, 3, 2), (13, 3, 5, 4), (13, 2, 7, 6), (13, 1, 13, 13),
        (10, 3, 4, 3), (10, 2, 5, 5), (10, 1, 10, 10),
    ],
)  # fmt: skip
def test_windows_of_the_paper_are_its_exact_bins(size, n, win, stride):
    spans = [(i * stride, i * stride + win) for i in range(n)]
    assert SPP((n,), "window").spans(size, n) == SPP((n,)).spans(size, n) == spans


def test_six_windows_on_ten_pixels_would_be_nine():
    assert len(window(10, 6)) == 9
    message = r"windows of 2 every 1 on 10 pixels are 9, but level 6 wants 6; .*exact"
    with pytest.raises(ConfigError, match=message):
        SPP((6, 3), "window")(LAYERS, jnp.zeros((1, 10, 10, 2)))


def test_the_gradient_is_that_of_the_greatest():
    """Every feature sends its signal to the one cell that it is a copy of."""
    x, signal = maps(1, 5, 7, 2), maps(1, 2 * (1 + 4 + 9), seed=1)
    _, back = jax.vjp(lambda x: applied(SPP((1, 2, 3)), x), jnp.asarray(x))
    expected = np.zeros_like(x)
    for feature, value in zip(pyramid(x[0], (1, 2, 3), exact), signal[0], strict=True):
        expected[x == feature] += value
    np.testing.assert_allclose(back(jnp.asarray(signal))[0], expected, atol=1e-12)


# ---------------------------------------------------------------- in a net

NET = ResNetSpec(depths=(1, 1), widths=(4, 8), stem_width=4, num_classes=5)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_head_of_any_net(rank):
    levels = (1, 2)
    head = Head(SPP(levels), hidden=(6,), dropout=0.5)
    assert isinstance(head.pool, Pool)
    net = dataclasses.replace(NET, head=head, layers=LayersSpec(rank=rank)).build()
    for size in (6, 9):  # one net for images of any size
        image = (*(size, size + 1, size + 2)[:rank], 3)
        params = complexity.shapes(net, image)["params"]
        assert params["fc1"]["kernel"].shape == (8 * (1 + 2**rank), 6)


def test_a_level_larger_than_the_map_is_refused_on_shapes():
    net = dataclasses.replace(NET, head=Head(SPP((1, 2, 4)))).build()
    message = (
        r"levels=\(1, 2, 4\): 4 bins per axis do not fit a map of 4x3; take smaller"
    )
    with pytest.raises(ConfigError, match=message):
        complexity.num_params(net, (8, 6, 3))
    assert complexity.num_params(net, (8, 8, 3))


@pytest.mark.parametrize("levels", [(), (0, 1), (3, -1)])
def test_levels_are_counts(levels):
    with pytest.raises(ConfigError, match=r"levels=.*must be bins along an axis"):
        SPP(levels)


def test_equal_pixels_of_a_bin_share_no_gradient():
    """One of them has it all; nothing is divided by how many there are."""

    def total(x):
        return SPP((1, 2))(Layers(LayersSpec(), True), x).sum()

    gradient = jax.grad(total)(jnp.ones((1, 4, 6, 2)))
    assert sorted(gradient[0, :, :, 0].ravel().tolist()) == [0] * 20 + [1] * 3 + [2]


# ---------------------------------------------------------------- in a config


def named(name, **model):
    """The spec of a config with these fields of `model`."""
    fields = {f"model.{path}": value for path, value in model.items()}
    config = tinytask.config(fields | {"model.name": name})
    return network(config, num_classes=10, devices=1)


def test_levels_make_a_pyramid_of_the_last_map():
    """cifar_resnet of 8 layers, 4, 8 and 16 channels: 16 (1 + 4) inputs, 10 outputs."""
    net = named("cifar_resnet", depth=8, width=0.25, levels=(1, 2)).build()
    x = jnp.asarray(maps(2, 16, 24, 3))
    variables = jax.jit(functools.partial(net.init, train=False))(jax.random.key(0), x)
    head = variables["params"]["head"]
    assert {name: leaf.shape for name, leaf in head.items()} == {
        "kernel": (16 * (1 + 4), 10),
        "bias": (10,),
    }

    @jax.jit
    def apply(x):
        return net.apply(
            variables, x, train=False, mutable=["intermediates"],
            capture_intermediates=lambda module, _: module.name == "stage3",
        )  # fmt: skip

    for size in ((16, 24), (9, 8)):  # maps of 4x6 and of 3x2
        logits, kept = apply(jnp.asarray(maps(2, *size, 3)))
        last = np.asarray(kept["intermediates"]["stage3"]["__call__"][0])
        pooled = np.stack([pyramid(one, (1, 2), exact) for one in last])
        expected = pooled @ np.asarray(head["kernel"]) + np.asarray(head["bias"])
        np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "name, model, image, kernel",
    [
        ("wide_resnet", {"depth": 10}, (8, 8, 1), (64 * 5, 10)),
        ("densenet", {"depth": 10}, (8, 8, 1), ((16 + 6 * 12) * 5, 10)),
        ("ghostnet", {"size": "digits", "width": 0.5}, (8, 8, 1), (80 * 5, 1280)),
        ("xception", {"size": "digits", "width": 0.125}, (8, 8, 1), (256 * 5, 10)),
        ("resnet_3d", {"depth": 18}, (32, 33, 33, 3), (512 * 9, 10)),
        ("vgg", {"depth": 7, "size": "digits"}, (8, 8, 1), (256 * 5, 10)),
    ],
)  # fmt: skip
def test_levels_of_any_net_that_pools(name, model, image, kernel):
    net = named(name, levels=(1, 2), **model).build()
    params = complexity.shapes(net, image)["params"]
    first = params.get("fc1", params["head"])
    assert first["kernel"].shape == kernel


@pytest.mark.parametrize("name", ["nin", "rkcnn"])
def test_levels_of_a_net_without_a_head_are_refused(name):
    others = {"depth": 32, "variant": "E"} if name == "rkcnn" else {}
    message = rf"model.levels: config.model='{name}' has no field 'levels'"
    with pytest.raises(ConfigError, match=message):
        named(name, levels=(1, 2), **others)


def test_a_level_too_large_ends_a_run_before_it_begins(shop, tmp_path, capsys):
    """Digits of 8x8 have a last map of 2x2."""
    argv = shop.command(tmp_path / "run", {"model.levels": (1, 3)})
    assert main(["main", *argv]) == 2
    assert capsys.readouterr().err == (
        "error[config] model.levels=(1, 3): 3 bins per axis do not fit a map of 2x2; "
        "take smaller levels, or larger images\n"
    )
    assert not (tmp_path / "run").exists()


# ---------------------------------------------------------------- regions of a map


def test_many_regions_of_one_map():
    x, levels = maps(11, 14, 3), (1, 2, 3, 6)
    boxes = [
        ((0, 0), (10, 13)), ((2, 3), (8, 12)), ((4, 4), (4, 4)), ((9, 0), (10, 5)),
    ]  # fmt: skip
    found = pooled_regions(jnp.asarray(x), jnp.asarray(boxes), levels=levels)
    for one, ((top, left), (bottom, right)) in zip(found, boxes, strict=True):
        cut = x[top : bottom + 1, left : right + 1]
        np.testing.assert_array_equal(one, pyramid(cut, levels, exact))
    whole = applied(SPP(levels), x[None])[0]
    np.testing.assert_array_equal(found[0], whole)


def test_regions_of_clips():
    x, levels = maps(5, 6, 7, 2), (2, 1)
    boxes = [((0, 1, 2), (3, 5, 6)), ((1, 1, 1), (4, 4, 4))]
    found = pooled_regions(jnp.asarray(x), jnp.asarray(boxes), levels=levels)
    for one, (low, high) in zip(found, boxes, strict=True):
        spans = zip(low, high, strict=True)
        cut = x[tuple(slice(a, b + 1) for a, b in spans)]
        np.testing.assert_array_equal(one, pyramid(cut, levels, exact))


def test_the_gradient_of_a_region_stays_inside_it():
    x = jnp.asarray(maps(8, 8, 1))
    boxes = jnp.asarray([[[2, 3], [5, 7]]])
    touched = jax.grad(lambda x: pooled_regions(x, boxes, levels=(1, 2)).sum())(x) != 0
    rows, columns, _ = np.nonzero(touched)
    assert 1 <= len(rows) <= 5
    assert rows.min() >= 2 and rows.max() <= 5
    assert columns.min() >= 3 and columns.max() <= 7


def test_corners_on_the_map():
    """x' = floor(x/S) + 1 and ceil(x/S) - 1, S = 16; what is left empty, and edges."""
    pixels = [
        ((0, 0), (224, 224)),
        ((15, 16), (100, 97)),
        ((33, 40), (47, 47)),  # no cell on either axis: 3 > 2, the middle is 2
        ((0, 0), (5, 5)),  # 1 > 0: the middle is 0
        ((300, 0), (400, 60)),  # beyond the image: the last row
    ]
    cells = [
        ((1, 1), (12, 12)), ((1, 2), (6, 6)), ((2, 2), (2, 2)), ((0, 0), (0, 0)),
        ((12, 1), (12, 3)),
    ]  # fmt: skip
    found = on_map(jnp.asarray(pixels), stride=16, size=(13, 13))
    # 224 / 16 - 1 is 13, of a map with cells 0 to 12
    np.testing.assert_array_equal(found, cells)
