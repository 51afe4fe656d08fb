"""Channel pruning: what is chosen and fitted, what is left, and what that computes."""

import dataclasses
import json

import comparing
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiers
from sklearn.linear_model import Lasso, LinearRegression

import resnet_jax
from resnet_jax.errors import ConfigError
from resnet_jax.models import complexity, serialize
from resnet_jax.models.layers.activations import PRelu
from resnet_jax.models.layers.layers import LayersSpec
from resnet_jax.models.nets.plain import FC, Conv, Flatten, MaxPool, Mean, PlainSpec
from resnet_jax.models.units.branch import BOTTLENECK, BOTTLENECK_3X3
from resnet_jax.models.units.cut import Cut
from resnet_jax.models.units.unit import FULL_PRE, ORIGINAL, RELU_BEFORE_ADDITION
from resnet_jax.prune import budget, channels, regression
from resnet_jax.prune.place import at, of_pixels
from resnet_jax.prune.place import width as channels_of
from resnet_jax.prune.places import filled, places, prepared, sliced, without
from resnet_jax.prune.seen import seen
from resnet_jax.prune.separate import separated

F64 = LayersSpec(dtype="float64")


def resnet(depth, **fields):
    spec = resnet_jax.cifar_resnet(depth, width=0.5, **fields)
    return dataclasses.replace(spec, layers=F64)


def plain(*records, layers=F64):
    return PlainSpec(records=(*records, FC(None, ())), layers=layers)


VGG = (Conv(6), Conv(8, 3), MaxPool(), Conv(10, 1), Mean())
NETS = {
    "plain": plain(*VGG),
    "without norms": plain(*VGG, layers=dataclasses.replace(F64, norm=None)),
    "strided, flattened": plain(Conv(6), Conv(8, 3, 2), Conv(5, 1), Flatten()),
    "PReLU": plain(*VGG, layers=dataclasses.replace(F64, act=PRelu())),
    "basic": resnet(8),
    "bottleneck": resnet(11, branch=BOTTLENECK),
    "bottleneck, 3x3": resnet(11, branch=BOTTLENECK_3X3, order=RELU_BEFORE_ADDITION),
    "pre-activation": resnet(8, order=FULL_PRE, shortcut="A"),
    "DenseNet": dataclasses.replace(
        resnet_jax.densenet(10, growth=4, stem_width=6), layers=F64
    ),
    "Xception": dataclasses.replace(
        resnet_jax.xception(size="digits", width=1 / 8, middle_units=1),
        layers=F64, num_classes=10,
    ),
}  # fmt: skip
IMAGES = comparing.drawn(6, 8, 8, 3)


def made(spec):
    return comparing.made(spec.build(), IMAGES, train=False)


def run(spec, variables):
    return comparing.run(spec.build(), variables, IMAGES, train=False)[0]


# --- selection and reconstruction, against NumPy and scikit-learn

SAMPLES, CHANNELS, PLACES, OUTPUTS = 400, 9, 4, 5


@pytest.fixture(scope="module")
def problem():
    """Inputs that depend on each other, a kernel, and outputs that it explains."""
    random = np.random.default_rng(0)
    x = np.maximum(random.normal(size=(SAMPLES, PLACES, CHANNELS)), 0)
    x = x @ (np.eye(CHANNELS) + 0.3 * random.normal(size=(CHANNELS, CHANNELS)))
    kernel = random.normal(size=(PLACES, CHANNELS, OUTPUTS))
    kernel *= random.uniform(0.1, 2, size=(CHANNELS, 1))
    y = x.reshape(SAMPLES, -1) @ kernel.reshape(-1, OUTPUTS) + 1.7
    return x, kernel, y + 0.1 * random.normal(size=y.shape)


def sampled(x, y, *, rows=77):
    samples = regression.Samples(x[0].size)
    for start in range(0, len(x), rows):
        part = slice(start, start + rows)
        samples.add(x[part].reshape(len(x[part]), -1), y[part])
    return samples


def lasso_of_scikit_learn(x, kernel, y, keep):
    """Lambda by bisection, down to the smallest one that leaves so many channels."""
    z = np.einsum("ipc,pcn->inc", x, kernel)
    z, y = (z - z.mean(0)).reshape(-1, x.shape[-1]), (y - y.mean(0)).ravel()

    def left(penalty):
        solver = Lasso(penalty, fit_intercept=False, tol=1e-9, max_iter=100_000)
        return solver.fit(z, y).coef_ != 0

    low, high = 1e-6, 1e3
    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if left(middle).sum() > keep else (low, middle)
    return left(high)


