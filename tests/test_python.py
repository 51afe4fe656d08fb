"""The public names: lazy, documented, and at work as the pages show them."""

import ast
import contextlib
import dataclasses
import inspect
import io
import re
import shutil
import subprocess
import sys
import typing

import pytest
import runs

import resnet_jax
from resnet_jax.models.nets.spec import NetSpec

ROOT = runs.ROOT
ZOO = sorted((ROOT / "resnet_jax" / "models" / "zoo").glob("*.py"))
STUB = ast.parse((ROOT / "resnet_jax" / "__init__.pyi").read_text())
PAGES = ("docs/python.md", "README.md")
FUNCTIONS = [
    name for name in resnet_jax.__all__ if inspect.isfunction(getattr(resnet_jax, name))
]


# ---------------------------------------------------------------- names


def zoo():
    """Public functions of the zoo that return the spec of a net."""
    specs = {cls.__name__ for cls in typing.get_args(NetSpec)}
    for path in ZOO:
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
                continue
            if node.returns and ast.unparse(node.returns) in specs:
                yield node.name


def test_all_nets_of_the_zoo_are_public():
    assert len(set(zoo())) > 20
    assert set(zoo()) <= set(resnet_jax.__all__)


def test_every_name_is_there_once_and_listed():
    names = resnet_jax.__all__
    assert len(names) == len(set(names)) and set(names) <= set(dir(resnet_jax))
    imported = [
        alias.name
        for node in STUB.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    assert sorted([*imported, "__version__"]) == sorted(names)
    for name in names:
        assert getattr(resnet_jax, name) is not None


def test_other_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="'resnet_jax' has no attribute 'resnet'"):
        resnet_jax.resnet  # noqa: B018
    with pytest.raises(ImportError):
        exec("from resnet_jax import resnet")


@pytest.mark.process
def test_import_is_quick_and_imports_nothing_else():
    """Under 50 ms over bare Python: in fact one module more, sys apart."""
    code = "import sys; a = set(sys.modules); import resnet_jax; b = set(sys.modules); "
    code += "dir(resnet_jax); print(b - a, {'jax', 'numpy', 'flax'} & set(sys.modules))"
    microseconds = []
    for _ in range(5):  # the machine may be busy
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env=runs.environment(),
        )
        assert done.stdout == "{'resnet_jax'} set()\n"
        (spent,) = re.findall(r"(\d+) \| resnet_jax$", done.stderr, re.MULTILINE)
        microseconds.append(int(spent))
    assert min(microseconds) < 50_000


def test_one_number_of_the_version():
    setup = (ROOT / "setup.cfg").read_text()
    assert "version = attr: resnet_jax.__version__\n" in setup
    assert re.fullmatch(r"\d+\.\d+\.\d+", resnet_jax.__version__)
    packaged = setup.split("[options.package_data]")[1].split("[")[0].split()
    assert packaged == ["resnet_jax", "=", "__init__.pyi", "py.typed"]
    assert (ROOT / "resnet_jax" / "py.typed").exists()


# ---------------------------------------------------------------- docstrings

SOURCE = re.compile(r"(et al\.|& \w+) \d{4}|ours")
SHAPE = re.compile(r"\d+x\d+|any size|\[b? ?.*\bc\]")


def first_line(name):
    return (inspect.getdoc(getattr(resnet_jax, name)) or "").split("\n")[0]


def test_every_name_has_a_docstring_in_plain_words():
    for name in resnet_jax.__all__:
        if name == "__version__":
            continue
        line = first_line(name)
        assert line.endswith((".", ")", ":")) and len(line) > 5, (name, line)
        assert not re.match(r"(What|Whether|How|Where)\b", line), (name, line)
        given = getattr(resnet_jax, name)
        if dataclasses.is_dataclass(given) and isinstance(given, type):
            assert not line.startswith(f"{given.__name__}("), f"{name}: only its fields"


def test_nets_tell_source_images_and_refusals():
    for name in zoo():
        text = inspect.getdoc(getattr(resnet_jax, name)) or ""
        assert SOURCE.search(text), f"{name}: no source"
        assert SHAPE.search(text), f"{name}: not for which images it is"
        assert "ConfigError" in text, f"{name}: not what it refuses"


def test_other_functions_tell_shapes_and_errors():
    for name in {*FUNCTIONS} - {*zoo()}:
        function = getattr(resnet_jax, name)
        text = inspect.getdoc(function) or ""
        assert re.search(r"\w+Error", text), f"{name}: not which errors it raises"
        for parameter in inspect.signature(function).parameters:
            assert re.search(rf"\b{parameter}\b", text), f"{name}: not {parameter}"
    for name in ("preprocess", "predict"):
        text = inspect.getdoc(getattr(resnet_jax.LoadedRun, name)) or ""
        assert "[b" in text and "rror" in text, name


# ---------------------------------------------------------------- pages


def blocks(page):
    """(Python code, the output that the page shows below it) of a page."""
    text = (ROOT / page).read_text()
    found = re.findall(
        r"^```python\n(.*?)^```\n(\n```text\n(.*?)^```)?", text, re.M | re.S
    )
    return [(code, output if below else None) for code, below, output in found]


@pytest.fixture(scope="module")
def trained(shop, tmp_path_factory):
    return shop.train(tmp_path_factory.mktemp("trained"), {"train.steps": 4})


@pytest.mark.compile
@pytest.mark.parametrize("page", PAGES)
def test_the_python_of_a_page_runs_as_written(page, trained, tmp_path, monkeypatch):
    """With a run of a tiny net in the folder that the page loads."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "digits_preact" / "PreAct-20" / "seed0"
    shutil.copytree(trained, folder)
    names, found = {}, blocks(page)
    assert len(found) > 0
    for code, expected in found:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile(code, page, "exec"), names)
        if expected is not None:
            assert said.getvalue() == expected, code


def test_pages_show_every_function_that_is_no_net():
    text = "".join((ROOT / page).read_text() for page in PAGES)
    for name in {*FUNCTIONS} - {*zoo()}:
        assert f"resnet_jax.{name}(" in text, name
