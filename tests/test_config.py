"""Fields of a config: members of slots, unknown and wrong fields, the command line."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from resnet_jax.config import experiment_file, migrate, reference
from resnet_jax.config.merge import leaves
from resnet_jax.config.resolve import changed as with_changes
from resnet_jax.config.resolve import configured, validated
from resnet_jax.config.rules import norm_group, schedule_steps
from resnet_jax.config.schema import OPERATIONAL, Config
from resnet_jax.errors import ConfigError
from resnet_jax.models.network import network
from resnet_jax.paths import flat, replaced
from resnet_jax.train.optim import optimizer

FILE = """
from resnet_jax.config import configured

BASE = {"model.depth": 14, "train.epochs": 2.0}
ROWS = {"gate": {"model.unit.gate": "se", "model.act": "prelu"}}


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
        arguments = [f"--config.{field}" for field in fields]
        return experiment_file.load(path).config(None, arguments)

    return change


def made(changes):
    return validated(configured(LEAST | changes, {"": {}}, "").to_dict())


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("model.depht", r"model.depht: config.model='cifar_resnet' has no field "
         r"'depht'; it has .*depth.*; did you mean 'model.depth'\?"),
        ("optim.lr", r"optim.lr: config.optim='sgd' has no field 'lr'; it has .*rate"),
        ("modle.depth", r"modle.depth: config has no field 'modle'; .* 'model'\?"),
        ("model.unit.ordr", r"model.unit has no field 'ordr'; .* 'model.unit.order'\?"),
        ("seed.x", r"seed.x: seed is a value, without fields"),
        ("model.unit.gate.reduction", r"model.unit.gate is none; choose one of se"),
        ("model.unit.join.rate", r"join='add' has no field 'rate'; it has name"),
        ("model.unit.survival", "renamed to model.unit.stochastic_depth.survival_prob"),
        ("optim.lr", "did you mean 'optim.learning_rate'"),
        ("epochs", r"epochs: config has no field 'epochs'"),
    ],
)  # fmt: skip
def test_unknown_fields_are_named_with_their_likeness(path, message):
    with pytest.raises(ConfigError, match=message):
        configured({path: 1}, {"": {}}, "")


def test_unknown_row():
    rows = {"ResNet-20": {}, "PreAct-20": {}}
    message = r"this experiment has ResNet-20, PreAct-20; did you mean 'PreAct-20'\?"
    with pytest.raises(ConfigError, match=f"row 'PreAct20': {message}"):
        configured({}, rows, "PreAct20")


OWN = """
from resnet_jax.config.schema import Config
import ml_collections

def get_config(row="a"):
    config = ml_collections.ConfigDict(Config().to_dict(), type_safe=False)
    config.train.epochs = 1.0
    with config.unlocked():
        config.model.dpth = 8
        config.optim = 5
    return config
"""


def test_a_config_that_a_file_makes_itself_is_told_like_any_other(tmp_path):
    path = tmp_path / "claim.py"
    path.write_text(OWN)
    with pytest.raises(ConfigError) as caught:
        experiment_file.load(path).config()
    first, second = str(caught.value).splitlines()
    assert first.startswith("model.dpth: config.model='cifar_resnet' has no field")
    assert first.endswith("did you mean 'model.depth'?")
    assert second == "optim.name=5: must be one of sgd, adamw"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('ROWS["other"] = 7', r"ROWS\['other'\]: must map fields to values"),
        ('ROWS = ["a"]', "ROWS must be a mapping from rows to changed fields"),
        ("SEEDS = 3", "SEEDS must be a list of whole numbers"),
        ('PAPER = ["a"]', "PAPER must be a mapping from rows"),
        ('PAPER = {"gate": "nokey"}', r"claim\.py: PAPER='nokey': no such published"),
        ('DEVIATIONS = ["x"]', "DEVIATIONS must be a mapping from fields to reasons"),
        ("RECIPE = 5", "RECIPE must be a key, or a mapping from rows"),
        ("import sys; sys.exit(0)", r"claim\.py: ends the program \(SystemExit\)"),
    ],
)
def test_definitions_of_a_wrong_kind_are_named(line, message, tmp_path):
    path = tmp_path / "claim.py"
    path.write_text(f"{FILE}{line}\n")
    with pytest.raises(ConfigError, match=message):
        experiment_file.load(path)


