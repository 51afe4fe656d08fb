"""The floor plan, read from the source: who imports whom, and how long things are.

Every finding names its file and line.
"""

import ast
import configparser
import subprocess
from pathlib import Path

import pytest

import resnet_jax

PACKAGE = Path(resnet_jax.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

TOP = {
    ".ci", ".gitignore", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE",
    "README.md", "benchmarks", "docs", "experiments", "notebooks", "pyproject.toml",
    "resnet_jax", "results", "setup.cfg", "tests",
}  # fmt: skip

# A room, and the rooms it may import beside itself, from the ground up.
GROUND = ("errors", "paths")
ROOMS = {
    "errors": (),
    "paths": ("errors",),
    "ops": GROUND,
    "papers": GROUND,
    "config": (*GROUND, "papers"),
    "runs": (*GROUND, "papers", "config"),
    "report": (*GROUND, "papers", "config", "runs"),
    "models": (*GROUND, "config", "ops"),
    "data": (*GROUND, "config"),
    "prune": (*GROUND, "config", "models"),
    "train": (*GROUND, "config", "runs", "models", "data", "prune"),
    "interop": (*GROUND, "config", "runs", "models", "data", "train"),
}
ABOVE = (*GROUND, "papers", "config", "runs", "models", "data", "train")
ROOMS |= dict.fromkeys(("analysis", "sweep"), (*ABOVE, "prune", "interop"))
# All other files at the root, and `__main__` of a package, are commands: they see all,
# and nothing sees them but `cli`, which they share.
COMMANDS = {"main", "evaluate", "predict", "audit", "probe", "saliency"}
COMMANDS |= {"convert", "export", "cli", "recipes", "__init__"}
# A member of a slot builds its spec: these rooms of `config` import inside functions.
BUILT = {"config": ("models", "train")}
# The towers do not see each other; in `train` these files join them.
JOINTS = {"cutting", "experiment", "task"}

# Within models a file imports from lower floors only.
FLOORS = [
    {"layers/initializers", "layers/batchnorm", "layers/activations"},
    {"layers/convolution"},
    {"layers/layers"},
    {"layers/dropout", "layers/operators", "layers/pyramid"},
    {"units/cut"},
    {
        "units/branch",
        "units/shortcut",
        "units/gate",
        "units/separable",
        "nets/stem_head",
    },
    {"units/shake", "units/min", "units/multigrid", "units/runge_kutta"},
    {"units/unit"},
    {"units/preactivation"},
    {"units/stage"},
    {"units/ghost", "nets/auxiliary_loss"},
    {"nets/resnet", "nets/densenet", "nets/plain"},
    {"nets/rkcnn"},
    {"nets/spec"},
    {"zoo/resnets"},
    {
        "zoo/densenets",
        "zoo/ghostnets",
        "zoo/plain_nets",
        "zoo/resnets_3d",
        "zoo/xceptions",
    },
    {"zoo/steps_and_grids"},
    {"complexity", "network", "serialize"},
    {"inspect"},
    {"lsuv", "features", "summary"},
]

# Elsewhere than here, layers come through `Layers` alone.
DOOR = {"layers", "activations", "batchnorm"}
LAYERS = {
    "BatchNorm", "Conv", "ConvLocal", "ConvTranspose", "Dense", "DenseGeneral",
    "Dropout", "GroupNorm", "LayerNorm", "PReLU", "avg_pool", "celu", "conv",
    "conv_general_dilated", "conv_with_general_padding", "elu", "gelu", "leaky_relu",
    "max_pool", "pool", "relu", "relu6", "selu", "silu", "swish",
}  # fmt: skip
ACCELERATED = {"jax", "jaxlib", "flax", "optax", "orbax", "chex"}
FORBIDDEN = {"tensorflow", "torch", "clu", "keras", "safetensors"}
FORBIDDEN |= {"flatbuffers"}
# Libraries that a room imports inside functions, where a user asks for them
OPTIONAL = {"cli": ACCELERATED, "interop": {"torch", "safetensors", "flatbuffers"}}
WITHOUT_JAX = {"errors", "paths", "papers", "config", "runs", "report", "cli"}
LONGEST_FILE, LONGEST_FUNCTION = 300, 50


def imports(tree):
    """(line, dotted name, inside a function or for types only) of every import."""
    inside = set()
    for node in ast.walk(tree):
        lazy = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if isinstance(node, ast.If):
            lazy = ast.unparse(node.test).endswith("TYPE_CHECKING")
        if lazy:
            inside |= {id(inner) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, id(node) in inside
        elif isinstance(node, ast.ImportFrom):
            name = "." * node.level + (node.module or "")
            yield node.lineno, name, id(node) in inside
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}", id(node) in inside


def place(path):
    """("train", "loop") of resnet_jax/train/loop.py; ("main",) of the root."""
    return path.relative_to(PACKAGE).with_suffix("").parts


def own(name):
    """("train", "loop") of "resnet_jax.train.loop"; () of other packages."""
    top, *rest = name.split(".")
    return tuple(rest) if top == "resnet_jax" else ()


def is_command(here):
    return here[0] in COMMANDS or here[-1] == "__main__"


def rooms(path, tree):
    """Imports that a room may not make."""
    here = place(path)
    for line, name, inside in imports(tree):
        there = own(name)
        if name.startswith("."):
            yield line, "relative import"
        elif not there or is_command(here) or there[0] == here[0]:
            if there and not is_command(here) and there[-1] == "__main__":
                yield line, f"{'/'.join(here)} may not import a command, {name}"
        elif there[0] not in ROOMS[here[0]] and not (
            inside and there[0] in BUILT.get(here[0], ())
        ):
            yield line, f"{'/'.join(here)} may not import {name}"


def joints(path, tree):
    """Files of train, beside its joints, that see both models and data."""
    here = place(path)
    if here[0] != "train" or here[-1] in JOINTS:
        return
    seen = {}
    for line, name, _ in imports(tree):
        if own(name)[:1] in (("models",), ("data",)):
            seen[own(name)[0]] = line
    if len(seen) > 1:
        yield max(seen.values()), f"{'/'.join(here)} imports models and data"


def floor(name):
    return next((i for i, names in enumerate(FLOORS) if name in names), None)


def floors(path, tree):
    """Within models: imports of the same floor or of a higher one."""
    here = place(path)
    if here[0] != "models" or here[-1] == "__init__":
        return
    mine = floor("/".join(here[1:]))
    for line, name, _ in imports(tree):
        for there in (own(name)[1:3], own(name)[1:2]):
            level = floor("/".join(there))
            if own(name)[:1] == ("models",) and level is not None and level >= mine:
                yield line, f"{'/'.join(here)} may not import {name}"
                break


def loop_on_top(path, tree):
    """In train, only what carries out or evaluates a run stands on the loop."""
    here = place(path)
    if here[0] != "train" or here[-1] in {"run"}:
        return
    for line, name, _ in imports(tree):
        if own(name)[:2] == ("train", "loop"):
            yield line, "train/loop is the top of its tower"


def foreign(path, tree):
    """TensorFlow and the like anywhere; jax in rooms that need none."""
    here = place(path)
    plain = here[0] in WITHOUT_JAX
    for line, name, inside in imports(tree):
        top = name.split(".")[0]
        lazy = inside and top in OPTIONAL.get(here[0], ())
        if not lazy and (top in FORBIDDEN or (plain and top in ACCELERATED)):
            yield line, f"import of {name}"


def door(path, tree):
    here = place(path)
    if here[0] not in {"models", "prune"} or here[-1] in DOOR:
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
    if lines > LONGEST_FILE:
        yield LONGEST_FILE + 1, f"{lines} lines; at most {LONGEST_FILE}"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = node.end_lineno - node.lineno + 1
            if length > LONGEST_FUNCTION:
                what = f"{node.name} has {length} lines; at most {LONGEST_FUNCTION}"
                yield node.lineno, what


def commands(path, tree):
    """Commands parse, call and print, in under 80 lines behind their help."""
    here = place(path)
    if not is_command(here) or here[-1] in ("cli", "__init__", "recipes"):
        return
    first = tree.body[0]
    help_text = first.end_lineno if ast.get_docstring(tree) else 0
    lines = path.read_text().count("\n") - help_text
    if lines >= 80:
        yield 80 + help_text, f"{lines} lines behind its help; under 80"


RULES = [rooms, joints, floors, loop_on_top, foreign, door, lengths, commands]


def findings(rule, path):
    tree = ast.parse(path.read_text(), str(path))
    return [f"{path}:{line}: {what}" for line, what in rule(path, tree)]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_layout(rule):
    found = [finding for path in FILES for finding in findings(rule, path)]
    assert not found, "\n".join(found)


def test_every_file_has_its_place():
    folders = {place(path)[0] for path in FILES if path.parent != PACKAGE}
    assert folders <= set(ROOMS)
    root = {path.stem for path in PACKAGE.glob("*.py")}
    assert root <= COMMANDS | set(GROUND) and len(root) <= 13
    inside = {
        "/".join(place(path)[1:])
        for path in (PACKAGE / "models").rglob("*.py")
        if path.stem != "__init__"
    }
    assert inside == set().union(*FLOORS)


def test_nothing_else_stands_at_the_top():
    if not (PACKAGE.parent / ".git").exists():
        pytest.skip("no checkout")
    command = ["git", "ls-files", "-z"]
    found = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, check=True)
    top = {name.split("/")[0] for name in found.stdout.decode().split("\0") if name}
    assert top == TOP


