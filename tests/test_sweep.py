"""Sweeps: what is run, in which folder, how it ends, and what it would cost."""

import dataclasses
import functools
import json
import math
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import threading
import time

import jax
import jax.numpy as jnp
import pytest
import tinyset

from resnet_jax.config import experiment_file
from resnet_jax.config.datasets import DATASETS
from resnet_jax.config.resolve import configured, validated
from resnet_jax.config.schema import VERSION
from resnet_jax.report.runs import read_runs
from resnet_jax.runs.log import lock
from resnet_jax.sweep import __main__ as sweep
from resnet_jax.sweep import dry_run, estimate, scheduler
from resnet_jax.sweep.plan import plan
from resnet_jax.sweep.process import ChildProcess, JobOutcome, finished_in, worst_code
from resnet_jax.sweep.scheduler import (
    Scheduler,
    SweepBar,
    eta_text,
    shared_accelerator,
    time_left,
)
from resnet_jax.train.task import make_program

ROOT = pathlib.Path(__file__).parents[1]
EXPERIMENTS = ROOT / "experiments"

EXPERIMENT = '''"""A claim about nothing."""
from resnet_jax.config import configured

BASE = {"train.iterations": 4, "model.depth": 8, "model.unit.shortcut": "A"}
ROWS = {
    "good": {},
    "diverges": {"optim.learning_rate": 9.0},
    "crashes": {"model.act": "prelu"},
    "is killed": {"model.act": "elu"},
}
ROWS = {name.replace(" ", "-"): fields for name, fields in ROWS.items()}
SEEDS = (0, 1)


def get_config(row="good"):
    return configured(BASE, ROWS, row)
'''