@pytest.mark.parametrize(
    ("field", "path", "value"),
    [
        # those that are None until they are set, of each type
        ("train.steps=5", "train.steps", 5),
        ("train.epochs=3", "train.epochs", 3.0),
        ("train.epochs=0.5", "train.epochs", 0.5),
        ("model.act.slope=0.1", "model.act.slope", 0.1),
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
        (
            "optim.schedule.boundaries=(32000, 48000)",
            "optim.schedule.boundaries",
            (32000.0, 48000.0),
        ),
        ("optim.schedule.boundaries=(0.3,)", "optim.schedule.boundaries", (0.3,)),
        ("train.seeds=()", "train.seeds", ()),
        ("optim.nesterov=True", "optim.nesterov", True),
        ("optim.nesterov=false", "optim.nesterov", False),
        ("model.levels=(2, 1)", "model.levels", (2, 1)),
        ("optim.learning_rate=1e-2", "optim.learning_rate", 0.01),
        ("optim.learning_rate=1", "optim.learning_rate", 1.0),
        ("model.unit.gate.reduction=8", "model.unit.gate.reduction", 8),
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


def test_an_even_kernel_is_refused_by_its_own_name(changed):
    with pytest.raises(ConfigError, match=r"model.operator.kernel=4: must be odd"):
        changed("model.operator=ghost", "model.operator.kernel=4")
    with pytest.raises(ConfigError, match=r"model.ghost.kernel=4: must be odd"):
        changed("model=ghostnet", "model.ghost.kernel=4")


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
        ("model.depth", True, "valid integer"),
        ("optim.learning_rate", True, "valid number"),
        ("model.unit.order", "pre", "'original', 'norm_after_addition'"),
        ("data.split", "45k", "match pattern"),
        ("data.name", "no such/../name!", "match pattern"),
        ("optim.learning_rate", float("nan"), "finite number|greater than 0"),
        ("optim.learning_rate", float("inf"), "finite number"),
        ("optim.weight_decay", -1e-4, "greater than or equal to 0"),
        ("optim.schedule.boundaries", (0.5, -1.0), "greater than 0"),
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
    config = made({"model.norm.group": 16, "optim.schedule.boundaries": (3.0, 0.5)})
    assert validated(json.loads(json.dumps(config.to_dict()))) == config


def test_rows_win_over_the_base_and_the_base_over_defaults():
    rows = {"row": {"model.depth": 32}}
    config = configured({"model.depth": 26, "seed": 5, **LEAST}, rows, "row")
    assert (config.model.depth, config.seed, config.data.name) == (32, 5, "digits")


def test_operational_fields_are_fields():
    assert set(OPERATIONAL) <= set(flat(Config().to_dict()))


# --- slots: a word picks a member, and what is left of the old one is nothing


def slots(*layers):
    """The fields of `model.unit` and what is wrong, after layers of changes."""
    tree, problems = Config().to_dict(), []
    for layer in layers:
        tree, more = with_changes(tree, layer)
        problems += more
    return tree, problems


def test_a_word_picks_a_member_with_its_defaults():
    tree, problems = slots({"model.unit.join": "scaled"})
    assert tree["model"]["unit"]["join"] == {
        "name": "scaled", "shortcut": 0.5, "branch": 0.5,
    }  # fmt: skip
    assert not problems


@pytest.mark.parametrize(
    "layer",
    [
        {"model.unit.join": "scaled", "model.unit.join.branch": 1.0},
        {"model.unit.join.branch": 1.0, "model.unit.join": "scaled"},
        {"model.unit.join": {"name": "scaled", "branch": 1.0}},
        {"model.unit.join.branch": 1.0, "model.unit.join": {"name": "scaled"}},
        {"model.unit.join.name": "scaled", "model.unit.join.branch": 1.0},
        {"model": {"unit": {"join": {"branch": 1.0, "name": "scaled"}}}},
        {
            "model.unit.join.branch": 1.0,
            "model": {"unit": {"join": {"name": "scaled"}}},
        },
        {"model.unit.join": "scaled", "model": {"unit": {"join": {"branch": 1.0}}}},
    ],
)
def test_the_order_inside_a_layer_does_not_matter(layer):
    tree, problems = slots(layer)
    join = {"name": "scaled", "shortcut": 0.5, "branch": 1.0}
    assert (tree["model"]["unit"]["join"], problems) == (join, [])


def test_another_member_replaces_the_slot():
    """Nothing of the old member is left, though both have a field of one name."""
    gated = {"model.unit.join": {"name": "exclusive_gating", "bias": 0.0}}
    tree, problems = slots(gated, {"model.unit.join": "shortcut_only_gating"})
    join = {"name": "shortcut_only_gating", "bias": -6.0}
    assert (tree["model"]["unit"]["join"], problems) == (join, [])
    again, _ = slots(gated, {"model.unit.join": "add"}, gated)
    assert again["model"]["unit"]["join"] == gated["model.unit.join"]


def test_the_same_member_keeps_its_fields():
    tree, _ = slots(
        {"model.unit.join": {"name": "scaled", "shortcut": 0.0}},
        {"model.unit.join": "scaled", "model.unit.join.branch": 1.0},
    )
    join = {"name": "scaled", "shortcut": 0.0, "branch": 1.0}
    assert tree["model"]["unit"]["join"] == join


def test_another_family_keeps_what_all_families_have():
    before = {
        "model.act": "prelu",
        "model.norm.group": 32,
        "model.unit.order": "full_pre",
    }
    tree, problems = slots(before, {"model.name": "vgg", "model.depth": 11})
    model = tree["model"]
    assert (model["name"], model["depth"], problems) == ("vgg", 11, [])
    assert model["act"]["name"] == "prelu" and model["norm"]["group"] == 32
    assert "unit" not in model
    back, _ = slots(before, {"model.name": "vgg"}, {"model.name": "cifar_resnet"})
    assert back["model"]["unit"]["order"] == "original"


def test_another_optimizer_keeps_rate_and_schedule():
    layers = (
        {"optim.learning_rate": 0.3, "optim.momentum": 0.5},
        {"optim.name": "adamw"},
    )
    tree, problems = slots(*layers)
    assert (tree["optim"]["learning_rate"], problems) == (0.3, [])
    assert "momentum" not in tree["optim"] and tree["optim"]["beta1"] == 0.9


def test_none_empties_a_slot(changed):
    assert changed("model.unit.gate=none").model.unit.gate is None
    assert changed("model.unit.gate=None").model.unit.gate is None
    assert changed("model.norm=none").model.norm is None
    assert changed("model.act=none").model.act.name == "none"
    with pytest.raises(ConfigError, match=r"model.norm.group: model.norm is none"):
        changed("model.norm=none", "model.norm.group=4")


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("model.unit.join=ad", r"join='ad': must be one of add, scaled, .* 'add'\?"),
        ("model.name=resnet", r"model.name='resnet': must be one of cifar_resnet, "),
        (
            "model.act=swish",
            r"model.act='swish': must be one of relu, relu6, rrelu",
        ),
        ("model.unit.gate=1", r"model.unit.gate='1': must be one of se, none"),
        ("model.unit=basic", r"model.unit='basic': has fields of its own, order, "),
        ("model.depth.x=1", r"model.depth.x: model.depth is a value, without fields"),
        (
            "model={'name': 'densenet', 'unit': {'noise_rate': 0.2}}",
            r"model.unit has no field 'noise_rate'; it has .*dropout",
        ),
        ("train.name=5", r"train='5': has fields of its own, epochs, iterations, "),
        ("model.act.name.x=1", r"model.act.name.x: model.act.name is a value, without"),
        ("optim.beta1=0.5", r"='sgd' has no field 'beta1'; it .*; a field of adamw$"),
        ("optim={'name': 'sgd'", r"--config.optim={'name': 'sgd': not a mapping, as"),
        ("optim.warmup={1: 2}", r"--config.optim.warmup={1: 2}: not a mapping, as"),
        ("optim.warmup={}", r"optim.warmup.name: optim.warmup is none; choose one of"),
        ("optim.nesterov=nesterov", r"nesterov='nesterov': must be True or False$"),
    ],
)
def test_words_that_no_slot_knows(field, message, changed):
    with pytest.raises(ConfigError, match=message):
        changed(field)