def test_every_package_is_installed():
    config = configparser.ConfigParser()
    config.read(PACKAGE.parent / "setup.cfg")
    found = {".".join(p.parent.relative_to(PACKAGE.parent).parts) for p in FILES}
    named = config["options"]["packages"].split()
    assert named == sorted(found | {"resnet_jax.experiments"})
    assert config["options"]["package_dir"].split() == [
        "resnet_jax.experiments", "=", "experiments",
    ]  # fmt: skip


def test_versions_are_equal():
    version = resnet_jax.__version__
    assert f"\nversion: {version}\n" in (PACKAGE.parent / "CITATION.cff").read_text()
    changes = (PACKAGE.parent / "CHANGELOG.md").read_text()
    assert changes.startswith(f"# Changes\n\n## {version.removesuffix('.0')}")


def test_no_import_goes_in_a_circle():
    """Of what is imported when a file is, files of the package alone."""
    graph = {}
    for path in FILES:
        tree = ast.parse(path.read_text(), str(path))
        names = [own(name) for _, name, inside in imports(tree) if not inside]
        known = {place(p): p for p in FILES}
        graph[path] = {known[name] for name in names if name in known} - {path}
    done, circles = set(), []

    def visit(path, trail):
        if path in trail:
            circles.append([p.name for p in trail[trail.index(path) :]])
        elif path not in done:
            for there in sorted(graph[path]):
                visit(there, [*trail, path])
            done.add(path)

    for path in FILES:
        visit(path, [])
    assert not circles


