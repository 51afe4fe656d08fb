"""The floor plan, read from the source: who imports whom, and how long things are.

Every finding names its file and line.
"""

import ast
from pathlib import Path

import pytest

import resnet_jax

PACKAGE = Path(resnet_jax.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

GROUND = {"errors", "spec"}
TOWERS = {"modules", "data", "train", "report"}
ON_MODULES = {"compress", "interop", "zoo"}
BENEATH = {"modules": "ops"} | dict.fromkeys(ON_MODULES, "modules")
# Every other file at the top is the roof: it sees all, and nothing sees it.

# Within modules a file imports from lower floors only.
FLOORS = [
    {"initializers", "batchnorm", "rectifiers"},
    {"layers"},
    {"noise", "operators"},
    {"branches", "shortcuts", "stems_heads", "spp"},
    {"shakes", "min_nets", "multigrid", "runge_kutta"},
    {"units"},
    {"ahead"},
    {"stages"},
    {"ghost", "relays"},
    {"resnet", "densenet", "plain"},
    {"rkcnn"},
]

# Elsewhere than here, layers come through `Layers` alone.
DOOR = {"layers", "rectifiers", "batchnorm"}
LAYERS = {
    "BatchNorm", "Conv", "ConvLocal", "ConvTranspose", "Dense", "DenseGeneral",
    "Dropout", "GroupNorm", "LayerNorm", "PReLU", "avg_pool", "celu", "conv",
    "conv_general_dilated", "conv_with_general_padding", "elu", "gelu", "leaky_relu",
    "max_pool", "pool", "relu", "relu6", "selu", "silu", "swish",
}  # fmt: skip
FORBIDDEN = {"tensorflow", "torch", "clu", "keras"}
ACCELERATED = {"jax", "jaxlib", "flax", "optax", "orbax", "chex"}


def imports(tree):
    """(line, dotted name) of every import, those inside functions included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


def place(path):
    """("modules", "units") of resnet_jax/modules/units.py; ("main",) of the roof."""
    return path.relative_to(PACKAGE).with_suffix("").parts


def own(name):
    """("modules", "units") of "resnet_jax.modules.units"; () of other packages."""
    top, *rest = name.split(".")
    return tuple(rest) if top == "resnet_jax" else ()


def may_import(here, there):
    """Towers see themselves and the ground; the roof sees all."""
    if here[0] not in {"ops"} | GROUND | TOWERS | ON_MODULES or there[0] in GROUND:
        return True
    return there[0] in (here[0], BENEATH.get(here[0]))


def floor(name):
    return next((i for i, names in enumerate(FLOORS) if name in names), None)


def may_stand_on(here, there):
    """Within modules: on lower floors."""
    return floor(there) < floor(here)


def towers(path, tree):
    here = place(path)
    for line, name in imports(tree):
        there = own(name)
        if name.startswith("."):
            yield line, "relative import"
        elif there and not may_import(here, there):
            yield line, f"{'/'.join(here)} may not import {name}"


def floors(path, tree):
    here = place(path)
    if here[0] != "modules" or here[-1] == "__init__":
        return
    for line, name in imports(tree):
        there = own(name)
        if there[:1] != ("modules",) or len(there) == 1:
            continue
        if not may_stand_on(here[1], there[1]):
            yield line, f"modules/{here[1]} may not import {name}"


def loop_on_top(path, tree):
    """Nothing in train stands on the loop."""
    for line, name in imports(tree):
        if place(path)[0] == "train" and own(name)[:2] == ("train", "loop"):
            yield line, "train/loop is the top of its tower"


def foreign(path, tree):
    plain = place(path)[0] in GROUND | {"report"}
    banned = FORBIDDEN | ACCELERATED if plain else FORBIDDEN
    for line, name in imports(tree):
        if name.split(".")[0] in banned:
            yield line, f"import of {name}"


def door(path, tree):
    here = place(path)
    if here[0] not in {"modules", *ON_MODULES} or here[-1] in DOOR:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in LAYERS:
            owner = ast.unparse(node.value)
            if owner in {"nn", "linen", "flax.linen", "jax.nn", "lax", "jax.lax"}:
                yield node.lineno, f"{owner}.{node.attr} beside the one door"
        elif isinstance(node, ast.ImportFrom) and node.module in {
            "flax.linen", "jax.nn", "jax.lax",
        }:  # fmt: skip
            for alias in node.names:
                if alias.name in LAYERS:
                    yield node.lineno, f"{alias.name} beside the one door"


def lengths(path, tree):
    lines = path.read_text().count("\n")
    if lines > 300:
        yield 301, f"{lines} lines; at most 300"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = node.end_lineno - node.lineno + 1
            if length > 60:
                yield node.lineno, f"{node.name} has {length} lines; at most 60"


RULES = [towers, floors, loop_on_top, foreign, door, lengths]


def findings(rule, path):
    tree = ast.parse(path.read_text(), str(path))
    return [f"{path}:{line}: {what}" for line, what in rule(path, tree)]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_layout(rule):
    found = [finding for path in FILES for finding in findings(rule, path)]
    assert not found, "\n".join(found)


def test_every_file_has_its_place():
    folders = {place(path)[0] for path in FILES if path.parent != PACKAGE}
    assert folders <= {"ops"} | TOWERS | ON_MODULES
    modules = {path.stem for path in (PACKAGE / "modules").glob("*.py")} - {"__init__"}
    assert modules == set().union(*FLOORS)


OFFENCES = [
    (towers, "modules/units.py", "from resnet_jax.train import loop"),
    (towers, "data/loader.py", "import resnet_jax.zoo.resnets"),
    (towers, "modules/units.py", "from resnet_jax.zoo.resnets import scaled"),
    (towers, "ops/pooling.py", "from resnet_jax.modules import layers"),
    (towers, "zoo/clips.py", "from resnet_jax.ops import pooling"),
    (towers, "spec.py", "import resnet_jax.errors\nimport resnet_jax.main"),
    (towers, "train/step.py", "from .loop import train"),
    (floors, "modules/layers.py", "def f():\n    from resnet_jax.modules import units"),
    (floors, "modules/branches.py", "from resnet_jax.modules.shortcuts import Add"),
    (towers, "modules/resnet.py", "from resnet_jax.lsuv import lsuv"),
    (loop_on_top, "train/step.py", "from resnet_jax.train.loop import train"),
    (foreign, "data/folders.py", "import tensorflow as tf"),
    (foreign, "train/log.py", "from clu import metric_writers"),
    (foreign, "report/tables.py", "import jax.numpy as jnp"),
    (door, "modules/units.py", "y = nn.relu(x)"),
    (door, "modules/resnet.py", "y = nn.Conv(64, (7, 7))(x)"),
    (door, "modules/stages.py", "from flax.linen import BatchNorm"),
    (door, "modules/shortcuts.py", "y = jax.lax.conv_general_dilated(x, k)"),
    (lengths, "train/loop.py", "def f():\n" + "    pass\n" * 60),
    (lengths, "train/loop.py", "x = 1\n" * 301),
]


@pytest.mark.parametrize("rule, where, source", OFFENCES)
def test_rules_find_offences(rule, where, source, tmp_path, monkeypatch):
    """Each rule on a line that breaks it, by file and line number."""
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    path = tmp_path / where
    path.parent.mkdir(exist_ok=True)
    path.write_text(source)
    (first, *_) = findings(rule, path)
    assert first.startswith(f"{path}:")
    assert int(first.split(":")[1]) <= source.count("\n") + 1


def test_tensorflow_datasets_is_no_tensorflow(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    path = tmp_path / "data" / "sources.py"
    path.parent.mkdir()
    path.write_text("import tensorflow_datasets as tfds\nimport resnet_jax.errors\n")
    assert not [finding for rule in RULES for finding in findings(rule, path)]
