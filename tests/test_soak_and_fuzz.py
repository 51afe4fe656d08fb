"""Faults of the soak and cases of the fuzz: of all kinds, repeated by their seed."""

import random
import sys
from collections import Counter
from pathlib import Path

import pytest

from resnet_jax.errors import ConfigError

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

import fuzz
import fuzz_configs
import fuzz_processes
import soak
import tearing


@pytest.fixture
def run(tmp_path):
    """What a run of two checkpoints leaves, as far as faults look at it."""
    for step in ("3", "6"):
        for name in ("meta/metadata", "state/d/small", "state/d/large"):
            file = tmp_path / "checkpoints" / step / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"x" * (90 if name.endswith("large") else 9))
    rows = (b'{"split": "train", "step": %d, "loss": 1.0}\n' % n for n in range(5))
    (tmp_path / "metrics.jsonl").write_bytes(b"".join(rows))
    for name in ("config.json", "env.json", "STOPPED", ".lock"):
        (tmp_path / name).write_text('{"one": 1}')
    return tmp_path


def content(folder):
    return {p: p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


@pytest.mark.parametrize("name", tearing.RESTING)
@pytest.mark.parametrize("seed", range(3))
def test_a_fault_damages_and_is_repeated_by_its_seed(run, name, seed):
    before = content(run)
    hit = tearing.RESTING[name].hit
    assert hit(run, random.Random(seed))
    damaged = content(run)
    assert damaged != before
    for path in sorted(damaged.keys() - before.keys(), reverse=True):
        path.rmdir()
    for path, data in before.items():
        path.mkdir(exist_ok=True) if data is None else path.write_bytes(data)
    hit(run, random.Random(seed))
    assert content(run) == damaged


def test_a_plan_has_faults_of_all_kinds():
    turns = soak.plan(200, 0)
    assert turns == soak.plan(200, 0) != soak.plan(200, 1)
    assert soak.plan(100, 0) == turns[: len(soak.plan(100, 0))]
    kinds = Counter(turn.resting for turn in turns)
    assert kinds.keys() == tearing.RESTING.keys()
    assert max(kinds.values()) - min(kinds.values()) <= 1
    assert {turn.running for turn in turns} == soak.RUNNING.keys()
    for turn in turns:
        mild = tearing.RESTING[turn.resting].refused == "never"
        assert mild or turn.running in soak.SIGNALS


def test_ends_that_may_not_be_are_told():
    never, always = tearing.RESTING["torn tail"], tearing.RESTING["log gone"]
    line = "error[checkpoint] gone\n"
    assert soak.complaints(never, soak.RUNNING["SIGTERM"], 143, False, "") == []
    assert soak.complaints(always, soak.RUNNING["SIGTERM"], 4, True, line) == []
    assert soak.complaints(never, soak.RUNNING["SIGTERM"], 4, True, line)
    assert soak.complaints(always, soak.RUNNING["SIGTERM"], 143, False, "")
    assert soak.complaints(never, soak.RUNNING["full disk"], 1, False, "Traceback")
    assert fuzz_processes.complaints(0, "a warning") == []
    assert fuzz_processes.complaints(3, "error[data] x\n") == []
    assert fuzz_processes.complaints(3, "") == ["0 lines of error"]
    assert fuzz_processes.complaints(-6, "error[data] x\n") == ["exit code -6"]


def test_configs_are_repeated_by_their_seed_and_of_every_family():
    numbers = range(2 * len(fuzz_configs.FAMILIES))
    drawn = [fuzz_configs.drawn(0, number) for number in numbers]
    assert drawn == [fuzz_configs.drawn(0, number) for number in numbers]
    families = [arguments[0].removeprefix("--config.model=") for arguments in drawn]
    assert families == 2 * list(fuzz_configs.FAMILIES)


def test_only_errors_of_users_are_no_finds(monkeypatch):
    def go(arguments, found, *, deep):
        raise {"user": ConfigError, "bug": OverflowError}[arguments[0]]("why")

    monkeypatch.setattr(fuzz_configs, "go", go)
    assert fuzz_configs.outcome(["user"], deep=True)["end"] == "refused"
    bug = fuzz_configs.outcome(["bug"], deep=True)
    assert fuzz.is_find(bug) and bug["error"] == "OverflowError: why"
    assert fuzz.open_finds([bug, bug | {"again": {"end": "refused"}}]) == 1
