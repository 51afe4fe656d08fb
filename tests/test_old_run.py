"""A run that version 0.1 began goes on: the same rows, the same state, bit for bit.

`golden/old_run` was made by `golden/make_old_run.py` at commit 6224c41.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent / "golden"))

import make_frozen
import make_old_run

from resnet_jax.config import experiment_file
from resnet_jax.config.resolve import validated
from resnet_jax.errors import CheckpointError
from resnet_jax.report.__main__ import main as report
from resnet_jax.runs.compatibility import changed_fields, check_same_config
from resnet_jax.runs.directory import read_config

ROOT = Path(__file__).parents[1]
OLD = Path(__file__).parent / "golden" / "old_run"
EXPERIMENT = ROOT / "experiments" / "digits_preact.py"
EXPECTED = json.loads((OLD / "expected.json").read_text())
FIELDS = (
    "--config.model.depth=8",
    "--config.model.width=0.25",
    "--config.model.unit.branch=single",
    "--config.model.act=prelu",
    "--config.model.unit.stochastic_depth=drop",
    "--config.model.unit.stochastic_depth.survival_prob=0.9",
    "--config.data.batch_size=64",
    "--config.optim.nesterov=True",
    "--config.optim.schedule=steps",
    "--config.optim.schedule.boundaries=(0.5, 0.75)",
    "--config.optim.schedule.decay_factor=0.2",
    "--config.train.epochs=None",
    "--config.train.iterations=40",
    "--config.train.eval_every=10",
    "--config.train.checkpoint_every=20",
    "--config.train.ema=0.5",
    "--config.train.max_nonfinite_updates=1",
)


@pytest.fixture
def old_run(tmp_path):
    """A copy of the run, as its folder was when it was stopped."""
    folder = tmp_path / "digits_preact" / "PreAct-20" / "seed0"
    shutil.copytree(OLD, folder, ignore=shutil.ignore_patterns("expected.json"))
    return folder


def today():
    return experiment_file.load(EXPERIMENT).config(None, FIELDS)


def test_an_old_config_is_the_one_of_todays_names(old_run):
    stored = read_config(old_run)
    assert stored is not None and stored.unread == []
    assert changed_fields(stored.tree, today().to_dict()) == {}
    assert validated(stored.tree).optim == today().optim
    other = changed_fields(stored.tree, today().to_dict() | {"seed": 1})
    assert other == {"seed": (0, 1)}


@pytest.mark.parametrize(
    ("data", "same"),
    [
        ("digits:1.0.0:train:1437:0123456789abcdef", True),  # its content is not known
        ("digits:1.0.0:train:1437", True),
        ("digits:1.0.0:train:14370:0123456789abcdef", False),
        ("digits:1.0.1:train:1437:0123456789abcdef", False),
    ],
)
def test_old_data_are_those_of_their_name_and_length(old_run, data, same):
    stored = read_config(old_run)
    assert stored is not None and stored.derived["data"] == "digits:1.0.0:train:1437"
    asked = {"allow_data_change": False, "consequences": lambda old: ()}
    derived = stored.derived | {"data": data}
    if same:
        check_same_config(old_run, stored.tree, derived, **asked)
        return
    with pytest.raises(CheckpointError, match=f"derived.data: .* -> '{data}'"):
        check_same_config(old_run, stored.tree, derived, **asked)


def test_todays_data_are_those_of_their_digest(old_run):
    path = old_run / "config.json"
    tree, known = json.loads(path.read_text()), "digits:1.0.0:train:1437:0123"
    tree["derived"]["data"] = known
    path.write_text(json.dumps(tree))
    stored = read_config(old_run)
    asked = {"allow_data_change": False, "consequences": lambda old: ()}
    check_same_config(old_run, stored.tree, stored.derived, **asked)
    with pytest.raises(CheckpointError, match=f"derived.data: '{known}' -> .*4567"):
        other = stored.derived | {"data": known.replace("0123", "4567")}
        check_same_config(old_run, stored.tree, other, **asked)


def test_an_old_run_is_reported(old_run, capsys):
    runs = str(old_run.parents[2])
    assert report(["report", str(EXPERIMENT), "--runs", runs]) == 0
    table = capsys.readouterr().out
    (line,) = [line for line in table.splitlines() if line.startswith("| PreAct-20 |")]
    assert "config is not today's: seed 0" in line
    assert "model.unit.stochastic\\_depth.survival\\_prob 0.9, today None" in table


@pytest.mark.process
def test_an_old_run_goes_on_bit_for_bit(old_run, tmp_path):
    """Rows and leaves of the uninterrupted run; to rounding on other machines.

    But for what the old version did not average, BatchNorm's statistics, and so for the
    scores of averages; and for the sums of the last row, which it set to zero before.
    """
    environment = os.environ | EXPECTED["environment"]
    environment |= {"PYTHONPATH": str(ROOT), "TFDS_DATA_DIR": str(tmp_path / "data")}
    subprocess.run(
        [
            *(sys.executable, "-m", "resnet_jax.main", "--config", str(EXPERIMENT)),
            *("--workdir", str(old_run), *FIELDS),
        ],
        env=environment,
        check=True,
        capture_output=True,
    )
    found = make_old_run.outcome(old_run)
    new = ("protocol", "run")  # fields that the old version did not write
    rows, wanted = (
        [{k: v for k, v in row.items() if k not in new} for row in outcome["rows"]]
        for outcome in (found, EXPECTED)
    )
    assert [row.pop("params", "") for row in rows] == ["", "ema"] * (len(rows) // 2)
    assert [row.keys() for row in rows] == [row.keys() for row in wanted]
    train, wanted = rows[::2], wanted[::2]
    leaves, expected = kept(found["leaves"]), kept(EXPECTED["leaves"])
    assert leaves.keys() == expected.keys()
    assert len(expected) == len(EXPECTED["leaves"]) - 4  # n, wrong, wrong5, nll
    if make_frozen.machine() | {"xla_flags": ""} == EXPECTED["made"]:
        assert train == wanted and leaves == expected
        return
    for row, other in zip(train, wanted, strict=True):
        assert row["loss"] == pytest.approx(other["loss"], rel=1e-3)
    for name, other in expected.items():
        leaf = leaves[name]
        assert (leaf["dtype"], leaf["shape"]) == (other["dtype"], other["shape"])
        if name.startswith("params/"):
            close = {"rtol": 1e-2, "atol": 1e-2}
            np.testing.assert_allclose(leaf["digest"], other["digest"], **close)


def kept(leaves):
    """The leaves that the old version had, by its names."""
    return {
        name.replace("ema/params/", "ema/"): leaf
        for name, leaf in leaves.items()
        if not name.startswith(("ema/batch_stats/", "sums/"))
    }


def test_an_old_run_refuses_another_config(old_run):
    from resnet_jax.train import run
    from resnet_jax.train.progress import Bar

    config = experiment_file.load(EXPERIMENT).config(
        None, [*FIELDS, "--config.optim.schedule.decay_factor=0.1"]
    )
    told = r"\(optim.schedule.decay_factor: 0.2 -> 0.1\); name another --workdir"
    with pytest.raises(CheckpointError, match=told):
        run.run_all(config, old_run, bar=Bar)
