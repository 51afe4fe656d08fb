"""Saliency: gradients on images and class activation maps, by their definitions."""

import dataclasses
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
import runs

from resnet_jax import saliency
from resnet_jax.analysis.saliency import BackwardRule, class_maps, input_gradient
from resnet_jax.errors import ConfigError, StorageError
from resnet_jax.models import complexity
from resnet_jax.models.layers.activations import Elu, PRelu, Relu
from resnet_jax.models.layers.layers import LayersSpec
from resnet_jax.models.layers.pyramid import SPP
from resnet_jax.models.nets.plain import FC, Conv, Flatten, MaxPool, Mean, PlainSpec
from resnet_jax.models.nets.resnet import ResNetSpec
from resnet_jax.models.nets.stem_head import Head
from resnet_jax.models.units.unit import FULL_PRE, UnitSpec
from resnet_jax.models.zoo.plain_nets import all_cnn, nin, vgg
from resnet_jax.paths import replaced

BARE = LayersSpec(norm=None, dtype="float64")
TINY = PlainSpec(
    records=(
        Conv(4, padding=0), Conv(5, padding=1), Conv(3, 1), Mean(), FC(None, ()),
    ),
    layers=BARE,
    num_classes=3,
)  # fmt: skip


def example(spec, size=6, images=2):
    """Made-up variables, and images; under float64."""
    generator = np.random.default_rng(3)
    variables = reference.draw(
        complexity.shapes(spec.build(), (size, size, 3)), generator
    )
    x = generator.normal(size=(images, size, size, 3))
    return jax.tree.map(jnp.asarray, variables), jnp.asarray(x)


# ---------------------------------------------------------------- back to the image

# Springenberg et al. 2015, Sec. 3.4 and Fig. 1: from R^(l+1) and f^l to R^l
RULES = {
    "gradient": lambda f, r: (f > 0) * r,
    "deconvnet": lambda f, r: (r > 0) * r,
    "guided": lambda f, r: (f > 0) * (r > 0) * r,
}


def across(signal, kernel, pad, size):
    """A convolution backwards: every output's signal to all that it has read."""
    k = len(kernel)
    back = np.zeros((len(signal), size + 2 * pad, size + 2 * pad, kernel.shape[2]))
    for i in range(signal.shape[1]):
        for j in range(signal.shape[2]):
            part = np.einsum("bd,klcd->bklc", signal[:, i, j], kernel)
            back[:, i : i + k, j : j + k] += part
    return back[:, pad : pad + size, pad : pad + size]


def by_hand(variables, images, rule, layer=None):
    """Forward and back through TINY; from the greatest output of a layer, or logit."""
    params = jax.tree.map(np.asarray, variables["params"])
    pads, inputs, signals, x = (0, 1, 0), [], [], np.asarray(images)
    for number, pad in enumerate(pads, 1):
        inputs.append(x)
        kernel = params[f"conv{number}"]["kernel"]
        x = reference.conv(x, kernel, pad=pad) + params[f"norm_{number}"]["bias"]
        signals.append(x)
        x = np.maximum(0, x)
    if layer is None:
        kernel = params["head"]["kernel"]
        logits = x.mean((1, 2)) @ kernel + params["head"]["bias"]
        mean = kernel[:, logits.argmax(1)].T / x[0, ..., 0].size
        r = np.broadcast_to(mean[:, None, None], x.shape)
        first = 3
    else:
        f = signals[layer - 1]
        highest = f.reshape(len(f), -1).argmax(1)
        r = np.zeros_like(f)
        r.reshape(len(f), -1)[np.arange(len(f)), highest] = 1
        first = layer
    for number in range(first, 0, -1):
        if number < first or layer is None:
            r = RULES[rule](signals[number - 1], r)
        kernel, seen = params[f"conv{number}"]["kernel"], inputs[number - 1]
        r = across(r, kernel, pads[number - 1], seen.shape[1])
    return r


