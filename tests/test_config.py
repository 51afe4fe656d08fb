"""Fields of a config: what is unknown, what is wrong, what the command line may say."""

import dataclasses
import json
import subprocess
import sys

import pytest

from resnet_jax import cli
from resnet_jax.config import build
from resnet_jax.config import experiment_file as claim
from resnet_jax.config.resolve import configured, unknown, validated
from resnet_jax.config.schema import OPERATIONAL, Config
from resnet_jax.errors import ConfigError
from resnet_jax.paths import flat, replaced

FILE = """
from resnet_jax.config import configured

BASE = {"model.depth": 14, "train.epochs": 2.0}
ROWS = {"plain": {"model.unit.shortcut": "none"}, "gate": {"model.unit.gate": "se"}}


def get_config(row="gate"):
    return configured(BASE, ROWS, row)
"""
LEAST = {"train.epochs": 1.0}


@pytest.fixture
def changed(tmp_path):
    """The config of a command line with these --config.x.y=v."""
    path = tmp_path / "claim.py"
    path.write_text(FILE)

    def change(*fields):
        return cli.changed(str(path), [f"--config.{field}" for field in fields])

    return change


def made(changes):
    return validated(configured(LEAST | changes, {"": {}}, "").to_dict())


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("model.depht", r"model.depht: config.model has no field 'depht'; it has act, "
         r".*depth, .*; did you mean 'depth'\?"),
        ("optim.lr", r"optim.lr: config.optim has no field 'lr'; it has .*rate"),
        ("modle.depth", r"modle.depth: config has no field 'modle'; .* 'model'\?"),
        ("model.unit.ordr", r"config.model.unit has no field 'ordr'; .* 'order'\?"),
        ("seed.x", r"seed.x: config.seed has no field 'x'; it has none"),
        ("epochs", r"epochs: config has no field 'epochs'"),
    ],
)  # fmt: skip
def test_unknown_fields_are_named_with_their_likeness(path, message):
    with pytest.raises(ConfigError, match=message):
        configured({path: 1}, {"": {}}, "")


def test_every_known_field_is_known():
    config = configured({}, {"": {}}, "")
    for path in flat(Config().to_dict()):
        assert unknown(config, path) is None


def test_unknown_row():
    rows = {"ResNet-20": {}, "PreAct-20": {}}
    message = r"this experiment has ResNet-20, PreAct-20; did you mean 'PreAct-20'\?"
    with pytest.raises(ConfigError, match=f"row 'PreAct20': {message}"):
        configured({}, rows, "PreAct20")


@pytest.mark.parametrize(
    ("field", "path", "value"),
    [
        # those that are None until they are set, of each type
        ("train.steps=5", "train.steps", 5),
        ("train.epochs=3", "train.epochs", 3.0),
        ("train.epochs=0.5", "train.epochs", 0.5),
        ("model.slope=0.1", "model.slope", 0.1),
        ("model.norm.momentum=0.99", "model.norm.momentum", 0.99),
        ("model.num_classes=100", "model.num_classes", 100),
        ("data.dir=/data/x", "data.dir", "/data/x"),
        ("data.dir=2024", "data.dir", "2024"),
        ("data.normalize=channel", "data.normalize", "channel"),
        ("data.dir=None", "data.dir", None),
        # a word or a number
        ("model.norm.group=64", "model.norm.group", 64),
        ("model.norm.group=device", "model.norm.group", "device"),
        # tuples, and numbers in the usual notations
        ("optim.boundaries=(32000, 48000)", "optim.boundaries", (32000.0, 48000.0)),
        ("optim.boundaries=(0.3,)", "optim.boundaries", (0.3,)),
        ("optim.boundaries=()", "optim.boundaries", ()),
        ("model.unit.scales=(0, 1)", "model.unit.scales", (0.0, 1.0)),
        ("optim.learning_rate=1e-2", "optim.learning_rate", 0.01),
        ("optim.learning_rate=1", "optim.learning_rate", 1.0),
        ("model.unit.gating_bias=-3", "model.unit.gating_bias", -3.0),
        ("seed=7", "seed", 7),
    ],
)
def test_what_the_command_line_may_say(field, path, value, changed):
    found = flat(changed(field).to_dict())[path]
    assert found == value and type(found) is type(value)


def test_a_field_may_go_back_to_none(changed):
    config = changed("train.epochs=None", "train.iterations=10")
    assert (config.train.epochs, config.train.iterations) == (None, 10)
    with pytest.raises(ConfigError, match=r"train.epochs=None: set it, or train.iter"):
        changed("train.epochs=None")
    with pytest.raises(ConfigError, match=r"=2.0: train.iterations=10 is set as well"):
        changed("train.iterations=10")


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        ("model.depth", 0, "greater than or equal to 1"),
        ("model.depth", "deep", "valid integer"),
        ("model.depth", 20.5, "valid integer"),
        ("model.width", 0.0, "greater than 0"),
        ("model.norm.group", 0, "'global' or 'device' or .*greater than or equal to 1"),
        ("model.norm.group", "all", "'global' or 'device' or .*valid integer"),
        ("model.norm.momentum", 1.0, "less than 1"),
        ("model.unit.survival", 0.0, "greater than 0"),
        ("model.unit.scales", (1.0,), "required|2 items|at least"),
        ("model.act", "swish", "'relu', 'relu6', 'leaky_relu', 'prelu'"),
        ("data.split", "45k", "match pattern"),
        ("data.name", "no such/../name!", "match pattern"),
        ("optim.learning_rate", float("nan"), "finite number|greater than 0"),
        ("optim.learning_rate", float("inf"), "finite number"),
        ("optim.weight_decay", -1e-4, "greater than or equal to 0"),
        ("optim.boundaries", (0.5, -1.0), "greater than 0"),
        ("train.ema", 1.0, "less than 1"),
        ("train.dtype", "float16", "'float32', 'bfloat16' or 'float64'"),
        ("seed", -1, "greater than or equal to 0"),
        ("seed", 2**32, "less than 4294967296"),
    ],
)
def test_wrong_values_are_told_with_field_and_rule(path, value, rule):
    tree = made({}).to_dict()
    section = tree
    *owners, name = path.split(".")
    for owner in owners:
        section = section[owner]
    section[name] = value
    with pytest.raises(ConfigError, match=rule) as caught:
        validated(tree)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{path}={value!r}: ")