def test_a_value_beside_fields_of_a_section_is_named(changed):
    with pytest.raises(ConfigError, match=r"^train='5': has fields of its own, epochs"):
        changed("train=5", "train.epochs=1")


def test_members_of_slots_on_the_command_line(changed):
    config = changed('model.unit.join={"name": "scaled", "branch": 1.0}')
    assert dataclasses.asdict(config.model.unit.join) == {
        "name": "scaled", "shortcut": 0.5, "branch": 1.0,
    }  # fmt: skip
    config = changed("model.unit.stochastic_depth.survival_prob=0.8",
                     "model.unit.stochastic_depth=shake_drop")  # fmt: skip
    assert config.model.unit.stochastic_depth.survival_prob == 0.8


# --- fields told as text


def test_every_field_is_explained_once():
    entries = reference.entries()
    assert {entry.path for entry in entries} == {path for path, _, _ in leaves(Config)}
    for entry in entries:
        assert entry.explanation.endswith("."), entry
    assert len({(e.path, e.where) for e in entries}) == len(entries)


def test_the_page_of_all_fields_is_up_to_date():
    page = Path(__file__).parents[1] / "docs" / "fields.md"
    assert page.read_text() == reference.page() + "\n", (
        "python -m resnet_jax.config.reference > docs/fields.md"
    )


