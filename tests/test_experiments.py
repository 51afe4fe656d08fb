"""Every row of every experiment file: valid, buildable, and its paper's recipe."""

import dataclasses
import functools
import json
import pathlib
import re

import pytest

from resnet_jax import cli
from resnet_jax import papers as paper
from resnet_jax.analysis.audit_values import Row
from resnet_jax.config import build
from resnet_jax.config import experiment_file as claim
from resnet_jax.config.resolve import configured, unknown, validated
from resnet_jax.models import complexity
from resnet_jax.paths import flat

FOLDER = pathlib.Path(__file__).parents[1] / "experiments"
FILES = {path.stem: path for path in sorted(FOLDER.glob("*.py"))}
MODULES = {name: cli.definitions(str(path)) for name, path in FILES.items()}
ROWS = [(name, row) for name, module in MODULES.items() for row in module["ROWS"]]
every_file = pytest.mark.parametrize("name", FILES)
every_row = pytest.mark.parametrize(("name", "row"), ROWS)

# The seven that the papers' claims are made of; there may be more.
PAPERS = (
    "digits_preact",
    "cifar_preact",
    "cifar_resnet",
    "shortcuts",
    "activation_order",
    "rectifiers",
    "imagenet_resnet",
)
# Nets whose depth is that of their weighted layers.
DEEP = ("cifar_resnet", "imagenet_resnet", "plain")
CIFAR = ("cifar_preact", "cifar_resnet", "shortcuts", "activation_order", "rectifiers")
WARM = {("cifar_resnet", "ResNet-110")} | {
    (name, row)
    for name, row in ROWS
    if name in ("cifar_preact", "shortcuts", "activation_order")
}
# He et al. 2016a, Table 6, and 2016b, released code (tests/test_published.py)
PARAMETERS = {
    "cifar_resnet": {
        "ResNet-20": 269_722,
        "ResNet-32": 464_154,
        "ResNet-44": 658_586,
        "ResNet-56": 853_018,
        "ResNet-110": 1_727_962,
        "ResNet-1202": 19_421_274,
        "plain-20": 269_722,
        "plain-56": 853_018,
        "plain-110": 1_727_962,
    },
    "cifar_preact": {
        "PreAct-110": 1_727_962,
        "PreAct-164": 1_703_258,
        "PreAct-1001": 10_327_706,
        "ResNet-164": 1_704_154,
    },
    "imagenet_resnet": {
        "ResNet-50": 25_557_032,
        "ResNet-101": 44_549_160,
        "ResNet-152": 60_192_808,
    },
}


def config_of(name, row):
    return validated(MODULES[name]["get_config"](row).to_dict())


def classes_of(config):
    return Row(config).data.classes


@functools.lru_cache
def parts(spec, channels):
    return complexity.parts(spec.build(), (32, 32, channels))


def test_the_seven_are_there():
    assert set(PAPERS) <= set(FILES)


@every_row
def test_row_differs_from_its_base_by_what_it_says(name, row):
    module = MODULES[name]
    known = {"train.epochs", "train.iterations"} & {*module["BASE"]}
    length = {} if known else {"train.epochs": 1.0}  # its rows differ in length
    base = configured(length | module["BASE"], {"": {}}, "")
    base = flat(validated(base.to_dict()).to_dict())
    config = flat(config_of(name, row).to_dict())
    changed = {path: config[path] for path in config if config[path] != base[path]}
    said = module["ROWS"][row]
    assert changed == {path: v for path, v in said.items() if v != base[path]}
    assert all(config[path] == value for path, value in said.items())


@every_row
def test_row_survives_its_config_file(name, row):
    config = config_of(name, row)
    kept = json.loads(json.dumps(config.to_dict()))
    assert validated(kept) == config


@every_row
@pytest.mark.parametrize("devices", [1, 2])
def test_row_builds_its_network(name, row, devices):
    config = config_of(name, row)
    classes = classes_of(config)
    spec = build.network(config, num_classes=classes, devices=devices)
    if config.model.name not in DEEP:
        return
    # Two arms stand beside each other; papers count one.
    beside = (config.model.depth - 2) * (config.model.unit.arms - 1)
    # Whom a norm groups changes no parameter: what is equal is counted once.
    norm = spec.layers.norm and dataclasses.replace(spec.layers.norm, group=None)
    layers = dataclasses.replace(spec.layers, norm=norm)
    channels = 1 if config.data.name == "digits" else 3
    counted = parts(dataclasses.replace(spec, layers=layers), channels)
    assert counted.weighted_layers == config.model.depth + beside
    published = PARAMETERS.get(name, {}).get(row)
    assert published in (None, counted.params)


