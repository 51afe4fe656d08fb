"""Where the time of a run goes: rows of the log, share of the peak, traces."""

import contextlib
import gzip
import io
import itertools
import json

import jax
import pytest
import runs
import tinytask

from resnet_jax.models import complexity
from resnet_jax.train import device_peaks as peaks
from resnet_jax.train import timer as timers
from resnet_jax.train.experiment import Experiment
from resnet_jax.train.profiler import Trace
from resnet_jax.train.run import run_all
from resnet_jax.train.timer import Timer

PARTS = ("step_s", "data_s", "compile_s", "eval_s", "save_s")


@pytest.fixture
def time(monkeypatch):
    """A clock that goes on only when it is told to."""

    class Time:
        now = 100.0

        def pass_(self, seconds):
            self.now += seconds

    time = Time()
    monkeypatch.setattr(timers.time, "perf_counter", lambda: time.now)
    return time


def test_every_second_has_its_part(time):
    """The steps' are what is left; only the first call compiles."""
    timer = Timer()
    for wait in (1, 2):
        with timer.on("data"):
            time.pass_(wait)
        time.pass_(4)
        timer.count_call(64, ())
        with timer.on("save"):
            time.pass_(0.5)
        time.pass_(0.25)
    with timer.on("eval"):
        time.pass_(8)
    assert timer.breakdown() == {
        "step_s": 4.5, "data_s": 3, "compile_s": 4, "eval_s": 8, "save_s": 1,
    }  # fmt: skip
    assert timer.seconds() == 20.5
    time.pass_(3)
    assert timer.breakdown() == {"step_s": 3, "data_s": 0, "eval_s": 0, "save_s": 0}


def test_images_a_second_leave_out_compilation_and_evaluation(time):
    timer = Timer()
    time.pass_(30)
    timer.count_call(64, ())
    assert timer.rate() is None
    time.pass_(2)
    timer.count_call(64, ())
    assert timer.rate() == 32
    time.pass_(50)
    timer.restart_rate()
    time.pass_(4)
    timer.count_call(64, ())
    assert timer.rate() == 16


# Peaks


def test_peaks_of_devices():
    assert peaks.peak("NVIDIA A100-SXM4-80GB", dtype="bfloat16") == 312e12
    assert peaks.peak("NVIDIA H100 80GB HBM3", dtype="float32") == 494e12
    assert peaks.peak("TPU v3", dtype="bfloat16") == 61.5e12
    for kind, dtype in [("cpu", "float32"), ("NVIDIA H200", "float64")]:
        assert peaks.peak(kind, dtype=dtype) is None
    with jax.default_matmul_precision("highest"):
        assert peaks.peak("NVIDIA H200", dtype="float32") is None
        assert peaks.peak("NVIDIA H200", dtype="bfloat16") == 989e12


def test_reduced_precision_is_never_the_slower_one():
    for fast, slow in peaks.PEAKS.values():
        assert fast >= slow > 1e13


def test_images_at_the_peak():
    """Of 1e12 operations a second, an image of 1e9 multiply-adds takes 6e9."""
    assert peaks.images_per_s(10**9, flops=1e12) == pytest.approx(1e3 / 6)


def test_the_peak_of_all_devices(monkeypatch):
    made = tinytask.experiment({}, count=2)
    assert made.peak() is None  # of a CPU
    monkeypatch.setattr(peaks, "peak", lambda kind, *, dtype: 1e12)
    macs = complexity.multiply_adds(made.net.build(), made.pipeline.image_shape)
    assert made.peak() == pytest.approx(2e12 / 6 / macs)


# Runs


def train(shop, folder, changes, **options):
    return run_all(shop.config(changes), folder, bar=runs.Quiet, **options)


@pytest.mark.compile
def test_a_traced_run(shop, tmp_path, monkeypatch):
    """The trace, and the seconds of the rows of two seeds, in one go."""
    monkeypatch.setattr(Experiment, "peak", lambda self: 1e6)
    trace = Trace(tmp_path / "profile")
    changes = {"train.steps": 16, "train.checkpoint_every": 8, "train.seeds": (0, 1)}
    changes["train.steps_per_call"] = 1
    results = train(shop, tmp_path, changes, trace=trace)

    assert trace.complete and trace.steps == (4, 13)
    assert [note for note in runs.Quiet.notes if "profile" in note] == [trace.summary()]
    assert f"steps 4 to 13 in {tmp_path / 'profile'}; open its" in trace.summary()
    (events,) = (tmp_path / "profile").rglob("*.trace.json.gz")
    written = json.loads(gzip.decompress(events.read_bytes()))
    names = [event.get("name") for event in written["traceEvents"]]
    assert len(names) < 1e6  # the viewer's file holds no more and drops the rest
    # Calls are numbered by the step they start from; evaluations fall due at 8 and 12,
    # checkpoints at 8.
    assert [names.count(part) for part in ("train", "data")] == [10, 10]
    assert {"eval", "save"} < set(names)
    events = [event for event in written["traceEvents"] if "name" in event]
    compiled = [e["ts"] for e in events if "compile" in e["name"].lower() and "ts" in e]
    assert compiled  # the first evaluation
    for step in (event for event in events if event["name"] == "train"):
        assert not any(0 < start - step["ts"] < step["dur"] for start in compiled)

    for folder, result in results.items():
        rows = [row for row in runs.rows(folder) if row["split"] == "train"]
        assert [row["step"] for row in rows] == [4, 8, 12, 16]
        for told_once in ("compile_s", "temporary_bytes"):
            assert [told_once in row for row in rows] == [True, False, False, False]
        assert rows[0]["temporary_bytes"] > 0
        spent = [sum(row.get(part, 0.0) for part in PARTS) for row in rows]
        ends = [r["wall_s"] for r in runs.rows(folder) if r["split"] == "test"]
        assert all(row[part] >= 0 for row in rows for part in PARTS if part in row)
        # each row's parts are the seconds from the last evaluation to this one
        between = [ends[0]] + [b - a for a, b in itertools.pairwise(ends)]
        assert spent == pytest.approx(between, abs=0.02)
        assert sum(spent) <= result["wall_s"]
        for row in rows:
            share = row["images_per_s"] * 2 / 1e6  # of both seeds
            assert row["peak_share"] == pytest.approx(share, abs=1e-4)


@pytest.fixture(scope="module")
def short(shop, tmp_path_factory):
    """A run of two steps, made longer by four, and what both commands said."""
    folder, said = tmp_path_factory.mktemp("short") / "run", {}
    for steps in (2, 6):
        changes = {"train.steps": steps, "train.steps_per_call": 1}
        with contextlib.redirect_stderr(io.StringIO()) as text:
            shop.train(folder, changes, flags=["--profile"])
        said[steps] = text.getvalue()
    return folder, said


@pytest.mark.compile
def test_the_share_of_an_unknown_peak_is_left_out(short):
    row = [row for row in runs.rows(short[0]) if row["split"] == "train"][-1]
    assert "peak_share" not in row and row["images_per_s"] > 0


@pytest.mark.compile
def test_too_few_steps_to_trace(short):
    """A run of two steps; and the end of one in the middle of its trace."""
    folder, said = short
    assert "profile: nothing was traced; a trace begins after 3 calls" in said[2]
    assert f"profile: steps 6 to 6 in {folder / 'profile'}; " in said[6]