def test_help_of_a_part_and_of_a_misspelt_one():
    text = reference.text("model.unit.join")
    assert "model.unit.join.bias=-6.0  (float)" in text and "model.depth" not in text
    with pytest.raises(ConfigError, match=r"; model.unit has .*; did you mean .*join'"):
        reference.text("model.unit.joint")
    with pytest.raises(ConfigError, match=r"optim has .*; did you mean .*learning_rat"):
        reference.text("optim.lr")
    with pytest.raises(ConfigError, match=r"a config has model, data, optim, train, s"):
        reference.text("foo")
    assert reference.text("model.name") == reference.text("model")


# --- configs of version 0.1


def test_fields_of_version_1_have_their_place_today():
    """Every field of version 1 moves where its member is chosen, or is told of."""
    old = migrate.FIRST | {"train.epochs": 1.0}
    chosen = {
        "model.act": "prelu", "model.slope": 0.1, "model.operator": "ghost",
        "model.ghost_ratio": 3, "model.ghost_kernel": 5, "model.relays": [[1, 1]],
        "train.relay_weight": 0.5, "model.unit.branch": "bottleneck",
        "model.unit.stride_at": "3x3", "model.unit.cardinality": 2,
        "model.unit.group_width": 32.0, "model.unit.join": "scaled",
        "model.unit.scales": [0.0, 1.0], "model.unit.gate": "se",
        "model.unit.se_reduction": 4, "model.unit.se_place": "pre",
        "model.unit.survival": 0.9, "model.unit.dropped": "shaken",
        "model.unit.arms": 2, "model.unit.noise": "drop_block",
        "model.unit.noise_rate": 0.1, "model.unit.noise_block": 3,
        "data.policy": "randaugment", "data.policy_operations": 3,
        "data.policy_magnitude": 5.0, "data.mix": "cutmix", "data.mix_alpha": 0.2,
        "data.mix_probability": 0.5, "optim.nesterov": "nesterov",
        "optim.factor": 0.2, "optim.boundaries": [0.4], "optim.warmup": 7,
        "optim.warmup_kind": "linear", "optim.warmup_rate": 0.02,
        "train.max_skips": 3, "train.tensorboard": "on",
    }  # fmt: skip
    tree, unread = migrate.migrated(nested(old | chosen))
    assert unread == []
    found = flat(validated(tree).to_dict())
    wanted = {
        "model.act.slope": 0.1, "model.operator.ratio": 3, "model.operator.kernel": 5,
        "model.auxiliary_loss.stages": ((1, 1),), "model.auxiliary_loss.weight": 0.5,
        "model.unit.branch.name": "bottleneck", "model.unit.branch.stride_at": "3x3",
        "model.unit.branch.cardinality": 2, "model.unit.branch.group_width": 32.0,
        "model.unit.join.shortcut": 0.0, "model.unit.join.branch": 1.0,
        "model.unit.gate.reduction": 4, "model.unit.gate.place": "pre",
        "model.unit.stochastic_depth.name": "shake_drop",
        "model.unit.stochastic_depth.survival_prob": 0.9,
        "model.unit.num_branches": 2, "model.unit.noise.name": "drop_block",
        "model.unit.noise.rate": 0.1, "model.unit.noise.block": 3,
        "data.policy.operations": 3, "data.policy.magnitude": 5.0,
        "data.mix.name": "cutmix", "data.mix.alpha": 0.2, "data.mix.probability": 0.5,
        "optim.nesterov": True, "optim.schedule.decay_factor": 0.2,
        "optim.schedule.boundaries": (0.4,), "optim.warmup.name": "linear",
        "optim.warmup.steps": 7, "optim.warmup.learning_rate": 0.02,
        "train.max_nonfinite_updates": 3, "train.tensorboard": True,
    }  # fmt: skip
    assert {path: found.get(path) for path in wanted} == wanted


