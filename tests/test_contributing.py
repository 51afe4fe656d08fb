"""The lines that CONTRIBUTING.md gives to people do what it says."""

import dataclasses
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from resnet_jax.models import complexity
from resnet_jax.models.nets.resnet import ResNetSpec
from resnet_jax.models.units.branch import Branch
from resnet_jax.models.units.unit import FULL_PRE, ORIGINAL, UnitSpec

ROOT = pathlib.Path(__file__).parents[1]
FILE = pathlib.Path("experiments") / "digits_shortcuts.py"
ROW = "dropout-0.25"


def blocks(heading):
    """The code blocks of a section, each as its text."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    sections = re.split(r"^## (.*)\n", text, flags=re.MULTILINE)
    (section,) = [
        body
        for title, body in zip(sections[1::2], sections[2::2], strict=True)
        if title.startswith(heading)
    ]
    return re.findall(r"^```\w*\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def checkout(tmp_path):
    """A copy of the experiments in which the one line is added; its folder."""
    shutil.copytree(ROOT / "experiments", tmp_path / "experiments")
    opening, dots, line, closing = blocks("A new ablation")[0].splitlines()
    assert (opening, dots.strip(), closing) == ("ROWS = {", "...", "}")
    head, end, tail = (tmp_path / FILE).read_text().partition("\n}\nSEEDS = ")
    assert end and "\nROWS = {\n" in head
    (tmp_path / FILE).write_text(f"{head}\n{line}{end}{tail}")
    return tmp_path


def run(checkout, line, *more):
    """The output of a line as a person types it, with options perhaps."""
    python, *arguments = shlex.split(line)
    assert python == "python"
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "TFDS_DATA_DIR": str(checkout / "tfds"),
        "JAX_COMPILATION_CACHE_DIR": str(checkout / "xla"),
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
    }
    done = subprocess.run(
        [sys.executable, *arguments, *more],
        cwd=checkout, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def cells(table, row):
    """The cells of a row of a report, by their columns."""
    lines = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")]
    names = [name.strip("| ") for name in lines[0]]
    (found,) = [line for line in lines if line[0] == f"| {row}"]
    return dict(zip(names, [cell.strip("| ") for cell in found], strict=True))


@pytest.mark.slow
def test_a_new_ablation_from_its_line_to_the_table(checkout):
    """The lines of the first try, word for word."""
    sweep, report = blocks("A new ablation")[2].splitlines()
    assert "1 of 1 runs done" in run(checkout, sweep)
    table = run(checkout, report)
    measured = cells(table, ROW)
    assert re.fullmatch(r"\d+\.\d\d \(1\)", measured["Ours, mean ± std (n)"])
    assert "config is not today's: seed 0" in measured["Marks"]
    assert "train.steps 20, today None" in table.replace("\\", "")
    assert cells(table, "original")["Marks"] == "no runs"


def test_the_whole_ablation_is_three_seeds_of_two_rows(checkout):
    sweep, _ = blocks("A new ablation")[1].splitlines()
    commands = run(checkout, sweep, "--commands").splitlines()
    assert len(commands) == 6 and sum(f":{ROW} " in line for line in commands) == 3


def test_a_new_row_leaves_the_others_as_they_are(checkout):
    """The committed logs, and the new row that is still to be trained."""
    shutil.copytree(
        ROOT / "results" / "digits" / FILE.stem, checkout / "runs" / FILE.stem
    )
    _, report = blocks("A new ablation")[1].splitlines()
    table = run(checkout, report)
    assert cells(table, ROW)["Marks"] == "no runs"
    assert "is not today's" not in table
    committed = (ROOT / "results" / "digits" / f"{FILE.stem}.md").read_text()
    assert cells(table, "dropout")["Marks"] == cells(committed, "dropout")["Marks"]


@pytest.mark.parametrize("order", [ORIGINAL, FULL_PRE])
def test_a_new_branch(order):
    """9 c (2c) + (2c) 9 c weights a unit, and the norms that the order asks for."""
    scope = {"dataclasses": dataclasses}
    exec(blocks("A new residual unit")[0], scope)
    branch = scope["Wide"]()
    assert isinstance(branch, Branch)
    net = ResNetSpec(depths=(3,), widths=(16,), unit=UnitSpec(branch, order))
    parts = complexity.parts(net.build(), (8, 8, 3))
    assert parts.conv == 9 * 3 * 16 + 3 * (9 * 16 * 32 * 2)
    assert parts.weighted_layers == 1 + 3 * 2 + 1
    norms = 3 * (32 + 16) + 16  # within and behind, or ahead; and the stem's or head's
    assert parts.norm == 2 * norms
