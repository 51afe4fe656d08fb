"""Every row of every experiment file: valid, buildable, and its paper's recipe."""

import dataclasses
import functools
import json
import pathlib
import re
import runpy
import shutil

import pytest
from golden import make_frozen

from resnet_jax import cli
from resnet_jax import papers as paper
from resnet_jax.analysis.audit_values import ConfigValues
from resnet_jax.config import experiment_file
from resnet_jax.config.merge import leaves, nested, slot
from resnet_jax.config.resolve import configured, validated
from resnet_jax.config.rules import norm_group, schedule_steps
from resnet_jax.config.schema import Config
from resnet_jax.models import complexity
from resnet_jax.models.layers.layers import LayersSpec
from resnet_jax.models.network import network
from resnet_jax.paths import flat, replaced_where_known
from resnet_jax.train.optim import optimizer

FOLDER = pathlib.Path(__file__).parents[1] / "experiments"
FROZEN = json.loads((pathlib.Path(__file__).parent / "golden/frozen.json").read_text())
PATHS = {path.stem: path for path in sorted(FOLDER.glob("*.py"))}
FILES = {name: experiment_file.load(path) for name, path in PATHS.items()}
MODULES = {name: runpy.run_path(str(path)) for name, path in PATHS.items()}
ROWS = [(name, row) for name, file in FILES.items() for row in file.rows]
# Of images of one's own, the classes are not known here.
KNOWN = [(name, row) for name, row in ROWS if name != "finetune_folder"]
every_file = pytest.mark.parametrize("name", FILES)

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
# Files whose nets are traced within seconds.
QUICK = ("cifar_preact", "nin", "places2", "rectifiers", "spp_net", "vgg")
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


every_file_traced = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.compile)
        for name in dict(KNOWN)
    ],
)


@functools.cache
def config_of(name, row):
    return FILES[name].config(row)


def each(check, rows=ROWS):
    """Runs a check on every row, and fails with all that it complains of."""
    problems = []
    for name, row in rows:
        try:
            check(name, row)
        except Exception as error:
            problems.append(f"{name}:{row}: {type(error).__name__}: {error}")
    assert not problems, "\n".join(problems)


def equal(found, wanted):
    """Asserts it in a message that names both, also in a loop over rows."""
    assert found == wanted, f"{found!r} for {wanted!r}"


@functools.cache
def traced(spec, image):
    """Shapes of the variables, parameters by kind, multiply-adds."""
    net = spec.build()
    shapes = complexity.shapes(net, image)
    macs = complexity.multiply_adds(net, image, variables=shapes)
    return shapes, complexity.parts_of(shapes["params"]), macs


def counts(name, row):
    """`traced` of a row; what changes no shape is left out, so that rows share it."""
    row = ConfigValues(config_of(name, row))
    layers, usual = row.net.layers, LayersSpec()
    plain = {"norm": layers.norm and usual.norm, "init": usual.init, "dtype": "float32"}
    plain = {"layers": dataclasses.replace(layers, **plain)}
    plain |= {"survival": 1.0, "dropout": 0.0}
    return traced(replaced_where_known(row.net, plain), row.image)


def test_the_seven_are_there():
    assert set(PAPERS) <= set(FILES)


def test_row_differs_from_its_base_by_what_it_says():
    def check(name, row):
        module = MODULES[name]
        known = {"train.epochs", "train.iterations"} & {*module["BASE"]}
        length = {} if known else {"train.epochs": 1.0}  # its rows differ in length
        base = configured(length | module["BASE"], {"": {}}, "")
        base = flat(validated(base.to_dict()).to_dict())
        config = flat(config_of(name, row).to_dict())
        said = spelt(module["ROWS"][row], config)
        equal({path: config[path] for path in said}, said)
        # A word changes its slot as well: to fields that its member has by default.
        chosen = tuple(p.removesuffix("name") for p in said if p.endswith(".name"))
        chosen += tuple(f"{path}." for path, value in said.items() if value is None)
        changed = {p for p in config.keys() | base if config.get(p) != base.get(p)}
        changed -= {*said}
        equal({path for path in changed if not path.startswith(chosen)}, set())
        row_of_base = configured(module["BASE"], module["ROWS"], row)
        equal(config_of(name, row), validated(row_of_base.to_dict()))

    each(check)