def test_all_problems_are_told_at_once(changed):
    """Misspelt fields and wrong values alike, a line each."""
    with pytest.raises(ConfigError) as caught:
        changed("model.depth=-1", "optim.lr=1", "data.batch_size=x", "train.spmd=mpi")
    lines = str(caught.value).splitlines()
    told = {line.split("=")[0].split(":")[0] for line in lines}
    assert told == {"model.depth", "optim.lr", "data.batch_size", "train.spmd"}
    assert len(lines) == 4


def test_fields_that_no_config_has_are_refused():
    tree = made({}).to_dict()
    tree["model"]["deep"], tree["extra"] = 3, {}
    with pytest.raises(ConfigError, match=r"model.deep=3: [\s\S]*extra="):
        validated(tree)


def test_configs_are_frozen_and_equal_by_value():
    assert made({}) == made({}) != made({"seed": 1})
    with pytest.raises(dataclasses.FrozenInstanceError):
        made({}).seed = 3
    assert replaced(made({}), {"model.depth": 8}).model.depth == 8


def test_config_survives_json():
    config = made({"model.norm.group": 16, "optim.boundaries": (3.0, 0.5)})
    assert validated(json.loads(json.dumps(config.to_dict()))) == config


def test_rows_win_over_the_base_and_the_base_over_defaults():
    rows = {"row": {"model.depth": 32}}
    config = configured({"model.depth": 26, "seed": 5, **LEAST}, rows, "row")
    assert (config.model.depth, config.seed, config.data.name) == (32, 5, "digits")


def test_what_is_operational_is_a_field():
    fields = flat(Config().to_dict())
    assert set(OPERATIONAL) <= set(fields)
    assert set(claim.OPERATIONAL) <= set(fields)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.depth": 21}, r"model.depth=21: must be 6n\+2 \(e.g. 110\)"),
        ({"model.depth": 21, "model.unit.branch": "bottleneck"}, r"9n\+2 \(e.g. 164\)"),
        ({"model.name": "imagenet_resnet", "model.depth": 51}, r"one of \(18, 34, 50"),
        ({"model.norm.group": 48}, r"model.norm.group=48: does not divide the 128"),
        ({"model.slope": 0.3}, r"model.slope=0.3: relu has no such slope"),
        ({"model.width": 0.3}, r"model.width=0.3: widths .* must be whole"),
        ({"model.unit.join": "scaled", "model.unit.shortcut": "none"},
         r"model.unit.join='scaled': shortcut 'none' joins nothing"),
    ],
)  # fmt: skip
def test_fields_that_do_not_go_together(changes, message):
    config = made(changes)
    with pytest.raises(ConfigError, match=message):
        build.network(config, num_classes=10, devices=1)


def test_groups_of_one_device_under_pmap():
    """pmap can group what one device holds, or all."""
    config = made({"model.norm.group": 128})
    with pytest.raises(ConfigError, match=r"group=128: does not divide the 64 images"):
        build.network(config, num_classes=10, devices=2, axis_name="data")
    parts = made({"model.norm.group": "device", "train.accumulate": 4})
    assert build.norm_group(parts, devices=2) == 16


@pytest.mark.parametrize(
    ("changes", "boundaries"),
    [
        ({}, (50, 75)),
        ({"optim.boundaries": (20.0, 0.5)}, (20, 50)),
        ({"optim.schedule": "cosine"}, ()),
    ],
)
def test_boundaries_in_iterations_or_shares(changes, boundaries):
    optim = build.optimizer(made(changes), total_steps=100)
    assert optim.boundaries == boundaries


def test_boundaries_beyond_the_run():
    config = made({"optim.boundaries": (50.0, 100.0)})
    with pytest.raises(ConfigError, match=r"optim.boundaries=\(50.0, 100.0\): beyond"):
        build.optimizer(config, total_steps=100)


def test_warm_up_takes_a_tenth_at_most():
    config = made({"optim.warmup": 400})
    assert build.optimizer(config, total_steps=64_000).warmup_steps == 400
    short = build.optimizer(config, total_steps=50)
    assert (short.warmup_steps, short.warmup_rate) == (5, 0.01)
    assert build.optimizer(config, total_steps=5).warmup_steps == 0


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({"train.epochs": 2.0}, 200),
        ({"train.epochs": 0.001}, 1),
        ({"train.epochs": None, "train.iterations": 7}, 7),
    ],
)
def test_length_of_the_schedule(changes, steps):
    assert build.schedule_steps(made(changes), examples=12_800) == steps


def test_reading_a_config_needs_no_jax():
    code = "import sys, resnet_jax.cli; assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