# Stands for resnet_jax.main: starts within milliseconds, and does as its row says.
PROGRAM = """
import json, os, pathlib, signal, sys, time

options = dict(zip(sys.argv[1:], sys.argv[2:]))
row = options["--config"].split(":")[1]
folder = pathlib.Path(options["--workdir"])
print("  0%| | 0/4 [00:00<?]", end="\\r", file=sys.stderr, flush=True)
if row == "diverges":
    print(" 50%| | 2/4 [00:01<00:01]", file=sys.stderr)
    print("error[diverged] step=3: loss nan", file=sys.stderr)
    sys.exit(5)
if row == "crashes":
    raise ValueError("a bug")
if row == "is-killed":
    os.kill(os.getpid(), signal.SIGKILL)
if row == "waits":
    def save(number, frame):
        (folder / "saved").touch()
        print("error[preempted] step=1: asked to stop", file=sys.stderr)
        sys.exit(143)
    signal.signal(signal.SIGTERM, save)
    print(" 25%| | 1/4 [00:01<00:03]", file=sys.stderr, flush=True)
    time.sleep(60)
print("done: test error 50.00 %")
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with an experiment file and the program, as the working directory."""
    (tmp_path / "claim.py").write_text(EXPERIMENT)
    (tmp_path / "program.py").write_text(PROGRAM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(scheduler, "POLL_S", 0.01)
    return tmp_path


def jobs_of(*argv, config="claim.py"):
    options, fields = sweep.parse(["--config", str(config), *argv])
    return plan(
        experiment_file.load(options.config),
        fields,
        rows=options.rows,
        seeds=options.seeds,
        runs=options.runs,
    )


def config_of(*fields):
    return experiment_file.load("claim.py").config("good", fields)


def renamed(job, row):
    """A job whose program does what another row says."""
    folder = job.folder.parent.parent / row / f"seed{job.seed}"
    options = ("--config", f"claim.py:{row}", "--workdir", str(folder))
    return dataclasses.replace(job, row=row, folder=folder, options=options)


def resolved(job):
    """What a run of the job writes to config.json, as JSON gives it back."""
    tree = {"schema": VERSION} | job.config.to_dict() | {"derived": {"total_steps": 4}}
    return json.loads(json.dumps(tree))


def written(job, **files):
    """The folder of a run, with these files."""
    job.folder.mkdir(parents=True)
    for name, content in files.items():
        path = job.folder / name.replace("_json", ".json")
        path.write_text(json.dumps(content))


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


class Instant:
    """Stands for the process of a job: it is done once it is started."""

    def __init__(self, job):
        self.job = job
        written(job, config_json=resolved(job), DONE={"step": 4, "wall_s": 1.0})

    def steps(self):
        return 4, 4

    def fraction(self):
        return 1.0

    def elapsed(self):
        return 1.0

    def whole_run(self):
        return 1.0

    def terminate(self):
        raise AssertionError("is done")

    def outcome(self):
        return JobOutcome(self.job, "done", message="done: test error 50.00 %")


def never(job):
    raise AssertionError(f"{job.name} was started")


def scheduled(jobs, *, start=Instant, at_once=1):
    """A scheduler that has carried out jobs, and their outcomes by name."""
    runs = Scheduler(jobs, at_once=at_once, start=start)
    with SweepBar("claim", total=len(jobs)) as bar:
        assert runs.run(bar) is None
    return runs, {outcome.job.name: outcome for outcome in runs.outcomes}


program = functools.partial(
    ChildProcess, program=(sys.executable, "program.py"), environment=os.environ
)


# Which runs


def test_rows_in_order_seed_after_seed(here):
    names = [job.name for job in jobs_of("--rows", "crashes,good,crashes")]
    assert names == ["crashes/seed0", "good/seed0", "crashes/seed1", "good/seed1"]


def test_the_experiment_file_is_executed_once(here, capsys):
    with open("claim.py", "a") as file:
        file.write('print("executed")\n')
    assert sweep.main(["", "--config", "claim.py", "--commands"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines.count("executed") == 1 and len(lines) == 1 + 8


def test_a_job_is_a_command_of_main(here, capsys):
    """Its options give main the config that the sweep compares."""
    argv = ["", "--config", "claim.py", "--rows=diverges", "--seeds=7", "--runs=a b"]
    argv += ["--config.data.dir=x y", "--config.model.depth", "14"]
    assert sweep.main([*argv, "--commands"]) == 0
    words = shlex.split(capsys.readouterr().out)
    assert words[:3] == ["python", "-m", "resnet_jax.main"]
    assert words[-2:] == ["--workdir", "a b/claim/diverges/seed7"]
    config = experiment_file.load("claim.py").config("diverges", words[5:-2])
    assert (config.seed, config.data.dir, config.model.depth) == (7, "x y", 14)
    assert config.optim.learning_rate == 9.0
    (job,) = jobs_of(*argv[3:])
    assert job.config == config


@pytest.mark.process
def test_slurm_script_runs_every_command_once(here, capsys, tmp_path):
    argv = ["", "--config", "claim.py", "--config.data.dir=it's $HOME", "--jobs", "3"]
    assert sweep.main([*argv, "--commands"]) == 0
    commands = [shlex.split(line)[1:] for line in capsys.readouterr().out.splitlines()]
    assert sweep.main([*argv, "--slurm"]) == 0
    script = capsys.readouterr().out
    assert script.startswith("#!/bin/bash\n")
    assert "#SBATCH --array=0-7%3\n" in script
    stand_in = tmp_path / "bin" / "python"
    stand_in.parent.mkdir()
    stand_in.write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    stand_in.chmod(0o755)

    def task(number):
        environment = {
            "PATH": f"{stand_in.parent}:{os.environ['PATH']}",
            "SLURM_ARRAY_TASK_ID": str(number),
        }
        done = subprocess.run(
            ["bash"], input=script, env=environment, capture_output=True, text=True
        )
        return done.returncode, done.stdout.splitlines()

    assert len(commands) == 8
    assert [task(i) for i in range(8)] == [(0, words) for words in commands]
    assert task(8) == (2, [])


@pytest.mark.parametrize(
    "argv, message",
    [
        (["--rows", "god,good"], "no row 'god'.*did you mean 'good'"),
        (["--rows", ","], "--rows is empty"),
        (["--seeds", "0,one"], "must be whole numbers"),
        (["--jobs", "0"], "at least 1"),
        (["--config.seed=3"], "choose seeds with --seeds"),
        (["--config.modl.depth=8"], "did you mean 'model'"),
        (["--nonsense"], "nonsense"),
        (["--slurm", "--commands"], "not allowed with"),
        (["--time"], "only with --dry_run"),
        (["--dry_run", "--shapes", "--time"], "not allowed with"),
        (["--config", "claim.py:good"], "choose rows with --rows"),
        (["--config", "nowhere.py"], "no such experiment file"),
    ],
)
def test_wrong_command_lines(here, capsys, argv, message):
    assert sweep.main(["", "--config", "claim.py", *argv]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error[config] ")
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(line)
    assert not (here / "runs").exists()


def test_every_problem_of_every_row_before_anything_starts(here, capsys):
    argv = ["", "--config", "claim.py", "--config.optim.momentum=1.5"]
    assert sweep.main([*argv, "--config.model.depth=0"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("=")[0].split()[1] for line in lines] == [
        "model.depth",
        "optim.momentum",
    ]
    assert not (here / "runs").exists()


def test_a_network_that_cannot_be_is_told_before_anything_starts(here, capsys):
    assert sweep.main(["", "--config", "claim.py", "--config.model.depth=9"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "model.depth=9: must be 6n+2" in line
    assert not (here / "runs").exists()


def test_problems_of_rows_and_seeds_are_told_together(here, capsys):
    argv = ["", "--config", "claim.py", "--rows", "god,bad", "--seeds", "one"]
    assert sweep.main(argv) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in lines] == ["--rows:", "--rows:", "--seeds=one:"]


def test_a_problem_of_some_rows_names_them(here, capsys):
    argv = ["", "--config", "claim.py", "--config.model.act.slope=0.1"]
    assert sweep.main(argv) == 2
    lines = capsys.readouterr().err.splitlines()
    assert all("model.act.slope" in line for line in lines)
    assert [line.rpartition(" (rows: ")[2] for line in lines] == [
        "good, diverges)",
        "is-killed)",
    ]


def test_an_experiment_needs_rows_and_has_seed_0(here, capsys):
    with open("claim.py", "a") as file:
        file.write("\ndel SEEDS\n")
    assert {job.seed for job in jobs_of()} == {0}
    with open("claim.py", "a") as file:
        file.write("\nROWS = {}\n")
    assert sweep.main(["", "--config", "claim.py"]) == 2
    assert "claim.py: has no ROWS, or an empty one" in capsys.readouterr().err


@pytest.mark.process
def test_commands_are_printed_without_jax(here):
    """As is every problem with a command line, and the help."""
    code = (
        "import sys; from resnet_jax.sweep.__main__ import main; code = main(); "
        "sys.exit(code or {'jax', 'flax', 'optax'} & sys.modules.keys() != set())"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for argv in (["--config", "claim.py", "--commands"], ["--help"]):
        command = [sys.executable, "-c", code, *argv]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


# How they end


@pytest.mark.process
def test_every_end_is_told(here):
    runs, outcomes = scheduled(jobs_of("--seeds", "0"), start=program)
    told = {name: (o.kind, o.code, o.message) for name, o in outcomes.items()}
    assert told == {
        "good/seed0": ("done", 0, "done: test error 50.00 %"),
        "diverges/seed0": ("failed", 5, "diverged: step=3: loss nan"),
        "crashes/seed0": ("failed", 1, "ValueError: a bug"),
        "is-killed/seed0": (
            "failed", 1, "killed by SIGKILL; often memory ran out",
        ),
    }  # fmt: skip
    for name, outcome in outcomes.items():
        failed = here / "runs" / "claim" / name / "FAILED"
        assert failed.exists() == (outcome.kind == "failed")
        if failed.exists():
            assert failed.read_text() == f"{outcome.message}\n"
    head, *lines = runs.summary()
    assert head == "1 of 4 runs done; 3 failed"
    assert lines[0] == "failed runs/claim/diverges/seed0: diverged: step=3: loss nan"
    assert worst_code(outcomes.values()) == 1
    log = (here / "runs/claim/crashes/seed0/sweep.log").read_text()
    assert "program.py --config claim.py:crashes" in log.splitlines()[0]
    assert "Traceback" in log


@pytest.mark.process
def test_the_report_reads_why_a_run_failed(here):
    scheduled(jobs_of("--rows", "diverges", "--seeds", "1"), start=program)
    found = read_runs(experiment_file.load(here / "claim.py"), here / "runs")
    (run,) = found["diverges"]
    outcome = run.outcome
    assert (outcome.status, outcome.reason) == ("failed", "diverged: step=3: loss nan")


@pytest.mark.process
def test_failed_is_gone_when_the_run_is_started_again(here):
    (job,) = jobs_of("--rows", "good", "--seeds", "0")
    written(job)
    (job.folder / "FAILED").write_text("storage: no room\n")
    _, outcomes = scheduled([job], start=program)
    assert outcomes["good/seed0"].kind == "done"
    assert not (job.folder / "FAILED").exists()


def test_done_runs_are_not_started(here):
    job, other = jobs_of("--rows", "good")
    written(job, config_json=resolved(job), DONE={"step": 4, "wall_s": 9.0})
    before = contents(job.folder)
    runs, outcomes = scheduled([job, other])
    assert {n: o.kind for n, o in outcomes.items()} == {
        "good/seed0": "already_done",
        "good/seed1": "done",
    }
    assert contents(job.folder) == before
    assert runs.summary() == ["2 of 2 runs done, 1 of them before"]
    _, again = scheduled([job, other], start=never)
    assert {o.kind for o in again.values()} == {"already_done"}


def test_where_data_lie_does_not_matter_but_length_does(here):
    (job,) = jobs_of("--rows=good", "--seeds=0", "--config.data.dir=a")
    (moved,) = jobs_of("--rows=good", "--seeds=0", "--config.data.dir=b")
    (short,) = jobs_of("--rows=good", "--seeds=0", "--config.train.steps=2")
    written(job, config_json=resolved(job), DONE={"step": 2, "wall_s": 9.0})
    assert finished_in(short) == 9.0
    assert finished_in(moved) is None
    (job.folder / "DONE").write_text('{"step": 4, "wall_s": 9.0}')
    assert finished_in(moved) == 9.0


def test_a_run_is_done_though_a_field_came_after_it(here):
    """As `main` goes on there: the field had its default when it did not exist."""
    (job,) = jobs_of("--rows=good", "--seeds=0")
    config = resolved(job)
    assert config["train"].pop("max_nonfinite_updates") == 0
    written(job, config_json=config, DONE={"step": 4, "wall_s": 9.0})
    assert finished_in(job) == 9.0


def test_runs_of_older_versions_are_done():
    """Committed runs, whose config.json has the field names of the first version."""
    folders = [path for path in (ROOT / "results/digits").iterdir() if path.is_dir()]
    assert len(folders) > 5
    left = [
        job.folder
        for folder in folders
        for job in jobs_of(
            "--seeds=0",
            f"--runs={folder.parent}",
            config=EXPERIMENTS / f"{folder.name}.py",
        )
        if (job.folder / "DONE").exists() and finished_in(job) is None
    ]
    assert not left


def test_another_config_is_refused_and_its_folder_untouched(here):
    job, other = jobs_of("--rows", "good")
    config = resolved(job)
    config["optim"]["learning_rate"] = 0.5
    written(job, config_json=config, DONE={"step": 4, "wall_s": 9.0})
    before = contents(job.folder)
    _, outcomes = scheduled([job, other])
    refused = outcomes["good/seed0"]
    assert (refused.kind, refused.code) == ("refused", 4)
    assert "optim.learning_rate: 0.5 -> 0.1" in refused.message
    assert contents(job.folder) == before
    assert outcomes["good/seed1"].kind == "done"
    assert worst_code(outcomes.values()) == 4


@pytest.mark.process
def test_a_run_under_way_elsewhere_is_left_alone(here):
    job, other = jobs_of("--rows", "diverges")
    with lock(job.folder):
        _, outcomes = scheduled([job], start=program)
        outcome = outcomes["diverges/seed0"]
        assert (outcome.kind, outcome.code) == ("refused", 2)
        assert "another run is writing here" in outcome.message
        assert contents(job.folder).keys() == {".lock"}
    _, outcomes = scheduled([other], start=program)
    assert outcomes["diverges/seed1"].kind == "failed"


def test_a_folder_that_cannot_be_is_refused_and_the_rest_goes_on(here):
    first, second = jobs_of("--rows", "good")
    first = dataclasses.replace(first, folder=here / "claim.py" / "seed0")
    runs, _ = scheduled([first, second])
    assert [(o.kind, o.code) for o in runs.outcomes] == [("refused", 2), ("done", 0)]


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_runs_save_and_starts_no_other(here, number):
    jobs = [renamed(job, "waits") for job in jobs_of("--seeds", "0,1,2", "--rows=good")]
    logs = [job.folder / "sweep.log" for job in jobs]

    def when_two_are_running():
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if all(log.exists() and "1/4" in log.read_text() for log in logs[:2]):
                break
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    sender = threading.Thread(target=when_two_are_running)
    runs = Scheduler(jobs, at_once=2, start=program)
    sender.start()
    with SweepBar("claim", total=3) as bar:
        assert runs.run(bar) == number
    sender.join()
    assert {outcome.job.name: outcome.kind for outcome in runs.outcomes} == {
        "waits/seed0": "stopped",
        "waits/seed1": "stopped",
    }
    assert [(job.folder / "saved").exists() for job in jobs] == [True, True, False]
    assert not any((job.folder / "FAILED").exists() for job in jobs)
    head, *lines = runs.summary()
    assert head == "0 of 3 runs done; 2 stopped; 1 not started"
    assert lines[-1].startswith("the same command goes on")


def test_as_many_at_once_as_asked(here):
    counts = []

    class Counted(Instant):
        def outcome(self):
            counts.append(len(runs.running))
            return super().outcome()

    jobs = jobs_of("--rows", "good", "--seeds", "0,1,2,3")
    runs = Scheduler(jobs, at_once=2, start=Counted)
    with SweepBar("claim", total=4) as bar:
        runs.run(bar)
    assert max(counts) == 2
    assert [outcome.kind for outcome in runs.outcomes] == 4 * ["done"]


def test_worst_of_the_ends(here):
    (job,) = jobs_of("--rows=good", "--seeds=0")

    def worst(*codes):
        return worst_code(JobOutcome(job, "failed", code) for code in codes)

    assert worst() == 0
    assert worst(0, 143) == 143
    assert worst(143, 2, 0) == 2
    assert worst(4, 5, 2) == 5
    assert worst(5, 1, 143) == 1


# Progress


def test_time_left_is_that_of_the_measured_rows():
    measured = {"a": 100.0, "b": 300.0}
    assert time_left({}, [("a", 1.0)], at_once=1) is None
    assert time_left(measured, [("a", 0.5), ("b", 1.0)], at_once=1) == (350.0, True)
    assert time_left(measured, [("b", 1.0), ("c", 1.0)], at_once=1) == (500.0, False)
    # Two at a time halve it, but no run is cut in two.
    assert time_left(measured, [("a", 1.0)] * 4, at_once=2) == (200.0, True)
    assert time_left(measured, [("a", 1.0), ("b", 1.0)], at_once=2) == (300.0, True)
    assert eta_text((7500.4, True)) == "2:05:00"
    assert eta_text((7500.4, False)) == "~2:05:00"
    assert eta_text(None) == "not known yet"


def test_progress_counts_runs_and_shares_of_them(here):
    good, *_ = jobs_of("--rows=good", "--seeds=0")
    jobs = [good, renamed(good, "waits"), renamed(good, "meets")]
    runs = Scheduler(jobs, at_once=1, start=never)

    class Running:
        job = jobs[1]

        def steps(self):
            return 1, 4

        def fraction(self):
            return 0.25

        def whole_run(self):
            return 80.0

    runs.waiting.popleft()
    runs.waiting.popleft()
    runs.outcomes.append(JobOutcome(good, "already_done"))
    runs.running.append(Running())
    done, text = runs.progress()
    assert done == 1.25
    # 3/4 of 80 s, and as much as a whole one for the row that was never run.
    assert text == "1/3 runs, waits/seed0 1/4, ETA ~0:02:20"


def test_a_gpu_is_shared_by_those_who_run_at_once():
    name = "XLA_PYTHON_CLIENT_MEM_FRACTION"
    assert shared_accelerator({"A": "b"}, at_once=1) == {"A": "b"}
    assert shared_accelerator({}, at_once=3) == {name: "0.300"}
    assert shared_accelerator({name: "0.1"}, at_once=3) == {name: "0.1"}


# What it would cost


@pytest.fixture
def no_cache_change():
    """The table switches a cache off for its process; here it is switched on again."""
    before = jax.config.jax_enable_compilation_cache
    yield
    jax.config.update("jax_enable_compilation_cache", before)


def test_dry_run_counts_the_papers_nets(here, capsys, no_cache_change):
    """No data, no folder, no compilation: 1001 layers in seconds."""
    argv = ["", "--config", str(EXPERIMENTS / "cifar_preact.py"), "--dry_run"]
    argv += ["--rows=PreAct-164,PreAct-1001", "--shapes", "--config.data.dir=none"]
    before = sorted(here.iterdir())
    assert sweep.main(argv) == 0
    title, header, small, large, note = capsys.readouterr().out.splitlines()
    assert title == "cifar_preact: 2 rows x 5 seeds = 10 runs"
    assert header.split()[:7] == [
        "row", "parameters", "conv", "norm", "slopes", "gates", "fc",
    ]  # fmt: skip
    assert small.split()[1:7] == [
        "1,703,258", "1,676,464", "24,224", "0", "0", "2,570",
    ]  # fmt: skip
    assert large.split()[0] == "PreAct-1001"
    assert large.split()[1] == "10,327,706"
    assert large.split()[-4:] == ["-", "64,000", "-", "model.depth=1001"]
    assert note == "changes: against PreAct-164"
    assert sorted(here.iterdir()) == before


@pytest.mark.parametrize(
    "base, row, shown",
    [
        ({}, {}, ""),
        ({}, {"model.depth": 32, "data.sizes": (8, 4)},
         "model.depth=32, data.sizes=(8, 4)"),
        ({}, {"model.unit.join": "scaled", "model.unit.join.branch": 1.0},
         "model.unit.join=scaled, model.unit.join.shortcut=0.5, "
         "model.unit.join.branch=1.0"),
        ({"model.unit.join": "scaled"}, {"model.unit.join.branch": 1.0},
         "model.unit.join.branch=1.0"),
        ({"model.unit.join": "scaled"}, {"model.unit.join": "add"},
         "model.unit.join=add; without model.unit.join.branch, "
         "model.unit.join.shortcut"),
        ({}, {"model.unit.gate": "se"},
         "model.unit.gate=se, model.unit.gate.reduction=16, "
         "model.unit.gate.place=standard"),
        ({"model.unit.gate": "se"}, {"model.unit.gate": None}, "model.unit.gate=None"),
        ({}, {"model.name": "nin"},
         "model.name=nin; without model.depth, model.depth_mode, model.ghost_share, "
         "model.levels, model.unit"),
    ],
)  # fmt: skip
def test_changes_are_the_fields_that_differ(base, row, shown):
    """A slot by its word; fields that only one of both has, too."""
    rows = {"base": base, "row": base | row}
    trees = (configured({"train.epochs": 1.0}, rows, name) for name in rows)
    one, other = (validated(tree.to_dict()) for tree in trees)
    assert dry_run.changes(one, other) == shown


def test_state_and_data_are_counted_in_bytes(here):
    """Parameters and momentum in float32, mean and variance of every norm, counters."""
    (job,) = jobs_of("--rows=good", "--seeds=0")
    found = estimate.estimate(job.config, level="shapes")
    assert found.parts.params == 75_002
    numbers = 2 * found.parts.params + found.parts.norm
    assert 0 < found.state_bytes - 4 * numbers < 100
    assert found.data_bytes == 1_437 * (64 + 4)
    assert found.steps == 4


@pytest.mark.compile
def test_what_is_compiled_is_measured(here):
    config = config_of("--config.data.batch_size=4")
    found = estimate.estimate(config, level="time")
    assert min(found.temporary_bytes, found.compile_s, found.step_s) > 0
    assert found.hours == pytest.approx(4 * found.step_s / 3600)


@pytest.mark.parametrize("feed", ["resident", "streaming"])
@pytest.mark.parametrize("spmd", ["jit", "pmap"])
def test_shapes_are_those_that_a_step_takes(here, spmd, feed):
    """Two updates a call, on two devices."""
    fields = [f"--config.train.spmd={spmd}", f"--config.data.feed={feed}"]
    fields += ["--config.data.batch_size=4", "--config.train.steps_per_call=2"]
    experiment = estimate.prepared(config_of(*fields))
    program = make_program(experiment)
    given = estimate.arguments(experiment, program)
    new, seen = jax.eval_shape(program.steps, *given)
    assert seen["loss"].shape == (2,)
    assert jax.tree.map(jnp.shape, new) == jax.tree.map(jnp.shape, given.state)


def test_what_was_not_measured_is_a_dash(here):
    (job,) = jobs_of("--rows=good", "--seeds=0")
    found = estimate.estimate(job.config, level="shapes")
    assert dry_run.cells(found)[-4:] == ["-", "-", "4", "-"]
    measured = {"compile_s": 1.25, "temporary_bytes": 7_000_000}
    compiled = dataclasses.replace(found, **measured)
    assert dry_run.cells(compiled)[-4:] == ["8 = 1 + 0 + 7", "1.2", "4", "-"]
    timed = dataclasses.replace(compiled, step_s=450.0)
    assert dry_run.cells(timed)[-1] == "0.5"


@pytest.mark.parametrize(
    "fields, shape, resident",
    [
        ({"data.name": "cifar100"}, (32, 32, 3), True),
        ({"data.name": "cifar100", "data.feed": "streaming"}, (32, 32, 3), False),
        (
            {"data.name": "imagenet2012", "data.augment": "imagenet_scale"},
            (224, 224, 3),
            False,
        ),
    ],
)
def test_data_are_fed_as_a_run_would_be(here, fields, shape, resident):
    changed = [f"--config.{name}={value}" for name, value in fields.items()]
    made = estimate.prepared(config_of(*changed))
    assert made.pipeline.image_shape == shape
    assert (made.pipeline.resident is not None) == resident
    assert (
        made.net.num_classes
        == {"cifar100": 100, "imagenet2012": 1000}[fields["data.name"]]
    )


def test_validation_images_are_not_trained_on(here):
    fields = ["--config.data.name=cifar10", "--config.data.split=45k/5k"]
    fields += ["--config.train.epochs=1.0", "--config.train.iterations=None"]
    found = estimate.estimate(config_of(*fields), level="shapes")
    assert found.steps == round(45_000 / 128)


def test_a_data_set_of_unknown_size_is_asked_for_it(here, capsys):
    tinyset.prepare(
        here / "tfds", examples={"train": tinyset.pairs(6), "test": tinyset.pairs(2)}
    )
    fields = ["--config.data.name=tiny", "--config.data.batch_size=2"]
    fields += ["--config.train.epochs=2.0", "--config.train.iterations=None"]
    argv = ["", "--config", "claim.py", "--rows=good", "--dry_run", "--shapes", *fields]
    assert sweep.main([*argv, "--config.data.dir=nowhere"]) == 3
    assert "data.name='tiny': not prepared" in capsys.readouterr().err
    config = config_of(*fields, "--config.data.dir=tfds")
    found = estimate.estimate(config, level="shapes")
    assert (found.steps, found.data_bytes) == (6, 6 * (8 * 8 * 3 + 4))


def test_known_sizes_are_those_of_the_data_sets():
    from resnet_jax.data.sources import cifar, digits

    images, labels = digits.arrays()
    test = len(digits.held_out(labels))
    known = DATASETS["digits"]
    assert (known.train, known.test) == (len(images) - test, test)
    assert known.image == (*images.shape[1:], 1)
    assert known.classes == len(set(labels.tolist()))
    for name, layout in cifar.LAYOUTS.items():
        known = DATASETS[name]
        assert known.train == len(layout.train) * layout.train_images
        assert known.test == layout.test_images
        assert math.prod(known.image) == cifar.PIXELS
        assert known.classes == layout.labels[-1][2]


# The real program


@pytest.mark.process
def test_sweep_of_real_runs(here, monkeypatch, capsys):
    """Trains, keeps what is done, and refuses to mix configs."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(here / "tfds"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(here / "xla"))
    # Compiles in half the time.
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")
    argv = ["", "--config", "claim.py", "--rows=good", "--seeds=0"]
    assert sweep.main(argv) == 0
    assert capsys.readouterr().out == "1 of 1 runs done\n"
    folder = here / "runs/claim/good/seed0"
    assert (folder / "DONE").exists()
    before = contents(folder)
    assert sweep.main(argv) == 0
    assert capsys.readouterr().out == "1 of 1 runs done, 1 of them before\n"
    assert sweep.main([*argv, "--config.optim.momentum=0.5"]) == 4
    assert "optim.momentum: 0.9 -> 0.5" in capsys.readouterr().out
    assert contents(folder) == before