def test_fields_that_version_1_accepted_and_never_read_are_told_of():
    old = migrate.FIRST | {"train.epochs": 1.0, "model.unit.gating_bias": -1.0}
    old |= {"model.name": "densenet", "model.ghost_share": 0.5, "model.size": "digits"}
    old |= {"model.unit.order": "full_pre"}
    _, unread = migrate.migrated(nested(old))
    told = [line.split("=")[0] for line in unread]
    assert told == ["model.size", "model.ghost_share", "model.unit.gating_bias"]


@pytest.mark.parametrize(
    "stored",
    [
        {"schema": 2, "data": {"policy": {"name": "augmix", "magnitude": 4.0}}},
        {"data": {"policy": "augmix", "policy_magnitude": 4.0}},
    ],
)
def test_augmix_of_earlier_versions_is_refused(stored):
    """Its levels, from a tenth of the range on, are no severity."""
    with pytest.raises(
        ConfigError,
        match=r"policy.magnitude=4.0: .*earlier version of AugMix.*severity",
    ):
        migrate.migrated(stored)


def test_randaugment_of_earlier_versions_keeps_its_magnitude():
    policy = {"name": "randaugment", "operations": 2, "magnitude": 9.0}
    tree, unread = migrate.migrated({"schema": 2, "data": {"policy": policy}})
    assert (tree["data"]["policy"], unread) == (policy, [])


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"schema": 3}, "schema=3: is not known here, up to 2 are"),
        ({"model": {"name": 7}}, "no config of this package"),
        ({"model": {"unit": {"survival": "x"}}}, "no config of this package"),
    ],
)
def test_what_is_no_config_is_told(stored, message):
    with pytest.raises(ConfigError, match=message):
        migrate.migrated(stored)


def test_configs_of_today_come_back_as_they_are():
    config = made({"model.unit.join": "scaled", "optim.warmup": "linear"})
    stored = json.loads(json.dumps({"schema": 2} | config.to_dict()))
    tree, unread = migrate.migrated(stored)
    assert (validated(tree), unread) == (config, [])