def spelt(changes, config):
    """Fields of a row, leaf by leaf: the word of a slot is its `name`."""
    found = {}
    for path, value in flat(nested(changes)).items():
        word = path not in config and f"{path}.name" in config
        value = None if value == "none" and config.get(path, "") is None else value
        found[f"{path}.name" if word else path] = value
    return found


def test_row_survives_its_config_file():
    def check(name, row):
        config = config_of(name, row)
        equal(validated(json.loads(json.dumps(config.to_dict()))), config)

    each(check)


def test_row_builds_its_network_on_one_and_two_devices():
    def check(name, row):
        config = config_of(name, row)
        for devices in (1, 2):
            network(
                config, num_classes=ConfigValues(config).data.classes, devices=devices
            )

    each(check, KNOWN)


def test_networks_are_as_deep_as_they_say_and_have_the_published_parameters():
    """By what is frozen, which the last test of these compares with the networks."""

    def check(name, row):
        model = config_of(name, row).model
        if model.name not in DEEP:
            return
        parts = complexity.Parts(**FROZEN["rows"][f"{name}:{row}"]["parts"])
        # Two branches stand beside each other; papers count one.
        branches = getattr(model.unit, "num_branches", 1)
        beside = (model.depth - 2) * (branches - 1)
        equal(parts.weighted_layers, model.depth + beside)
        published = PARAMETERS.get(name, {}).get(row)
        equal(parts.params, parts.params if published is None else published)

    each(check, KNOWN)


# --- golden/frozen.json, as golden/make_frozen.py makes it


def test_every_row_is_frozen():
    assert FROZEN["rows"].keys() == {f"{name}:{row}" for name, row in KNOWN}


def test_networks_are_those_that_are_frozen():
    def check(name, row):
        spec = repr(ConfigValues(config_of(name, row)).net)
        equal(make_frozen.digest(spec), FROZEN["rows"][f"{name}:{row}"]["spec"])

    each(check, KNOWN)


def depth(row):
    return FROZEN["rows"][row]["parts"]["weighted_layers"]


@every_file_traced
def test_variables_and_counts_are_those_that_are_frozen(name):
    def check(name, row):
        shapes, parts, macs = counts(name, row)
        full = {"spec": repr(ConfigValues(config_of(name, row)).net)}
        full |= {"tree": make_frozen.tree(shapes), "macs": macs}
        full |= make_frozen.parameters(parts)
        (found,) = make_frozen.compact({"": full}).values()
        equal(found, FROZEN["rows"][f"{name}:{row}"])

    rows = sorted(FILES[name].rows, key=lambda row: depth(f"{name}:{row}"))
    if name not in (*PAPERS, "digits_families"):
        rows = {rows[0], rows[-1]}  # the specs of those between are compared above
    each(check, [(name, row) for row in rows])


# --- the files


def test_a_bare_name_is_a_file_of_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert experiment_file.load("cifar_preact").rows == FILES["cifar_preact"].rows
    (tmp_path / "experiments").mkdir()
    installed = tmp_path / "experiments" / "cifar_preact.py"
    monkeypatch.setattr(experiment_file, "OWN", (installed.parent, FOLDER))
    installed.write_text(PATHS["nin"].read_text())
    assert experiment_file.load("cifar_preact").rows == FILES["nin"].rows
    shutil.copy(PATHS["vgg"], tmp_path / "cifar_preact")
    assert experiment_file.load("cifar_preact").rows == FILES["vgg"].rows


@every_file
def test_names_fit_a_folder(name):
    for text in (name, *FILES[name].rows):
        assert experiment_file.folder_name(text) == text


@every_file
def test_what_runs_without_a_row_is_a_row(name):
    """The folder is named after the very row that is run."""
    file, row, config = cli.chosen(str(PATHS[name]), [])
    assert file.name == name and row in file.rows
    assert config == config_of(name, row)