OFFENCES = [
    (rooms, "models/units/unit.py", "from resnet_jax.train import loop"),
    (rooms, "data/pipeline.py", "import resnet_jax.models.zoo.resnets"),
    (rooms, "data/pipeline.py", "def f():\n    from resnet_jax.train import program"),
    (rooms, "ops/pooling.py", "from resnet_jax.models.layers import layers"),
    (rooms, "config/models.py", "from resnet_jax.models.zoo import resnets"),
    (rooms, "config/models.py", "def f():\n    from resnet_jax.data import crops"),
    (rooms, "papers/facts.py", "from resnet_jax.config import schema"),
    (rooms, "runs/log.py", "from resnet_jax.report import render"),
    (rooms, "paths.py", "import resnet_jax.errors\nimport resnet_jax.main"),
    (rooms, "train/step.py", "from .loop import train"),
    (rooms, "train/run.py", "from resnet_jax.sweep import plan"),
    (rooms, "analysis/saliency.py", "from resnet_jax.sweep.__main__ import main"),
    (
        joints,
        "train/loop.py",
        "from resnet_jax.data import a\nimport resnet_jax.models",
    ),
    (floors, "models/layers/layers.py", "from resnet_jax.models.units import unit"),
    (
        floors,
        "models/units/branch.py",
        "from resnet_jax.models.units.shortcut import A",
    ),
    (
        floors,
        "models/nets/resnet.py",
        "def f():\n    from resnet_jax.models import lsuv",
    ),
    (loop_on_top, "train/step.py", "from resnet_jax.train.loop import fit"),
    (foreign, "data/sources/folders.py", "import tensorflow as tf"),
    (foreign, "runs/log.py", "from clu import metric_writers"),
    (foreign, "report/table.py", "import jax.numpy as jnp"),
    (foreign, "config/rules.py", "def f():\n    import jax"),
    (foreign, "interop/files.py", "import torch"),
    (foreign, "interop/stablehlo.py", "import flatbuffers"),
    (foreign, "models/serialize.py", "def f():\n    import torch"),
    (door, "models/units/unit.py", "y = nn.relu(x)"),
    (door, "models/nets/resnet.py", "y = nn.Conv(64, (7, 7))(x)"),
    (door, "models/units/stage.py", "from flax.linen import BatchNorm"),
    (door, "models/units/shortcut.py", "y = jax.lax.conv_general_dilated(x, k)"),
    (lengths, "train/loop.py", "def f():\n" + "    pass\n" * 60),
    (lengths, "train/loop.py", "x = 1\n" * 301),
    (commands, "main.py", "x = 1\n" * 80),
    (commands, "sweep/__main__.py", '"""Help.\n\n"""\n' + "x = 1\n" * 80),
]


@pytest.mark.parametrize("rule, where, source", OFFENCES)
def test_rules_find_offences(rule, where, source, tmp_path, monkeypatch):
    """Each rule on a line that breaks it, by file and line number."""
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    path = tmp_path / where
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(source)
    (first, *_) = findings(rule, path)
    assert first.startswith(f"{path}:")
    assert int(first.split(":")[1]) <= source.count("\n") + 1


def test_tensorflow_datasets_is_no_tensorflow(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    path = tmp_path / "data" / "splits.py"
    path.parent.mkdir()
    path.write_text("import tensorflow_datasets as tfds\nimport resnet_jax.errors\n")
    assert not [finding for rule in RULES for finding in findings(rule, path)]