def nested(flat_tree):
    tree = {}
    for path, value in flat_tree.items():
        *owners, name = path.split(".")
        at = tree
        for owner in owners:
            at = at.setdefault(owner, {})
        at[name] = value
    return tree


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.depth": 21}, r"model.depth=21: must be 6n\+2 \(e.g. 110\)"),
        ({"model.depth": 21, "model.unit.branch": "bottleneck"}, r"9n\+2 \(e.g. 164\)"),
        ({"model.name": "imagenet_resnet", "model.depth": 51}, r"one of \(18, 34, 50"),
        ({"model.norm.group": 48}, r"model.norm.group=48: does not divide the 128"),
        ({"model.operator": "xnor"}, r"model.operator='xnor': takes signs"),
        ({"model.unit.noise": "dropout", "model.unit.branch": "min"},
         r"model.unit.noise='dropout': model.unit.branch='min' has no place for it"),
        ({"model.unit.noise": "dropout", "model.unit.branch": "single",
          "model.depth": 20}, r"model.unit.branch='single' has no place for it"),
        ({"model.name": "wide_resnet", "model.depth": 7, "model.unit.kernels": (3,),
          "model.unit.noise": "dropout"}, r"unit.kernels=\(3,\) have no place for it"),
        ({"model.name": "wide_resnet", "model.depth": 27}, r"27: must be 6n\+4"),
        ({"model.width": 0.3}, r"model.width=0.3: widths .* must be whole"),
        ({"model.unit.join": "scaled", "model.unit.shortcut": "none"},
         r"model.unit.join='scaled': needs a shortcut, not 'none'"),
        ({"model.name": "vgg", "model.variant": "mean"},
         r"model.variant='mean': is of model.size=cifar, not 'imagenet'"),
        ({"model.name": "min_net", "model.depth": 8, "model.unit.order": "full_pre"},
         r"model.unit.order='full_pre': model.depth=8 has Min units only"),
        ({"model.name": "rk_resnet", "model.depth": 8},
         r"model.depth=8: too few units for a step"),
    ],
)  # fmt: skip
def test_fields_that_do_not_go_together(changes, message):
    config = made(changes)
    with pytest.raises(ConfigError, match=message):
        network(config, num_classes=10, devices=1)


def test_groups_of_one_device_under_pmap():
    """pmap can group what one device holds, or all."""
    config = made({"model.norm.group": 128})
    with pytest.raises(ConfigError, match=r"group=128: does not divide the 64 images"):
        network(config, num_classes=10, devices=2, axis_name="data")
    parts = made({"model.norm.group": "device", "train.accumulate": 4})
    assert norm_group(parts, devices=2) == 16


@pytest.mark.parametrize(
    ("changes", "boundaries"),
    [
        ({}, (50, 75)),
        ({"optim.schedule.boundaries": (20.0, 0.5)}, (20, 50)),
        ({"optim.schedule": "cosine"}, ()),
    ],
)
def test_boundaries_in_iterations_or_shares(changes, boundaries):
    optim = optimizer(made(changes), total_steps=100)
    assert optim.boundaries == boundaries


def test_boundaries_beyond_the_run():
    config = made({"optim.schedule.boundaries": (50.0, 100.0)})
    with pytest.raises(
        ConfigError, match=r"optim.schedule.boundaries=\(50.0, 100.0\): beyond"
    ):
        optimizer(config, total_steps=100)


def test_a_warm_up_is_as_long_as_it_is_said_to_be():
    config = made({"optim.warmup": "constant"})
    assert optimizer(config, total_steps=64_000).warmup_steps == 400
    assert optimizer(config, total_steps=1000).warmup_steps == 400
    told = "optim.warmup.steps=400: must be fewer than the 400 iterations of the run"
    with pytest.raises(ConfigError, match=told):
        optimizer(config, total_steps=400)


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({"train.epochs": 2.0}, 200),
        ({"train.epochs": 0.001}, 1),
        ({"train.epochs": None, "train.iterations": 7}, 7),
    ],
)
def test_length_of_the_schedule(changes, steps):
    assert schedule_steps(made(changes), examples=12_800) == steps


@pytest.mark.process
def test_reading_a_config_needs_no_jax():
    code = "import sys, resnet_jax.cli; assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
