"""A grid: every row of an experiment file with every value of some fields."""

import json

import pytest

from resnet_jax.config import experiment_file
from resnet_jax.config.grid import with_grid
from resnet_jax.errors import ConfigError
from resnet_jax.main import main
from resnet_jax.report.__main__ import main as report
from resnet_jax.sweep import __main__ as sweep
from resnet_jax.sweep.plan import plan

TOY = '''"""A claim about nothing."""
from resnet_jax.config import configured

BASE = {
    "model.depth": 8, "model.width": 0.25, "train.epochs": None, "train.steps": None,
    "train.iterations": 4, "data.batch_size": 64,
}
ROWS = {row: {"model.unit.shortcut": row} for row in "AB"}
SEEDS = (0, 1)


def get_config(row="A"):
    return configured(BASE, ROWS, row)
'''
RATES = "optim.learning_rate=0.05,0.1"


@pytest.fixture
def toy(tmp_path):
    path = tmp_path / "toy.py"
    path.write_text(TOY)
    return path


def jobs(toy, *options, rows=None):
    experiment = with_grid(experiment_file.load(toy), options)
    return plan(experiment, [], rows=rows, seeds="0", runs=toy.parent / "runs")


def test_a_row_for_every_value(toy):
    found = jobs(toy, RATES)
    assert [(job.row, job.config.optim.learning_rate) for job in found] == [
        ("A+learning_rate=0.05", 0.05), ("A+learning_rate=0.1", 0.1),
        ("B+learning_rate=0.05", 0.05), ("B+learning_rate=0.1", 0.1),
    ]  # fmt: skip
    shortcuts = [job.config.to_dict()["model"]["unit"]["shortcut"] for job in found]
    assert shortcuts == ["A", "A", "B", "B"]
    (command,) = {job.options for job in found if job.row == "B+learning_rate=0.1"}
    folder = toy.parent / "runs" / "toy" / "B+learning_rate=0.1" / "seed0"
    assert command == (
        *("--config", f"{toy}:B", "--config.optim.learning_rate=0.1"),
        *("--config.seed=0", "--workdir", str(folder)),
    )


def test_every_combination_of_values(toy):
    lengths = "optim.schedule.boundaries=(0.5,),(0.5, 0.75)"
    found = jobs(toy, RATES, lengths, rows="A")
    assert [job.row for job in found] == [
        f"A+learning_rate={rate}+boundaries={name}"
        for rate in ("0.05", "0.1")
        for name in ("0.5", "0.5_0.75")
    ]
    schedules = [job.config.optim.schedule.boundaries for job in found]
    assert schedules == [(0.5,), (0.5, 0.75)] * 2


def test_words_and_fields_of_one_name(toy):
    found = jobs(toy, "model.act=relu,prelu", "model.init=xavier", rows="B")
    assert [job.row for job in found] == [
        "B+act=relu+init=xavier", "B+act=prelu+init=xavier",
    ]  # fmt: skip
    assert [job.config.model.act.name for job in found] == ["relu", "prelu"]
    row = jobs(toy, "model.name=plain", "data.name=cifar10", rows="A")[0].row
    assert row == "A+model.name=plain+data.name=cifar10"


def test_a_row_of_the_grid_can_be_named(toy):
    (job,) = jobs(toy, RATES, rows="A+learning_rate=0.1")
    assert job.row == "A+learning_rate=0.1"
    with pytest.raises(ConfigError, match=r"no row 'C'; this experiment has A, B$"):
        jobs(toy, RATES, rows="C")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["optim.learning_rate"], "--grid optim.learning_rate: must be FIELD=VALUE,"),
        (["optim.learning_rate=0.1,"], "must be FIELD=VALUE,VALUE"),
        ([RATES, RATES], "--grid: names a field twice"),
        (["model.act=relu,relu"], r"two rows would be named 'A\+act=relu'"),
        (["optim.rate=1,2"], r"optim.rate: config.optim='sgd' has no field 'rate'"),
        (["optim.learning_rate=a,0.1"], r"learning_rate='a': .*\(rows: A\+learning_ra"),
        ([f"data.dir={'x' * 70}"], "names of experiments and rows are up to 64"),
    ],
)
def test_grids_that_are_refused(toy, options, message):
    with pytest.raises(ConfigError, match=message):
        jobs(toy, *options)


def test_the_command_takes_a_grid(toy, capsys):
    options = ("--grid", RATES, "--rows", "B", "--seeds", "3", "--commands")
    assert sweep.main(["sweep", "--config", str(toy), *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all(f"{toy}:B" in line for line in lines)
    assert "--config.optim.learning_rate=0.05 --config.seed=3" in lines[0]


@pytest.mark.compile
def test_runs_of_a_grid_are_reported(toy, shop, capsys):
    for job in jobs(toy, RATES, rows="A"):
        data = f"--config.data.dir={shop.folder / 'tfds'}"
        assert main(["main", *job.options, data]) == 0
    capsys.readouterr()
    options = ("--runs", str(toy.parent / "runs"), "--grid", RATES, "--format", "json")
    assert report(["report", str(toy), *options]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["row"], row["seeds"]) for row in rows[:2]] == [
        ("A+learning_rate=0.05", [0]), ("A+learning_rate=0.1", [0]),
    ]  # fmt: skip
    marks = [mark for row in rows[:2] for mark in row["marks"]]
    assert not [mark for mark in marks if "today" in mark and "dir" not in mark], marks