@pytest.mark.parametrize("layer", [None, 2])
@pytest.mark.parametrize("rule", RULES)
def test_rules_are_the_papers(rule, layer, float64):
    variables, images = example(TINY)
    name = layer and f"norm_{layer}"
    found = input_gradient(TINY, variables, images, rule=rule, layer=name)
    expected = by_hand(variables, images, rule, layer)
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("act", [Relu(), PRelu("layer"), Elu()])
@pytest.mark.parametrize("rule", ["deconvnet", "guided"])
def test_any_rectifier_may_be_switched(act, rule, float64):
    """f(x) as before; back goes f'(x) max(0, R) or max(0, R), f' by differences."""
    layers = dataclasses.replace(BARE, act=act)
    spec = PlainSpec(records=(Conv(3, 1), Mean(), FC(None, ())), layers=layers)
    variables, images = example(spec, size=1)
    changed = replaced(spec, {"layers.act": BackwardRule(act, rule)})
    usual, same = (
        net.build().apply(variables, images, train=False) for net in (spec, changed)
    )
    np.testing.assert_array_equal(usual, same)
    assert changed.layers.act.slope == act.slope  # the gain at the start

    params = jax.tree.map(np.asarray, variables["params"])
    kernel = params["conv1"]["kernel"][0, 0]
    x = np.asarray(images)[:, 0, 0] @ kernel + params["norm_1"]["bias"]
    r = np.maximum(0, params["head"]["kernel"][:, np.asarray(usual).argmax(1)].T)
    if rule == "guided":
        slope = params["act_1"]["slope"] if isinstance(act, PRelu) else 0
        f = {
            Relu: lambda x: np.maximum(0, x),
            PRelu: lambda x: np.maximum(0, x) + slope * np.minimum(0, x),
            Elu: lambda x: np.where(x > 0, x, np.exp(x) - 1),
        }[type(act)]
        r = r * (f(x + 1e-6) - f(x - 1e-6)) / 2e-6
    found = input_gradient(spec, variables, images, rule=rule)
    np.testing.assert_allclose(found[:, 0, 0], r @ kernel.T, rtol=1e-8)


RESNET = ResNetSpec(
    depths=(3,),
    widths=(4,),
    stem_width=4,
    num_classes=3,
    layers=LayersSpec(dtype="float64"),
    unit=UnitSpec(order=FULL_PRE),
)


@pytest.mark.compile
def test_loops_over_units_change_nothing(float64):
    variables, images = example(RESNET)

    def guided(mode):
        spec = dataclasses.replace(RESNET, depth_mode=mode)
        return input_gradient(spec, variables, images, rule="guided")

    np.testing.assert_allclose(guided("scan"), guided("unroll"), rtol=1e-10, atol=1e-12)
    usual = input_gradient(RESNET, variables, images, rule="gradient")
    assert not np.allclose(guided("scan"), usual)


def test_through_pools_goes_what_was_greatest(float64):
    """The switches of a deconvnet are the gradient of a maximum."""
    records = (MaxPool(2, 2), Flatten(), FC(None, ()))
    spec = PlainSpec(records=records, layers=BARE, num_classes=3)
    variables, images = example(spec)
    for rule in RULES:
        back = np.asarray(input_gradient(spec, variables, images, rule=rule))
        cells = back.reshape(2, 3, 2, 3, 2, 3)
        assert ((cells != 0).sum((2, 4)) == 1).all()
        assert (np.asarray(images)[back != 0].size) == 2 * 9 * 3


def test_a_layer_that_is_not_there(float64):
    variables, images = example(RESNET)
    complaint = (
        r"--layer=stage1/first/branch/conv9: no such layer; stage1/first/branch has "
        r"conv1, .*conv2.*; did you mean 'stage1/first/branch/conv\d'"
    )
    with pytest.raises(ConfigError, match=complaint):
        input_gradient(
            RESNET, variables, images, rule="guided", layer="stage1/first/branch/conv9"
        )
    stacked = "stage1/rest/branch/conv1"
    complaint = f"--layer={stacked}: its units run in a loop; .* stage1/rest/0/branch"
    with pytest.raises(ConfigError, match=complaint):
        input_gradient(RESNET, variables, images, rule="guided", layer=stacked)


def test_the_neuron_of_a_unit_in_a_loop(float64):
    """Against differences of the most active neuron of a unit, in NumPy."""
    variables, images = example(RESNET)
    found = input_gradient(
        RESNET, variables, images, rule="gradient", layer="stage1/rest/0"
    )
    made_up = jax.tree.map(np.asarray, variables)

    class Second(reference.Net):
        def unit(self, x, at, *args, **kwargs):
            self.maps = [*self.maps, super().unit(x, at, *args, **kwargs)]
            return self.maps[-1]

    def most_active(x):
        net = Second(RESNET.depths, RESNET.widths, order="full pre-activation")
        net.maps = []
        net(np.asarray(x), made_up)
        return net.maps[1].reshape(len(x), -1).max(-1).sum()

    step = 1e-6 * np.sign(found)
    slope = (most_active(images + step) - most_active(images - step)) / 2
    np.testing.assert_allclose(slope, 1e-6 * np.abs(found).sum(), rtol=1e-5)


