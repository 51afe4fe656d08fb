"""Fine-tuning: a run that begins with another's parameters, frozen layers, rates."""

import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import runs

from resnet_jax.errors import ConfigError
from resnet_jax.main import main
from resnet_jax.models.layers.batchnorm import BatchNorm, FrozenNormSpec, NormSpec
from resnet_jax.train.by_name import check_layers, factor_of
from resnet_jax.train.optim import OptimSpec

PARAMS = {
    "stem": {"kernel": jnp.array([1.0, 2.0])},
    "stage1": {
        "first": {"kernel": jnp.array([3.0])},
        "rest": {"kernel": jnp.array([4.0, 5.0]), "slope": jnp.array([0.25])},
    },
    "stage10": {"kernel": jnp.array([6.0])},
    "head": {"kernel": jnp.array([7.0])},
}


def trained(spec, *, steps=3):
    """Parameters after some updates whose gradients are the parameters."""
    tx, params = spec.build(), PARAMS
    state = tx.init(params)
    for _ in range(steps):
        updates, state = tx.update(params, state, params)
        params = optax.apply_updates(params, updates)
    return params


# Frozen layers, and factors on rates


@pytest.mark.parametrize(
    "fields",
    [
        {"nesterov": True},
        {"dialect": "caffe"},
        {"name": "adamw", "weight_decay": 0.1},
        {"schedule": "cosine"},
    ],
)
def test_layers_have_rates_of_their_own(fields):
    """A layer with a factor is trained as by an optimizer of that rate."""
    usual = {"learning_rate": 0.1, "total_steps": 10} | fields
    factors = (("stem", 0.0), ("stage1", 0.5), ("stage1/rest", 3.0))
    found = trained(OptimSpec(**usual, factors=factors))

    def by(factor):
        return trained(OptimSpec(**usual | {"learning_rate": 0.1 * factor}))

    expected = {
        "stem": PARAMS["stem"],
        "stage1": {
            "first": by(0.5)["stage1"]["first"],
            "rest": by(3)["stage1"]["rest"],
        },
        "stage10": by(1)["stage10"],
        "head": by(1)["head"],
    }
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-6), found, expected)
    np.testing.assert_array_equal(found["stem"]["kernel"], PARAMS["stem"]["kernel"])


def test_the_longest_name_counts():
    factors = [("stage1", 0.5), ("stage1/rest", 0.0)]
    assert factor_of("stage1/rest/kernel", factors) == 0
    assert factor_of("stage1/first/kernel", factors) == 0.5
    assert factor_of("stage10/kernel", factors) == 1


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ([("stage2", 0.0)], "optim.frozen: 'stage2' is no layer of this net; it has"),
        ([("stage1/firs", 2.0)], "optim.factors: .* did you mean 'stage1/first'"),
        ([("stem/kernel", 2.0)], "'stem/kernel' is no layer"),
        ([("stem", 0.0), ("stem", 2.0)], "'stem' is named twice"),
        ([(name, 0.0) for name in PARAMS], "names all layers; leave one"),
    ],
)
def test_names_of_layers_are_checked(factors, message):
    check_layers([("stem", 0.0), ("stage1/rest", 2.0)], PARAMS)
    with pytest.raises(ConfigError, match=message):
        check_layers(factors, PARAMS)


def test_a_frozen_norm_keeps_its_statistics():
    x = jnp.asarray(np.random.default_rng(0).normal(2, 3, (4, 5, 5, 3)), jnp.float32)
    spec = NormSpec()
    frozen = FrozenNormSpec(**dataclasses.asdict(spec))
    variables = BatchNorm(spec).init(jax.random.key(0), x, train=True)
    stats = {"mean": jnp.array([1.0, 2, 3]), "var": jnp.array([4.0, 5, 6])}
    variables = {"params": variables["params"], "batch_stats": stats}
    expected = BatchNorm(spec).apply(variables, x, train=False)
    y, new = BatchNorm(frozen).apply(variables, x, train=True, mutable=["batch_stats"])
    np.testing.assert_array_equal(y, expected)
    mean, var = (np.asarray(stats[name]) for name in ("mean", "var"))
    normalised = (np.asarray(x) - mean) / np.sqrt(var + 1e-5)
    np.testing.assert_allclose(y, normalised, 1e-5, 1e-6)
    jax.tree.map(np.testing.assert_array_equal, new["batch_stats"], stats)