@pytest.mark.parametrize("keep", [2, 5, 8])
def test_the_lasso_is_that_of_scikit_learn(problem, keep):
    x, kernel, y = problem
    mask = regression.selected(sampled(x, y), kernel, keep, shifted=True)
    assert mask.sum() == keep
    np.testing.assert_array_equal(mask, lasso_of_scikit_learn(x, kernel, y, keep))


@pytest.mark.parametrize("shifted", [True, False], ids=["offset", "none"])
def test_least_squares_are_those_of_all_samples(problem, shifted):
    x, kernel, y = problem
    mask = np.arange(CHANNELS) % 2 == 0
    samples = sampled(x, y)
    new, offset = regression.reconstructed(samples, mask, kernel.shape, shifted=shifted)
    inputs = x[..., mask].reshape(SAMPLES, -1)
    known = LinearRegression(fit_intercept=shifted).fit(inputs, y)
    found = new[:, mask].reshape(-1, OUTPUTS)
    np.testing.assert_allclose(found, known.coef_.T, atol=1e-12)
    np.testing.assert_allclose(offset, known.intercept_ + np.zeros(OUTPUTS), atol=1e-11)
    assert not new[:, ~mask].any()
    left = ((y - known.predict(inputs)) ** 2).sum() / ((y - y.mean(0)) ** 2).sum()
    error = regression.relative_error(samples, new, offset)
    np.testing.assert_allclose(error, left**0.5, rtol=1e-9)


def test_all_channels_give_the_kernel_back(problem):
    x, kernel, _ = problem
    y = x.reshape(SAMPLES, -1) @ kernel.reshape(-1, OUTPUTS)
    every = np.ones(CHANNELS, bool)
    new, _ = regression.reconstructed(sampled(x, y), every, kernel.shape, shifted=False)
    np.testing.assert_allclose(new, kernel, atol=1e-11)


def test_channels_that_give_nothing_are_not_chosen(problem):
    x, kernel, y = problem
    x, kernel = x.copy(), kernel.copy()
    x[..., 3], kernel[:, 5] = 0, 0
    mask = regression.selected(sampled(x, y), kernel, CHANNELS - 2, shifted=True)
    assert np.flatnonzero(~mask).tolist() == [3, 5]
    fewer = regression.selected(sampled(x, y), kernel, CHANNELS - 1, shifted=True)
    assert fewer.sum() == CHANNELS - 1 and fewer[mask].all()


# --- samples of a network


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", ["strided, flattened", "bottleneck", "Xception"])
def test_samples_are_what_kernels_see(name):
    """Weights times inputs are outputs; kernels over the edges see zeros."""
    spec, variables = prepared(NETS[name], made(NETS[name]))
    points = np.random.default_rng(0).random((len(IMAGES), 20, 2))
    convs = [*channels.convolutions(spec, variables)]
    for place in convs[:4]:
        found = seen(spec.build(), place, variables, IMAGES, points)
        kernel = channels._matrix(variables, place)
        product = np.einsum("rpc,pcn->rn", found.inputs, kernel)
        np.testing.assert_allclose(product, found.outputs, atol=1e-12)
        assert len(product) == 20 * len(IMAGES)


@pytest.mark.usefixtures("float64")
def test_a_branch_that_may_be_skipped_is_scaled_at_test():
    """Its shortcut is in units of the branch: p (h / p + f) is what the unit gives."""
    spec = dataclasses.replace(NETS["pre-activation"], survival=0.5)
    spec, variables = prepared(spec, made(spec))
    points = np.random.default_rng(0).random((len(IMAGES), 5, 2))
    place = next(p for p in places(spec) if p.unit == "stage2/first")
    found = seen(spec.build(), place, variables, IMAGES, points)
    unit = resnet_jax.features(spec.build(), variables, IMAGES, at=place.unit)
    y = np.asarray(unit[place.unit])
    row, column = np.moveaxis((points * y.shape[1]).astype(int), -1, 0)
    given = y[np.arange(len(y))[:, None], row, column].reshape(-1, y.shape[-1])
    p = 1 - 2 / 3 * 0.5
    expected = p * (np.asarray(found.shortcut) + np.asarray(found.outputs))
    np.testing.assert_allclose(expected, given, atol=1e-10)


def test_what_follows_a_branch_must_be_linear_to_correct_its_shortcut():
    for order, corrected in ((ORIGINAL, True), (RELU_BEFORE_ADDITION, False)):
        spec = separated(resnet(8, order=order), {})[0]
        assert any(place.unit for place in places(spec)) == corrected