# ---------------------------------------------------------------- maps of classes

MAPPED = {
    "ResNet": RESNET,
    "VGG with the mean": vgg(7, size="digits", variant="mean", width=1 / 16),
    "All-CNN-C": all_cnn(size="digits", width=1 / 16),
    "NIN": nin(width=1 / 32),
    "3D": replaced(RESNET, {"layers.rank": 3}),
}


@pytest.mark.parametrize("name", MAPPED)
def test_the_mean_of_a_map_is_the_logit(name, float64):
    spec = replaced(MAPPED[name], {"layers.dtype": "float64"})
    net, size = spec.build(), (8, 14, 8)[: spec.layers.rank]
    shapes, generator = complexity.shapes(net, (*size, 3)), np.random.default_rng(2)
    variables = jax.tree.map(jnp.asarray, reference.draw(shapes, generator))
    images = jnp.asarray(generator.normal(size=(2, *size, 3)))
    maps = class_maps(spec, variables, images)
    logits = jax.jit(lambda x: net.apply(variables, x, train=False))(images)
    assert maps.ndim == 2 + len(size) and maps.shape[2] > maps.shape[1] > 1
    axes = tuple(range(1, maps.ndim - 1))
    np.testing.assert_allclose(maps.mean(axes), logits, rtol=1e-10, atol=1e-12)


def test_maps_are_the_features_weighted(float64):
    """Zhou et al. 2016, Eq. 2: M_c(h, w) = sum_k w_kc f_k(h, w), here with the bias."""
    variables, images = example(TINY)
    params = jax.tree.map(np.asarray, variables["params"])
    x = np.asarray(images)
    for number, pad in enumerate((0, 1, 0), 1):
        kernel = params[f"conv{number}"]["kernel"]
        x = reference.conv(x, kernel, pad=pad) + params[f"norm_{number}"]["bias"]
        x = np.maximum(0, x)
    expected = np.einsum("bhwk,kc->bhwc", x, params["head"]["kernel"])
    maps = (
        class_maps(TINY, variables, images) - params["head"]["bias"][None, None, None]
    )
    np.testing.assert_allclose(maps, expected, rtol=1e-10, atol=1e-12)


HIDDEN = (Conv(4), Mean(), FC(5), FC(None, ()))


@pytest.mark.parametrize(
    "spec",
    [
        vgg(16, size="cifar"),
        vgg(7, size="digits", levels=(2, 1)),
        PlainSpec(records=HIDDEN),
        replaced(RESNET, {"head": Head(SPP((1, 2)))}),
        replaced(RESNET, {"head": Head(hidden=(5,))}),
    ],
)
def test_nets_without_a_last_global_mean_have_no_maps(spec):
    with pytest.raises(ConfigError, match="--method=cam: is for nets that end with a"):
        class_maps(spec, {}, jnp.zeros((1, 32, 32, 3)))


