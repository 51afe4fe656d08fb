"""The committed tables are tied to their logs, and the README to the tables."""

import json
import re
import shlex
import shutil

import pytest
from test_report import build, call, made
from test_results import ROOT, TABLES

from resnet_jax.report.__main__ import main
from resnet_jax.report.runs import FILES


@pytest.fixture
def committed(request, tmp_path):
    """A committed table and its runs, copied."""
    table = request.param
    shutil.copytree(table.with_suffix(""), tmp_path / table.stem)
    shutil.copy(table, tmp_path)
    return tmp_path / table.name


def checked(table):
    """The exit code of a check of the copy."""
    experiment = ROOT / "experiments" / f"{table.stem}.py"
    return main(
        ["report", str(experiment), "--runs", str(table.parent), "--check", str(table)]
    )


def one_digit(table):
    """The last digit of the first number of a row."""
    text = table.read_text(encoding="utf-8")
    found = re.search(r"(?<=\| )\d+\.\d\d(?= )", text)
    other = str((int(found[0][-1]) + 1) % 10)
    table.write_text(text[: found.end() - 1] + other + text[found.end() :])


def one_log_line(table):
    log = next(table.parent.rglob("metrics.jsonl"))
    first, *rest = log.read_text().splitlines()
    row = json.loads(first)
    log.write_text("\n".join([json.dumps(row | {"loss": row["loss"] + 1}), *rest, ""]))


def one_config_field(table):
    path = next(table.parent.rglob("config.json"))
    config = json.loads(path.read_text())
    config["optim"]["learning_rate"] *= 2
    path.write_text(json.dumps(config, indent=1))


@pytest.mark.parametrize("change", [one_digit, one_log_line, one_config_field])
@pytest.mark.parametrize("committed", TABLES, indirect=True, ids=lambda t: t.stem)
def test_one_change_is_found(committed, change, capsys):
    assert checked(committed) == 0
    change(committed)
    assert checked(committed) == 3
    assert f"{committed}:" in capsys.readouterr().err


def test_any_file_of_any_run_counts(tmp_path, capsys):
    """A blank behind its last line is enough."""
    build(tmp_path)
    table = tmp_path / "toy.md"
    table.write_text(made(tmp_path, capsys), encoding="utf-8")
    files = [f for f in (tmp_path / "runs").rglob("*") if f.name in FILES]
    assert len(files) == 6 * 4
    for file in files:
        before = file.read_bytes()
        file.write_bytes(before[:-1] + b" " + before[-1:])
        assert call(tmp_path, "--check", str(table)) == 3, file
        file.write_bytes(before)
    assert call(tmp_path, "--check", str(table)) == 0


def opening():
    """The opening table and figure of the README."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    start, end = "<!-- opening table and figure -->", "<!-- end of opening -->"
    return text.partition(start)[2].partition(end)[0]


def rows(text):
    """The first table of a text: its rows as {column: cell}."""
    lines = re.search(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)[0].splitlines()
    names, _, *cells = ([c.strip() for c in line.split("|")[1:-1]] for line in lines)
    return [dict(zip(names, row, strict=True)) for row in cells]


def test_the_readme_opens_with_a_table_and_a_figure_of_these_commands(
    monkeypatch, capsys
):
    """Its cells are those of the committed table, which is what the logs give."""
    sweep, report = re.findall(r"^python -m (.*)$", opening(), flags=re.MULTILINE)
    program, *options = shlex.split(report)
    assert program == "resnet_jax.report" and sweep.startswith("resnet_jax.sweep")
    experiment, figure = options[0], options[options.index("--figure") + 1]
    assert f"--config {experiment} " in sweep and f"]({figure})" in opening()
    assert (ROOT / figure).read_bytes()[:4] == b"\x89PNG"
    monkeypatch.chdir(ROOT)
    end = options.index("--figure")
    assert main(["report", *options[:end], *options[end + 2 :]]) == 0
    whole = {row["Row"]: row for row in rows(capsys.readouterr().out)}
    shown = rows(opening())
    assert [row["Row"] for row in shown] == list(whole)
    for row in shown:
        assert row.items() <= whole[row["Row"]].items()