# --- whole networks


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", tiers.one_in(3, NETS))
def test_a_rebuilt_net_is_the_masked_one(name):
    """Twice: the second time a net is cut that is cut."""
    spec, variables = NETS[name], made(NETS[name])
    for share in (0.7, 0.6):
        spec, variables = prepared(spec, variables)
        variables = jax.tree.map(np.copy, variables)
        masks = {}
        may = channels.convolutions(spec, variables)
        for i, (place, count) in enumerate(may.items()):
            order = np.random.default_rng(i).permutation(count)
            masks[place.reader] = order < max(1, share * count)
            kernel = at(variables["params"], place.reader)["kernel"]
            kernel[..., ~of_pixels(masks[place.reader], kernel), :] = 0
        expected = run(spec, variables)
        masks = filled(spec, variables, masks)
        spec, variables = without(spec, masks), sliced(spec, variables, masks)
        np.testing.assert_allclose(run(spec, variables), expected, atol=1e-10)
        shapes = complexity.shapes(spec.build(), IMAGES.shape[1:])
        sizes = [jax.tree.map(np.shape, t["params"]) for t in (variables, shapes)]
        assert sizes[0] == sizes[1]
        text = json.dumps(serialize.to_json(spec))
        assert serialize.from_json(json.loads(text)) == spec


def useless(spec, variables, share):
    """Variables of which a share of the channels of every place is read by nothing."""
    spec, variables = prepared(spec, variables)
    variables = jax.tree.map(np.copy, variables)
    for place in places(spec):
        kernel = at(variables["params"], place.reader)["kernel"]
        if kernel.ndim > 2:
            count = channels_of(place, variables)
            kernel[..., : int(share * count), :] = 0
    return spec, variables


@pytest.mark.usefixtures("float64")
@pytest.mark.compile
@pytest.mark.parametrize("name", ["without norms", "bottleneck", "pre-activation"])
def test_what_nothing_reads_is_cut_and_no_output_changes(name):
    spec, variables = useless(NETS[name], made(NETS[name]), 0.5)
    cut, left, layers = channels.pruned(
        spec, variables, lambda: [IMAGES], speedup=1.5, points=200
    )
    assert all(layer.error < 1e-8 for layer in layers)
    np.testing.assert_allclose(run(cut, left), run(spec, variables), atol=1e-8)
    counts = [complexity.count(net, IMAGES.shape[1:]) for net in (spec, cut)]
    assert counts[0].multiply_adds >= 1.5 * counts[1].multiply_adds


@pytest.mark.usefixtures("float64")
@pytest.mark.compile
def test_the_error_of_a_shortcut_is_made_good():
    """Where the input of a unit is wrong, its branch adds what the shortcut lacks."""
    spec, variables = prepared(NETS["basic"], made(NETS["basic"]))
    place = [p for p in places(spec) if p.unit][1]
    wrong = jax.tree.map(np.copy, variables)
    wrong["params"]["stage1"]["first"]["branch"]["conv2"]["kernel"] *= 0.9
    samples = channels._samples(spec, place, variables, wrong, [IMAGES], 50, 0)
    points = np.random.default_rng(0).random((len(IMAGES), 50, 2), np.float32)
    old, new = (
        seen(spec.build(), place, tree, IMAGES, points) for tree in (variables, wrong)
    )
    stats = at(variables["batch_stats"], "stage2/first/branch/norm_2")
    scale = at(variables["params"], "stage2/first/branch/norm_2")["scale"]
    gain = np.asarray(scale / np.sqrt(stats["var"] + 1e-5))
    error = np.asarray(old.shortcut) - np.asarray(new.shortcut)
    wanted = np.asarray(old.outputs) + error / gain
    assert np.abs(error).max() > 0.01
    rows = np.concatenate([new.inputs.reshape(len(wanted), -1), wanted], 1)
    rows = np.concatenate([np.ones((len(rows), 1)), rows], 1)
    triangle = samples.triangle
    np.testing.assert_allclose(triangle.T @ triangle, rows.T @ rows, atol=1e-9)


@pytest.mark.compile
def test_the_order_of_known_channels():
    """Useful channels are found where the first ones and large weights are not."""
    spec = plain(Conv(12, 1, steps=("act",)), Conv(6, 1, steps=("act",)), Mean())
    spec = dataclasses.replace(spec, layers=LayersSpec())
    random, images = np.random.default_rng(0), comparing.drawn(50, 4, 4, 3)
    images = images.astype(np.float32)
    first = jnp.asarray(images[:1])
    variables = spec.build().init(jax.random.key(0), first, train=False)
    variables = jax.tree.map(np.array, dict(variables))
    useful = np.array([1, 4, 7, 10])
    read = np.isin(np.arange(12), useful)
    variables["params"]["conv1"]["kernel"][..., ~read] *= 10  # but nothing reads them
    variables["params"]["conv2"]["kernel"][..., ~read, :] *= 1e-3 * random.random()
    found = {}
    for select in ("lasso", "first", "response"):
        cut, _, layers = channels.pruned(
            spec, variables, lambda: [images], speedup=2.5, select=select
        )
        assert cut.records[0].features == layers[0].kept == 4
        found[select] = layers[0].error
    assert found["lasso"] < 0.1 < 0.3 < min(found["first"], found["response"])


