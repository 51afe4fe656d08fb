"""The blocks of CONTRIBUTING.md, pasted as they stand, do what the text says."""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
FILE = pathlib.Path("experiments") / "digits_shortcuts.py"
ROW = "dropout-0.25"
PLACE = re.compile(
    r"`([\w/]+\.py)`, (at the end|a new file|(?:above|below|in place of) the line "
    r"`(.+)`):\s*\Z"
)


def section(heading):
    """The text of a section."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    sections = re.split(r"^## (.*)\n", text, flags=re.MULTILINE)
    (found,) = [
        body
        for title, body in zip(sections[1::2], sections[2::2], strict=True)
        if title.startswith(heading)
    ]
    return found


def blocks(heading):
    """(text ahead of it, language, code) of each code block of a section."""
    parts = re.split(r"^```(\w*)\n(.*?)^```\n", section(heading), flags=re.M | re.S)
    return list(zip(parts[::3], parts[1::3], parts[2::3], strict=False))


def commands(heading):
    """The lines for a shell."""
    return [
        line
        for _, language, code in blocks(heading)
        if not language
        for line in code.splitlines()
    ]


def paste(checkout, heading):
    """Puts every Python block where the text ahead of it says; the files touched."""
    touched = []
    for ahead, language, code in blocks(heading):
        if language != "python":
            continue
        path, where, line = PLACE.search(ahead).groups()
        file = checkout / path
        touched.append(path)
        if where == "a new file":
            assert not file.exists()
            file.write_text(code)
            continue
        text = file.read_text()
        if where == "at the end":
            file.write_text(text + code)
            continue
        assert text.count(f"{line}\n") == 1, line
        new = {
            "above": f"{code}{line}\n",
            "below": f"{line}\n{code}",
            "in place of": code,
        }[where.removesuffix(f" the line `{line}`")]
        file.write_text(text.replace(f"{line}\n", new))
    return touched


@pytest.fixture
def checkout(tmp_path):
    """A copy of package and experiments."""
    for folder in ("resnet_jax", "experiments"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    return tmp_path


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Data and compiled programs that all of these commands share."""
    return tmp_path_factory.mktemp("kept")


def run(checkout, kept, line, *more):
    """The output of a line as a person types it, with options perhaps."""
    python, *arguments = shlex.split(line)
    assert python == "python"
    environment = os.environ | {
        "PYTHONPATH": str(checkout),
        "TFDS_DATA_DIR": str(kept / "tfds"),
        "JAX_COMPILATION_CACHE_DIR": str(kept / "xla"),
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


@pytest.mark.process
def test_a_new_row_from_its_line_to_the_table(checkout, kept):
    """The lines of the first try, word for word."""
    assert paste(checkout, "A row") == [str(FILE)]
    _, _, sweep, report = commands("A row")
    assert "1 of 1 runs done" in run(checkout, kept, sweep)
    table = run(checkout, kept, report)
    measured = cells(table, ROW)
    assert re.fullmatch(r"\d+\.\d\d \(1\)", measured["Ours, mean ± std (n)"])
    assert "config is not today's: seed 0" in measured["Marks"]
    assert "train.steps 20, today None" in table.replace("\\", "")
    assert cells(table, "original")["Marks"] == "no runs"


@pytest.mark.process
def test_the_whole_ablation_is_three_seeds_of_two_rows(checkout, kept):
    paste(checkout, "A row")
    sweep, *_ = commands("A row")
    listed = run(checkout, kept, sweep, "--commands").splitlines()
    assert len(listed) == 6 and sum(f":{ROW} " in line for line in listed) == 3


@pytest.mark.process
def test_a_new_row_leaves_the_others_as_they_are(checkout, kept):
    """The committed logs, and the new row that is still to be trained."""
    paste(checkout, "A row")
    logs = ROOT / "results" / "digits" / FILE.stem
    shutil.copytree(logs, checkout / "runs" / FILE.stem)
    table = run(checkout, kept, commands("A row")[1])
    assert cells(table, ROW)["Marks"] == "no runs"
    assert "is not today's" not in table
    committed = (ROOT / "results" / "digits" / f"{FILE.stem}.md").read_text()
    assert cells(table, "dropout")["Marks"] == cells(committed, "dropout")["Marks"]


RECIPES = {  # heading: files touched, what a run's config.json then says
    "A residual unit": (2, ("model", "unit", "branch", "name"), "wide"),
    "A family": (2, ("model", "name"), "two_stage_resnet"),
    "An optimizer": (2, ("optim", "name"), "lion"),
    "A data source": (3, ("data", "name"), "stripes"),
    "An evaluation protocol": (2, ("data", "protocol", "name"), "mirrored"),
}


@pytest.mark.process
@pytest.mark.parametrize("heading", RECIPES)
def test_what_is_added_trains_and_is_audited(heading, checkout, kept):
    files, path, word = RECIPES[heading]
    assert len(set(paste(checkout, heading))) == files
    said = [run(checkout, kept, line) for line in commands(heading)]
    assert said[0].startswith("done: test error ")
    (config,) = checkout.glob("try/*/config.json")
    assert _at(config, path) == word
    assert "0 WRONG" in next(text for text in said if "WRONG" in text)
    if heading == "An evaluation protocol":
        rows = (config.parent / "metrics.jsonl").read_text()
        assert '"protocol": "mirrored"' in rows and '"protocol": "1crop"' in said[1]
    if heading == "A family":
        assert "Weighted layers: 4n+2 (basic). Of model=two_stage_resnet." in said[2]


def _at(file, path):
    import json

    tree = json.loads(file.read_text())
    for name in path:
        tree = tree[name]
    return tree


def test_every_block_says_where_it_goes():
    for heading in ("A row", *RECIPES):
        for ahead, language, _ in blocks(heading):
            assert language != "python" or PLACE.search(ahead), heading