@every_file
def test_docstring_holds_the_command(name):
    text = MODULES[name]["__doc__"]
    command = rf"    python -m resnet_jax.(main|sweep) --config experiments/{name}\.py"
    assert re.search(command, text)
    for line in text.splitlines():
        reference = line.partition(f"experiments/{name}.py:")[2].split(" ")[0]
        assert not reference or reference in FILES[name].rows, line


@every_file
def test_published_values_belong_to_rows(name):
    module = MODULES[name]
    assert set(module["PAPER"]) <= set(module["ROWS"])
    for key in module["PAPER"].values():
        assert paper.value(key).key == key
    keys = list(module["PAPER"].values())
    assert len(keys) == len(set(keys))
    assert len(set(module["SEEDS"])) == len(module["SEEDS"]) > 0


def test_deviations_name_fields():
    """Of any member of a slot; the word of a slot goes by `model.name` as well."""
    known = {path for path, _, _ in leaves(Config)}
    known |= {f"{path}.name" for path, _, hint in leaves(Config) if slot(hint)}
    for name, file in FILES.items():
        assert {path for path in file.deviations if "." in path} <= known, name


def test_cifar_recipe_in_iterations():
    """He et al. 2016a, Sec. 4.2; 2016b, appendix."""

    def check(name, row):
        config = config_of(name, row)
        total = schedule_steps(config, examples=50_000)
        optim = optimizer(config, total_steps=total)
        equal((total, optim.boundaries), (64_000, (32_000, 48_000)))
        equal(optim.warmup_steps, 400 if (name, row) in WARM else 0)
        rate = optim.schedule_fn()
        first = 0.01 if (name, row) in WARM else 0.1
        expected = {
            **{0: first, 399: first, 400: 0.1, 31_999: 0.1},
            **{32_000: 0.01, 47_999: 0.01, 48_000: 0.001, 63_999: 0.001},
        }
        rates = {step: float(rate(step)) for step in expected}
        equal(rates, pytest.approx(expected))
        momentum = (optim.dialect, optim.momentum, optim.weight_decay)
        equal(momentum, ("caffe", 0.9, 1e-4))
        equal((optim.name, optim.nesterov, optim.dampening), ("sgd", False, 0.0))
        equal((config.data.name, config.data.batch_size), ("cifar10", 128))
        equal((config.data.split, config.data.augment), ("full", "crop_flip"))
        equal(norm_group(config, devices=4), 64)

    each(check, [(name, row) for name, row in ROWS if name in CIFAR])


def test_imagenet_recipe_in_iterations():
    """He et al. 2016a, Sec. 3.4: 60e4 iterations; 2016b: epochs 30, 60 and 90."""
    where = {"ResNet-50-3x3": "3x3", "PreAct-152": "3x3", "PreAct-200": "3x3"}
    epoch = 1_281_167 / 256

    def check(name, row):
        config = config_of(name, row)
        total = schedule_steps(config, examples=1_281_167)
        optim = optimizer(config, total_steps=total)
        if row.startswith("PreAct"):
            ends = [*optim.boundaries, total]
            equal(ends, pytest.approx([30 * epoch, 60 * epoch, 90 * epoch], abs=1.5))
        else:
            equal((total, optim.boundaries), (600_000, (150_000, 300_000, 450_000)))
        equal((optim.warmup_steps, optim.learning_rate), (0, 0.1))
        momentum = (optim.dialect, optim.momentum, optim.weight_decay)
        equal(momentum, ("caffe", 0.9, 1e-4))
        equal((config.data.name, config.data.batch_size), ("imagenet2012", 256))
        equal(norm_group(config, devices=4), 32)
        # A branch that comes with the depth has no such field; it strides in the 1x1.
        said = getattr(config.model.unit.branch, "stride_at", "1x1")
        equal(said, where.get(row, "1x1"))
        if config.model.depth >= 50:
            spec = network(config, num_classes=1000, devices=1)
            equal(spec.unit.branch.stride_at, 1 if row in where else 0)

    each(check, [(name, row) for name, row in ROWS if name == "imagenet_resnet"])