# A run that begins with another


@pytest.fixture(scope="module")
def source(shop, tmp_path_factory):
    """A run of 12 steps with averaged parameters."""
    changes = {"train.steps": 12, "train.ema": 0.9}
    return shop.train(tmp_path_factory.mktemp("source"), changes)


def variables(workdir, *, prefix=""):
    """Leaves of the newest checkpoint below params and batch_stats."""
    return {
        name.removeprefix(prefix): value
        for name, value in runs.state(workdir).items()
        if name.startswith((f"{prefix}params", f"{prefix}batch_stats"))
    }


@pytest.mark.compile
def test_a_run_begins_with_the_averages_of_another(shop, source, tmp_path):
    """With all layers but the head frozen they are there after its updates, too."""
    found = {name.split("/")[1] for name in variables(source) if "params" in name}
    frozen = tuple(name for name in sorted(found) if name != "head")
    fields = {
        "train.steps": 3, "train.start_from": source, "model.norm.frozen": True,
        "optim.frozen": repr(frozen),
    }  # fmt: skip
    run = shop.train(tmp_path / "run", fields)
    began, ended = variables(source, prefix="ema/"), variables(run)
    assert began.keys() == ended.keys()
    for name, value in began.items():
        same = value.tobytes() == ended[name].tobytes()
        assert same != name.startswith("params/head/"), name
    assert began["params/head/kernel"].tobytes() != (
        variables(source)["params/head/kernel"].tobytes()
    )
    config = json.loads((source / "config.json").read_text())
    assert json.loads((run / "start_from.json").read_text()) == {
        "folder": str(source), "run": config["run"], "step": 12,
    }  # fmt: skip


@pytest.mark.compile
def test_it_resumes_when_the_other_is_gone(shop, source, tmp_path):
    copy = shutil.copytree(source, tmp_path / "copy")
    fields = {"train.start_from": copy, "train.steps": 8}
    whole = shop.train(tmp_path / "whole", fields)
    half = shop.train(tmp_path / "half", fields | {"train.steps": 4})
    shutil.rmtree(copy)
    assert shop.train(half, fields)
    runs.assert_same_run(half, whole)


@pytest.mark.compile
def test_a_head_of_other_classes_is_drawn_anew(shop, source, tmp_path):
    """moving_digits has clips; a folder of two classes has images of the same shape."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(40):
            pixels = rng.integers(0, 17, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{i}.png")
    fields = {
        "train.steps": 1, "train.start_from": source, "data.name": "folder",
        "data.dir": tmp_path / "photos", "data.batch_size": 16,
        "optim.learning_rate": 1e-12, "optim.weight_decay": 0.0,
    }  # fmt: skip
    run = shop.train(tmp_path / "run", fields)
    began, ended = variables(source, prefix="ema/"), variables(run)
    for name, value in ended.items():
        if name.startswith("params/head/"):
            assert value.shape[-1] == 2
        elif name.startswith("params/"):
            np.testing.assert_allclose(value, began[name], rtol=0, atol=1e-9)


def told(shop, workdir, changes, capsys):
    code = main(["main", *shop.command(workdir, changes)])
    return code, capsys.readouterr().err.splitlines()[-1]


@pytest.mark.compile
def test_runs_that_cannot_be_begun_with(shop, source, tmp_path, capsys):
    run, copy = tmp_path / "run", tmp_path / "copy"
    code, line = told(shop, run, {"train.start_from": tmp_path / "none"}, capsys)
    assert code == 2 and "none: holds no config.json, so no run; name its" in line
    fields = {"train.start_from": source, "model.width": 0.5}
    code, line = told(shop, run, fields, capsys)
    assert code == 2 and "is of another network (batch_stats/" in line
    assert "; only the head may differ" in line
    shutil.copytree(source, copy)
    shutil.rmtree(copy / "checkpoints")
    code, line = told(shop, run, {"train.start_from": copy}, capsys)
    assert code == 4 and "copy: holds no checkpoint; train it first" in line
    assert not run.exists()
    shutil.copytree(source / "checkpoints", copy / "checkpoints")
    for path in (copy / "checkpoints" / "12").rglob("d/*"):  # some hold momentum
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    code, line = told(shop, run, {"train.start_from": copy}, capsys)
    assert code == 4 and "copy: step 12 is damaged (" in line