@every_file
def test_names_fit_a_folder(name):
    for text in (name, *MODULES[name]["ROWS"]):
        assert cli.folder_name(text) == text
        assert claim.ROW_NAME.fullmatch(text)


@every_file
def test_what_runs_without_a_row_is_a_row(name):
    """The folder is named after the very row that is run."""
    file, row = cli.experiment_and_row(str(FILES[name]))
    assert file == name and row in MODULES[name]["ROWS"]
    usual, named = MODULES[name]["get_config"](), MODULES[name]["get_config"](row)
    assert usual.to_dict() == named.to_dict()


@every_file
def test_docstring_holds_the_command(name):
    text = MODULES[name]["__doc__"]
    command = rf"    python -m resnet_jax.(main|sweep) --config experiments/{name}\.py"
    assert re.search(command, text)
    for line in text.splitlines():
        reference = line.partition(f"experiments/{name}.py:")[2].split(" ")[0]
        assert not reference or reference in MODULES[name]["ROWS"], line


@every_file
def test_published_values_belong_to_rows(name):
    module = MODULES[name]
    assert set(module["PAPER"]) <= set(module["ROWS"])
    for key in module["PAPER"].values():
        assert paper.value(key).key == key
    keys = list(module["PAPER"].values())
    assert len(keys) == len(set(keys))
    assert len(set(module["SEEDS"])) == len(module["SEEDS"]) > 0


@every_file
def test_deviations_name_fields(name):
    config = configured({}, {"": {}}, "")
    for path in MODULES[name].get("DEVIATIONS", {}):
        assert "." not in path or unknown(config, path) is None


@pytest.mark.parametrize(("name", "row"), [r for r in ROWS if r[0] in CIFAR])
def test_cifar_recipe_in_iterations(name, row):
    """He et al. 2016a, Sec. 4.2; 2016b, appendix."""
    config = config_of(name, row)
    total = build.schedule_steps(config, examples=50_000)
    optim = build.optimizer(config, total_steps=total)
    assert (total, optim.boundaries) == (64_000, (32_000, 48_000))
    assert optim.warmup_steps == (400 if (name, row) in WARM else 0)
    rate = optim.schedule_fn()
    first = 0.01 if (name, row) in WARM else 0.1
    expected = {
        **{0: first, 399: first, 400: 0.1, 31_999: 0.1},
        **{32_000: 0.01, 47_999: 0.01, 48_000: 0.001, 63_999: 0.001},
    }
    assert {step: float(rate(step)) for step in expected} == pytest.approx(expected)
    assert (optim.dialect, optim.momentum, optim.weight_decay) == ("caffe", 0.9, 1e-4)
    assert (optim.name, optim.nesterov, optim.dampening) == ("sgd", "none", 0.0)
    assert (config.data.name, config.data.batch_size) == ("cifar10", 128)
    assert (config.data.split, config.data.augment) == ("full", "crop_flip")
    assert build.norm_group(config, devices=4) == 64


@pytest.mark.parametrize("row", MODULES["imagenet_resnet"]["ROWS"])
def test_imagenet_recipe_in_iterations(row):
    """He et al. 2016a, Sec. 3.4: 60e4 iterations; 2016b: epochs 30, 60 and 90."""
    config = config_of("imagenet_resnet", row)
    epoch = 1_281_167 / 256
    total = build.schedule_steps(config, examples=1_281_167)
    optim = build.optimizer(config, total_steps=total)
    if row.startswith("PreAct"):
        ends = [*optim.boundaries, total]
        assert ends == pytest.approx([30 * epoch, 60 * epoch, 90 * epoch], abs=1.5)
    else:
        assert (total, optim.boundaries) == (600_000, (150_000, 300_000, 450_000))
    assert optim.warmup_steps == 0 and optim.learning_rate == 0.1
    assert (optim.dialect, optim.momentum, optim.weight_decay) == ("caffe", 0.9, 1e-4)
    assert (config.data.name, config.data.batch_size) == ("imagenet2012", 256)
    assert build.norm_group(config, devices=4) == 32
    where = {"ResNet-50-3x3": "3x3", "PreAct-152": "3x3", "PreAct-200": "3x3"}
    spec = build.network(config, num_classes=1000, devices=1)
    assert config.model.unit.stride_at == where.get(row, "1x1")
    if config.model.depth >= 50:
        assert spec.unit.branch.stride_at == (1 if row in where else 0)
