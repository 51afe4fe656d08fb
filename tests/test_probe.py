"""Init statistics: against another way to get them; their theory by hand."""

import dataclasses
import functools
import json
import math
import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from resnet_jax import probe
from resnet_jax.analysis import init_statistics as signals
from resnet_jax.config.resolve import configured, validated
from resnet_jax.errors import ConfigError, StorageError
from resnet_jax.models import complexity
from resnet_jax.models.layers import batchnorm
from resnet_jax.models.layers.activations import PRelu, Relu
from resnet_jax.models.layers.initializers import InitSpec
from resnet_jax.models.layers.layers import LayersSpec
from resnet_jax.models.nets.plain import FC, Conv, Mean, PlainSpec
from resnet_jax.models.nets.resnet import ResNetSpec
from resnet_jax.models.nets.stem_head import Head, Stem
from resnet_jax.models.units.unit import FULL_PRE, SE, UnitSpec
from resnet_jax.models.zoo import resnets
from resnet_jax.report import init_table

BARE = {
    "model.name": "plain",
    "model.depth": 14,
    "model.norm": "none",
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


def begun(net):
    """A start with He's variance, drawn by NumPy: nothing to compile."""
    rng = np.random.default_rng(0)
    shapes = flatten_dict(complexity.shapes(net.build(), (8, 8, 1)))

    def drawn(path, leaf):
        if path[-1] == "kernel":
            fan_in = np.prod(leaf.shape[:-1]) / (leaf.shape[0] if "rest" in path else 1)
            return rng.normal(0, (2 / fan_in) ** 0.5, leaf.shape)
        start = {"slope": 0.25, "scale": 1.0, "var": 1.0}.get(path[-1], 0.0)
        return np.full(leaf.shape, start)

    variables = {path: drawn(path, leaf) for path, leaf in shapes.items()}
    variables = jax.tree.map(jnp.float32, unflatten_dict(variables))
    images = jnp.float32(rng.normal(size=(6, 8, 8, 1)))
    labels = jnp.arange(6) % net.num_classes
    return signals.Start({"batch_stats": {}} | variables, images, labels, {})


def measured(net, start, **options):
    """{path: (moments of y, moments of dy)} in forward order."""
    found = signals.kernels(net, start)
    program = functools.partial(signals.measured, net.build(), found, **options)
    results = jax.device_get(jax.jit(program)(start))
    return {place.path: results[place.path] for place in found}


CHAIN = ResNetSpec(
    depths=(1, 3), widths=(4, 8), stem_width=4, num_classes=5,
    unit=UnitSpec(resnets.MIXED, shortcut="none"), layers=LayersSpec(PRelu(), None),
)  # fmt: skip


def chain_kernels(params):
    """(path, unit, kernel, strides) of the convolutions of CHAIN, from the stem on."""
    yield ("stem_conv",), None, params["stem_conv"]["kernel"], 1
    for stage, part, unit in [
        ("stage1", "first", None),
        ("stage2", "first", None),
        *(("stage2", "rest", unit) for unit in range(2)),
    ]:
        for i in range(1, 5):
            path = (stage, part, "branch", f"conv{i}")
            kernel = params[stage][part]["branch"][f"conv{i}"]["kernel"]
            kernel = kernel if unit is None else kernel[unit]
            yield (
                path,
                unit,
                kernel,
                2 if (stage, part, i) == ("stage2", "first", 1) else 1,
            )


def by_hand(start):
    """The outputs of a PReLU chain and their gradients: zeros added, lax alone."""
    params = start.variables["params"]
    kernels = list(chain_kernels(params))

    def loss(shifts):
        x, outputs = start.images, []
        for (_, _, kernel, strides), shift in zip(kernels, shifts, strict=True):
            pad = kernel.shape[0] // 2
            y = shift + jax.lax.conv_general_dilated(
                x, kernel, (strides,) * 2, [(pad, pad)] * 2,
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )  # fmt: skip
            outputs.append(y)
            x = jnp.where(y > 0, y, 0.25 * y)
        head = params["head"]
        logits = x.mean((1, 2)) @ head["kernel"] + head["bias"].reshape(1, -1)
        nll = -jax.nn.log_softmax(logits)[jnp.arange(len(logits)), start.labels]
        return nll.sum(), outputs

    sizes = [8] * 5 + [4] * 12
    shifts = [
        jnp.zeros((len(start.images), size, size, kernel.shape[-1]))
        for size, (_, _, kernel, _) in zip(sizes, kernels, strict=True)
    ]
    gradients, outputs = jax.jit(jax.grad(loss, has_aux=True))(shifts)
    return kernels, outputs, gradients


@pytest.mark.compile
@pytest.mark.parametrize("mode", ["scan", "remat", "sqrt"])
def test_moments_are_those_of_a_chain_by_hand(mode):
    net = signals.probe_spec(dataclasses.replace(CHAIN, depth_mode=mode))
    start = begun(net)
    found = measured(net, start)
    assert len(found) == 1 + 4 + 4 + 4 + 1
    for (path, unit, _, _), *arrays in zip(*by_hand(start), strict=True):
        for moments, array in zip(found[path], arrays, strict=True):
            wanted = [np.var(array), np.mean(np.square(array))]
            got = moments if unit is None else moments[unit]
            np.testing.assert_allclose(got, wanted, rtol=1e-4)


@pytest.mark.compile
def test_layers_of_any_net_are_measured_in_training_mode():
    """Behind a batch's own norm nothing depends on the size of the stem's kernel."""
    unit = UnitSpec(order=FULL_PRE, gate=SE(1))
    layers = LayersSpec(norm=batchnorm.TORCH)
    net = dataclasses.replace(CHAIN, depths=(1, 2), unit=unit, layers=layers)
    start = begun(net)
    found, paths = measured(net, start), flatten_dict(start.variables["params"])
    assert {(*path, "kernel") for path in found} == {
        path for path in paths if path[-1] == "kernel"
    }
    start.variables["params"]["stem_conv"]["kernel"] *= 8
    scaled = measured(net, start)
    for path, (signal, gradient) in found.items():
        assert (signal > 0).all() and (gradient > 0).all()
        times = 64 if path == ("stem_conv",) else 1
        np.testing.assert_allclose(scaled[path][0], times * signal, rtol=1e-2)
        np.testing.assert_allclose(scaled[path][1], gradient / times, rtol=1e-2)


def test_a_net_of_another_family_is_measured_without_theory():
    """Two strides of one layer, and a hidden layer that is not a convolution."""
    records = (Conv(4, strides=2), Mean(), FC(6), FC(None, steps=()))
    net = PlainSpec(records=records, num_classes=5)
    found = measured(net, begun(net))
    assert list(found) == [("conv1",), ("fc1",), ("head",)]
    assert not signals.is_chain(signals.probe_spec(net))
    stretched = dataclasses.replace(CHAIN, stem=Stem(strides=(1, 2)))
    first, *_ = signals.kernels(stretched, begun(stretched))
    assert first.fan_out == 9 * 4 / 2


CHANGES = {
    "stem": Stem(pool=(3, 2)),
    "head": Head(hidden=(6,)),
    "unit": UnitSpec(resnets.MIXED, shortcut="A"),
    "layers": LayersSpec(),
}


@pytest.mark.parametrize("field", CHANGES)
def test_a_chain_is_convolutions_and_rectifiers_alone(field):
    assert signals.is_chain(CHAIN)
    assert not signals.is_chain(dataclasses.replace(CHAIN, **{field: CHANGES[field]}))


def test_label_smoothing_moves_the_gradient():
    """dlogits = softmax - target: all 1/5 - target where logits are 0."""
    net = dataclasses.replace(CHAIN, depths=(1,), widths=(4,))
    start = begun(net)
    head = start.variables["params"]["head"]
    start.variables["params"]["head"] = jax.tree.map(jnp.zeros_like, head)
    for smoothing, square in ((0.0, 0.16), (0.5, 0.04)):  # (1 - s)^2 (1/5)(4/5)
        _, gradient = measured(net, start, smoothing=smoothing)[("head",)]
        np.testing.assert_allclose(gradient[1], square, rtol=1e-5)


# ---------------------------------------------------------------- theory


@pytest.mark.parametrize("kind", ["he", "xavier", "orthogonal"])
@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
@pytest.mark.parametrize("slope", [0.0, 0.25])
@pytest.mark.parametrize("shape", [(3, 3, 16, 64), (1, 1, 64, 128), (1, 1, 128, 32)])
def test_variance_of_the_weights_is_that_of_drawn_ones(kind, mode, slope, shape):
    init = InitSpec(kind, mode)
    w = init(slope=slope)(jax.random.key(0), shape)
    expected = init.variance(shape, slope=slope)
    assert abs(np.square(w).mean() / expected - 1) < 5 * math.sqrt(2 / w.size)


def test_factors_and_names_of_a_plain_net(layers):
    """14 layers of He's fan_in: forward factors 1, and backward 1 but for strides."""
    assert len(layers) == 14
    assert layers[0].name == "stem_conv" and layers[-1].name == "head"
    assert layers[5].name == "stage2/first/branch/conv1"
    assert (layers[5].fan_in, layers[5].fan_out) == (9 * 16, 9 * 32 / 4)
    assert (layers[9].fan_in, layers[9].fan_out) == (9 * 32, 9 * 64 / 4)
    assert all(math.isclose(layer.forward_factor, 1) for layer in layers[:-1])
    ratios = {5: 1 / 2, 9: 1 / 2}  # twice the channels, a quarter of the pixels
    for number, layer in enumerate(layers[1:-1], 1):
        assert math.isclose(layer.backward_factor, ratios.get(number, 1))
    assert layers[-1].forward_factor is layers[-1].theory is None


@pytest.mark.compile
def test_theory_of_he_and_xavier(folder):
    """Eq. 9 and 13: Xavier halves 12 times in 13 convolutions, He never."""
    he, xavier = (
        signals.probed(config(data__dir=folder, model__init=init), batch=16, seeds=1)
        for init in ("he_fan_in", "xavier")
    )
    stem, *_, last, _ = he
    assert math.isclose(last.theory, stem.theory)
    assert math.isclose(xavier[-2].theory, xavier[0].theory / 2**12)
    assert math.isclose(xavier[0].theory, he[0].theory / 2)
    for row in (he, xavier):
        assert row[-2].gradient_theory == row[-2].gradient_mean_square[0]
    # Two strided layers, each a quarter of the pixels and twice the channels
    assert math.isclose(stem.gradient_theory, last.gradient_theory / 4)
    halved = xavier[-2].gradient_theory / 2**12 / 4
    assert math.isclose(xavier[0].gradient_theory, halved)


def test_wide_nets_follow_the_theory_where_no_border_shrinks_them():
    """1x1 convolutions of 256 channels; a layer is off by 5/c at most in variance."""
    unit = UnitSpec(resnets.B((1, 1, 1, 1)), shortcut="none")
    net = dataclasses.replace(
        CHAIN, depths=(2,), widths=(256,), stem_width=256, unit=unit,
        layers=LayersSpec(Relu(), None, InitSpec("he", "fan_in")),
    )  # fmt: skip
    start = begun(net)
    found = list(measured(net, start).values())
    last = found[-2][0][0][..., 1]
    first = found[1][0][1]  # past the stem, whose border does shrink
    assert abs(math.log(float(last) / float(first))) < 4 * math.sqrt(5 * 7 / 256)


SMALL = {
    "model.name": "cifar_resnet", "model.depth": 5, "model.unit.branch": "single",
    "model.unit.shortcut": "none",
}  # fmt: skip


@pytest.mark.compile
@pytest.mark.parametrize(
    "changes",
    [
        SMALL | {"model.norm": "batch"},
        SMALL | {"model.unit.shortcut": "B"},
        SMALL | {"model.init": "lsuv"},
    ],
)
def test_nets_that_the_paper_does_not_treat_have_no_theory(changes, folder):
    found = signals.probed(config(data__dir=folder, **changes), batch=16, seeds=1)
    assert all(layer.theory is layer.gradient_theory is None for layer in found)
    assert all(layer.mean_square[0] > 0 for layer in found)
    if changes.get("model.init") == "lsuv":  # on this very batch
        assert all(abs(layer.variance[0] - 1) < 0.1 for layer in found)


def test_stochastic_depth_is_probed_with_every_unit_open(folder):
    changes = SMALL | {"model.unit.shortcut": "B", "data.dir": folder}
    dropped = {"model.unit.stochastic_depth": "drop"}
    dropped |= {"model.unit.stochastic_depth.survival_prob": 0.1}
    one, other = (
        signals.probed(config(**changes, **more), batch=16, seeds=1)
        for more in ({}, dropped)
    )
    assert one == other


def test_a_seed_is_that_of_its_run(layers, folder):
    """The second of two seeds is the first one of a config one further on."""
    [*other] = signals.probed(config(data__dir=folder, seed=1), batch=16, seeds=1)
    for layer, alone in zip(layers, other, strict=True):
        assert layer.variance[0] != layer.variance[1] == alone.variance[0]
        assert layer.gradient_variance[1] == alone.gradient_variance[0]


# ---------------------------------------------------------------- the command

EXPERIMENT = """
from resnet_jax.config import configured
BASE = {base}
ROWS = {{"He": {{}}, "Xavier": {{"model.init": "xavier"}}}}
def get_config(row="He"):
    return configured(BASE, ROWS, row)
"""


@pytest.fixture
def command(tmp_path, folder, capsys):
    """run(*options) -> (exit code, stdout, stderr) on a file of two rows."""
    file = tmp_path / "lab.py"
    file.write_text(EXPERIMENT.format(base=BARE | {"data.dir": folder}))

    def run(*options, row="He"):
        code = probe.main(["probe", "--config", f"{file}:{row}", *options])
        return code, *capsys.readouterr()

    return run


def test_table_has_a_row_a_layer(command, layers, tmp_path):
    png = tmp_path / "a.png"
    code, out, _ = command("--batch=16", "--seeds=2", f"--figure={png}")
    assert png.read_bytes()[:4] == b"\x89PNG"
    header, rule, *rows = out.strip().splitlines()
    assert code == 0 and out.strip() == init_table.render(layers, "md")
    assert len({len(line) for line in (header, rule, *rows)}) == 1
    assert len(rows) == 14
    named = zip(header.split("|"), rows[1].split("|"), strict=True)
    cells = {name.strip(): cell.strip() for name, cell in named}
    assert cells["Layer"] == "stage1/first/branch/conv1"
    assert (cells["n"], cells["m"]) == ("144", "144")
    assert cells["Eq. 10"] == cells["Eq. 14"] == "1"
    mean, std = map(float, cells["Var[y]"].split("±"))
    assert mean == pytest.approx(np.mean(layers[1].variance), rel=1e-2)
    assert std == pytest.approx(np.std(layers[1].variance, ddof=1), rel=0.1)
    assert init_table.NONE in rows[-1]


@pytest.mark.compile
def test_json_and_changed_fields(command):
    code, out, _ = command(
        "--format=json", "--batch=8", "--seeds=1", "--config.model.depth=18",
        row="Xavier",
    )  # fmt: skip
    rows = json.loads(out)
    assert code == 0 and len(rows) == 18
    assert rows[1]["forward_factor"] == pytest.approx(0.5)
    assert rows[-1]["theory"] is None and len(rows[0]["variance"]) == 1


def test_numbers_that_are_not_finite_are_told(layers):
    odd = dataclasses.replace(layers[0], variance=(math.inf, 1.0), theory=math.nan)
    assert "inf" in init_table.render([odd], "md")
    (row,) = json.loads(init_table.render([odd], "json"))
    assert row["variance"] == [None, 1.0] and row["theory"] is None


def test_figures_are_written_and_repeat(layers, tmp_path):
    pytest.importorskip("matplotlib")
    from resnet_jax.report.init_figure import draw

    for suffix, start in ((".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")):
        paths = [tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"]
        for path in paths:
            draw(layers, path, title="$a_b")
        pictures = [path.read_bytes() for path in paths]
        assert pictures[0].startswith(start) and pictures[0] == pictures[1]
    with pytest.raises(StorageError, match=r"--figure .*none/a\.png: No such file"):
        draw(layers, tmp_path / "none" / "a.png", title="a")


def test_a_figure_without_matplotlib_is_refused_ahead_of_the_work(
    command, monkeypatch, tmp_path
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, out, err = command("--figure", str(tmp_path / "a.png"))
    assert code == 2 and not out
    assert err.count("\n") == 1 and "resnet_jax[figures]" in err


@pytest.mark.parametrize(
    "options, complaint",
    [
        (["--seeds=0"], "--seeds=0: must be at least 1"),
        (["--batch=x"], "--batch: invalid int value: 'x'"),
        (["--figure=a.gif"], "--figure a.gif: no figure format is named '.gif'; use"),
        (["--config.model.depht=3"], "did you mean"),
        (["--config.model.depth=20"], r"model.depth=20: must be 4n\+2"),
        (["--nonsense"], "--nonsense: not understood"),
    ],
)
def test_wrong_options_are_one_line(command, options, complaint):
    code, out, err = command(*options)
    assert code == 2 and not out and err.count("\n") == 1
    assert re.search(complaint, err)


def test_help_explains_the_command(capsys):
    assert probe.main(["probe", "--help"]) == 0
    assert "--figure FILE" in capsys.readouterr().out


# ---------------------------------------------------------------- the nets


@pytest.mark.parametrize(
    "depth, units", [(14, (1, 1, 1)), (22, (1, 2, 2)), (30, (2, 2, 3))]
)
def test_depth_of_plain_nets(depth, units):
    net = resnets.plain(depth, width=2.0, shortcut="none")
    assert net.depths == units and net.widths == (32, 64, 128)
    assert complexity.parts(net.build(), (8, 8, 1)).weighted_layers == depth


@pytest.mark.parametrize(
    "depth, unit, complaint",
    [
        (24, {"shortcut": "none"}, r"model.depth=24: must be 4n\+2"),
        (10, {"shortcut": "none"}, "model.depth=10: must be at least 14"),
        (22, {}, "no shortcuts; .* give shortcut='none'"),
        (22, {"shortcut": "none", "branch": resnets.MIXED}, "leave out .branch. and"),
    ],
)
def test_wrong_plain_nets(depth, unit, complaint):
    with pytest.raises(ConfigError, match=complaint):
        resnets.plain(depth, **unit)