# --- how much of each layer


@pytest.mark.usefixtures("float64")
def test_a_speedup_is_reached_and_no_more_is_cut_than_that():
    spec, variables = prepared(NETS["bottleneck"], made(NETS["bottleneck"]))
    shape = IMAGES.shape[1:]
    may = channels.convolutions(spec, variables)
    kept = budget.widths(spec, shape, may, speedup=1.6)
    masks = {p.reader: np.arange(n) < kept[p] for p, n in may.items()}
    cut = without(spec, filled(spec, variables, masks))
    whole, left = (complexity.count(net, shape).multiply_adds for net in (spec, cut))
    assert 1.6 <= whole / left < 1.75
    whole_layers = budget.widths(
        spec, shape, may, speedup=1.3, ratios=[("stage1", 0.0), ("stage2/first", 2.0)]
    )
    for place, channels_now in may.items():
        share = whole_layers[place] / channels_now
        if place.reader.startswith("stage1"):
            assert share == 1
    shares = {
        stage: np.mean([
            whole_layers[place] / count
            for place, count in may.items()
            if place.reader.startswith(stage)
        ])
        for stage in ("stage2", "stage3")
    }  # fmt: skip
    assert 1.7 < shares["stage2"] / shares["stage3"] < 2.3


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"speedup": 1e6}, r"speedup=1000000.0: cannot be reached; .* it is \d"),
        ({"ratios": [("conv9", 1.0)]}, "ratios: 'conv9' is no layer .* conv1, conv2"),
        ({"points": 1}, "conv2: 6 sampled points are too few for"),
    ],
    ids=["speed-up", "names", "points"],
)
def test_what_cannot_be_cut_so(changes, told):
    spec = dataclasses.replace(NETS["plain"], layers=LayersSpec())
    fields = {"speedup": 2.0} | changes
    images = IMAGES.astype(np.float32)
    with pytest.raises(ConfigError, match=told):
        channels.pruned(spec, made(spec), lambda: [images], **fields)


# He et al. 2017, released: widths of the convolutions (channel_pruning.prototxt)
VGG_5X = (24, 22, 41, 51, 108, 89, 111, 184, 276, 228, 512, 512, 512)


@pytest.mark.compile
def test_the_released_vgg_16():
    """15,346,630,656 multiply-adds of convolutions are asserted in lib/cfgs.py."""
    spec = resnet_jax.vgg(16)
    widths = iter(VGG_5X)
    records = tuple(
        dataclasses.replace(record, features=next(widths))
        if isinstance(record, Conv)
        else record
        for record in spec.records
    )
    cut = dataclasses.replace(spec, records=records)
    tables = [resnet_jax.summary(net, (224, 224, 3)) for net in (spec, cut)]
    whole, left = (
        sum(row.multiply_adds for row in table.layers if "conv" in row.name)
        for table in tables
    )
    assert whole == 15_346_630_656
    assert f"{left / 1e9:.3f} {whole / left:.2f}" == "3.392 4.52"


# He et al. 2017, released ResNet-50 (resnet-50-cp.prototxt): inputs read, two widths
RESNET_2X = (
    (35, 64, 55), (101, 51, 39), (97, 50, 37),
    (144, 128, 106), (205, 105, 72), (198, 105, 72), (288, 128, 110),
    (278, 256, 225), (418, 209, 147), (407, 204, 158), (423, 212, 155),
    (412, 211, 148), (595, 256, 213),
    (606, 512, 433), (1222, 512, 437), (1147, 512, 440),
)  # fmt: skip


@pytest.mark.compile
def test_the_released_resnet_50():
    """Multiply-adds and weights without biases and norms, derived from its layers."""
    spec = resnet_jax.imagenet_resnet(50)
    one = separated(spec, {})[0]
    units = (
        dataclasses.replace(
            unit, branch=Cut((1, 3, 1), tuple(widths), 0, tuple(range(read)))
        )
        for unit, (read, *widths) in zip(one.firsts, RESNET_2X, strict=True)
    )
    cut = dataclasses.replace(one, firsts=tuple(units))
    found = [resnet_jax.count(net, (224, 224, 3)) for net in (spec, one, cut)]
    assert found[0].multiply_adds == found[1].multiply_adds
    macs = [f"{count.multiply_adds / 1e9:.3f}" for count in found[1:]]
    weights = [f"{(count.conv + count.fc - 1000) / 1e6:.2f}" for count in found[1:]]
    assert (macs, weights) == (["3.858", "2.599"], ["25.50", "19.64"])
