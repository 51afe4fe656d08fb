"""Every committed table is exactly what the committed logs give."""

import pathlib

import pytest

from resnet_jax.report.__main__ import main

ROOT = pathlib.Path(__file__).parents[1]
SLOPES = sorted((ROOT / "results").glob("*/*-slopes.md"))
PAGES = {*(ROOT / "results").glob("*/README.md")}  # text, no tables
TABLES = sorted({*(ROOT / "results").glob("*/*.md")} - {*SLOPES} - PAGES)


@pytest.mark.parametrize("table", TABLES, ids=lambda t: f"{t.parent.name}/{t.stem}")
def test_table_is_what_the_logs_give(table, capsys):
    experiment = ROOT / "experiments" / f"{table.stem}.py"
    runs = ["--runs", str(table.parent)]
    assert main(["report", str(experiment), *runs, "--check", str(table)]) == 0


@pytest.mark.parametrize("table", SLOPES, ids=lambda t: t.stem)
def test_table_of_slopes_is_what_the_runs_left(table):
    experiment = ROOT / "experiments" / f"{table.stem.removesuffix('-slopes')}.py"
    runs = ["--runs", str(table.parent)]
    assert (
        main(["report", str(experiment), *runs, "--slopes", "--check", str(table)]) == 0
    )


def test_there_are_tables():
    assert TABLES and SLOPES