# ---------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def run(tmp_path_factory, shop):
    """The folder of a short run."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    return shop.train(folder, {"train.steps": 4})


def command(capsys, run, *options):
    code = saliency.main(["saliency", "--workdir", str(run), *map(str, options)])
    return code, *capsys.readouterr()


@pytest.mark.compile
@pytest.mark.parametrize(
    "options",
    [
        ("--method=guided", "--images=3"),
        ("--method=deconvnet", "--images=1", "--layer=stage2/first/branch/conv1"),
        ("--method=cam", "--images=2"),
    ],
    ids=lambda options: options[0],
)
def test_pictures_are_written(run, capsys, tmp_path, options):
    pytest.importorskip("matplotlib")
    before, path = runs.listing(run), tmp_path / "a.png"
    code, out, err = command(capsys, run, *options, "--out", path)
    assert (code, err) == (0, "")
    method, number = (option.partition("=")[2] for option in options[:2])
    assert out == f"{path}: {method} on {number} test images\n"
    assert path.read_bytes()[:4] == b"\x89PNG"
    assert runs.listing(run) == before


@pytest.mark.compile
def test_a_run_without_a_best_checkpoint(run, capsys, tmp_path):
    """No validation split, no best."""
    out = tmp_path / "a.png"
    code, _, err = command(capsys, run, "--method=guided", "--best", "--out", out)
    assert (code, err.count("\n")) == (4, 1) and "best: no checkpoint yet" in err


@pytest.mark.parametrize(
    "options, complaint",
    [
        (["--method=grad"], "--method: invalid choice: 'grad'"),
        (["--method=guided", "--images=0"], "--images=0: must be from 1 to 64"),
        (["--method=cam", "--layer=a"], "--layer=a: --method=cam has no neuron"),
        ([], "the following arguments are required: --method"),
        (["--method=guided"], "holds no config.json, so no run"),
        (["--method=guided", "--out=a.gif"], "no figure format is named '.gif'; use"),
    ],
)
def test_wrong_options_are_one_line(options, complaint, capsys, tmp_path):
    out = tmp_path / "a.png"
    code, said, err = command(capsys, tmp_path, "--out", out, *options)
    assert (code, said, err.count("\n")) == (2, "", 1)
    assert complaint in err and not out.exists()


def test_without_matplotlib_it_is_refused_ahead_of_the_work(
    capsys, monkeypatch, tmp_path
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, said, err = command(capsys, tmp_path, "--method=guided", "--out=a.png")
    assert (code, said, err.count("\n")) == (2, "", 1)
    assert "resnet_jax[figures]" in err


def test_pictures_repeat_or_say_why_they_cannot_be_written(tmp_path):
    pytest.importorskip("matplotlib")
    from resnet_jax.report.saliency_figure import draw

    generator = np.random.default_rng(0)
    photos = generator.integers(0, 255, (2, 6, 6, 3)).astype(np.uint8)
    for maps in (generator.normal(size=(2, 6, 6, 3)), generator.normal(size=(2, 3, 3))):
        paths = [tmp_path / name for name in ("a.png", "b.png", "none/a.png")]
        told = {"labels": [4, 1], "predicted": [9, 1]}
        for path in paths[:2]:
            draw(path, photos, maps, **told)
        assert paths[0].read_bytes() == paths[1].read_bytes()
        with pytest.raises(StorageError, match=r"--out .*none/a\.png: No such file"):
            draw(paths[2], photos, maps, **told)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["gradients", "class maps"])
def test_pictures_have_a_scale_and_say_label_and_prediction(
    monkeypatch, tmp_path, channels, kind
):
    pytest.importorskip("matplotlib")
    from resnet_jax.report import saliency_figure

    kept, drawn = [], np.random.default_rng(0)
    monkeypatch.setattr(
        saliency_figure, "save", lambda made, *_, **__: kept.append(made)
    )
    photos = drawn.integers(0, 255, (9, 6, 6, channels)).astype(np.uint8)
    maps = drawn.normal(size=(9, 3, 3) if kind == "class maps" else photos.shape)
    labels, predicted = list(range(9)), [9, *range(1, 9)]
    saliency_figure.draw(
        tmp_path / "a.png", photos, maps, labels=labels, predicted=predicted
    )
    *grid, scale = kept[0].axes
    titles = [axes.get_title() for axes in grid if axes.get_title()]
    assert titles[:2] == ["label 0, predicted 9", "label 1, predicted 1"]
    assert len(titles) == 9 and len(grid) == 4 * 8
    shown = [axes for axes in grid if axes.images]
    assert len(shown) == 18
    if kind == "class maps":
        assert scale.get_ylim() == pytest.approx((maps.min(), maps.max()))
        assert scale.get_ylabel() == "logit of the predicted class"
    else:
        assert scale.get_ylim() == (-1, 1)
        assert scale.get_ylabel() == "share of the image's largest"
        picture = shown[8].images[0].get_array()  # the map below the first image
        shares = maps[0] / abs(maps[0]).max()
        # Grey levels are left to the colour map; colours are from 0 to 1.
        wanted = shares if channels == 1 else 0.5 + 0.5 * shares
        np.testing.assert_allclose(picture.reshape(wanted.shape), wanted)


def test_pictures_are_grey_where_nothing_acts():
    pytest.importorskip("matplotlib")
    from resnet_jax.report.saliency_figure import signed_share

    np.testing.assert_allclose(signed_share(np.array([-2.0, 0, 1])), [-1, 0, 0.5])
    np.testing.assert_allclose(signed_share(np.zeros(3)), 0)
