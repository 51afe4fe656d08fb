"""Every notebook runs headless on the embedded data, and is stored without output."""

import ast
import itertools
import json
import pathlib
import re

import nbclient
import nbformat
import pytest

FOLDER = pathlib.Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def code(path):
    cells = json.loads(path.read_text())["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_without_output_and_defines_nothing(path):
    for cell in code(path):
        assert cell["outputs"] == [] and cell["execution_count"] is None
        tree = ast.parse("".join(cell["source"]))
        assert not [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]


# What a notebook has, and what a test has in its place: short runs of small nets.
SMALL = '"--config.model.width=0.25", "--config.model.depth={depth}"'
SHORTER = {
    r'train\.epochs=[\d.]+"': f'train.epochs=1.0", {SMALL.format(depth=8)}',
    r'"--seeds", "2"': f'"--seeds", "1", {SMALL.format(depth=14)}',
    r"\*short\]": '*short, "--rows", "PreAct-20"]',
}
# Commands of a kernel run in it: each would import again what others have imported.
HERE = """
import contextlib, importlib, io, subprocess, sys
def run(command, started=subprocess.run, **options):
    if command[0] != sys.executable:
        return started(command, **options)
    package = command[2].endswith((".report", ".sweep"))
    module = importlib.import_module(command[2] + ".__main__" * package)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert module.main(command[2:]) == 0
    return subprocess.CompletedProcess(command, 0, out.getvalue())
subprocess.run = run
"""


@pytest.mark.parametrize("long", SHORTER)
def test_what_is_shortened_is_there(long):
    cells = itertools.chain.from_iterable(map(code, NOTEBOOKS))
    assert any(re.search(long, "".join(cell["source"])) for cell in cells)


@pytest.mark.process
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore")  # of the client's own libraries
def test_runs_headless(path, tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:  # runs of a test are short, and out of the checkout
        cell.source = cell.source.replace(
            'root / "runs"', f"pathlib.Path({str(tmp_path)!r})"
        )
        for long, short in SHORTER.items():
            cell.source = re.sub(long, short, cell.source)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(HERE))
    client = nbclient.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": str(FOLDER)}}
    )
    client.execute()
    shown = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    assert any("image/png" in out.get("data", {}) for out in shown)
