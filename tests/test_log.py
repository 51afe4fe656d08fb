"""The log: strict lines, whole after any kill, one writer, and a cut that forgets."""

import json
import math
import os
import signal
import subprocess
import sys
import textwrap

import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.errors import ConfigError, StorageError
from resnet_jax.runs.log import Log, Problem, lock, read


def rows_to(path, steps):
    with Log(path) as log:
        for step in steps:
            log.write({"split": "train", "step": step, "loss": 1 / (step + 1)})


def strict(line):
    def refuse(constant):
        raise AssertionError(f"{constant} in the log")

    return json.loads(line, parse_constant=refuse)


def child(code, *args, **options):
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, args)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def test_rows_come_back_as_python_numbers(tmp_path):
    row = {
        "split": "val",
        "step": np.int64(7),
        "loss": jnp.float32(0.5),
        "n": np.array(360),
        "per_class": np.array([0.25, 0.75]),
        "note": "ünïcode\u2028 and\na newline",
    }
    with Log(tmp_path / "new" / "metrics.jsonl") as log:
        log.write(row)
    rows, problems = read(tmp_path / "new" / "metrics.jsonl")
    assert rows == [
        {**row, "step": 7, "loss": 0.5, "n": 360, "per_class": [0.25, 0.75]}
    ]
    assert problems == []


def test_floats_are_exact(tmp_path):
    values = np.random.default_rng(0).standard_normal(100).tolist()
    with Log(tmp_path / "m.jsonl") as log:
        for value in values:
            log.write({"loss": value})
    assert [row["loss"] for row in read(tmp_path / "m.jsonl")[0]] == values


def test_values_that_are_not_finite_are_null_and_named(tmp_path):
    with Log(tmp_path / "m.jsonl") as log:
        log.write({"step": 1, "loss": math.nan, "lr": np.float32(np.inf), "n": 2.0})
        log.write({"step": 2, "by_part": {"head": -math.inf}, "scales": [1.0, np.nan]})
    first, second = map(strict, (tmp_path / "m.jsonl").read_text().splitlines())
    assert first["loss"] is None and first["lr"] is None and first["n"] == 2.0
    assert first["nonfinite"] == {"loss": "nan", "lr": "inf"}
    assert second["nonfinite"] == {"by_part.head": "-inf", "scales.1": "nan"}
    assert second["scales"] == [1.0, None]


def test_one_write_a_line(tmp_path, monkeypatch):
    calls, write = [], os.write
    monkeypatch.setattr(os, "write", lambda f, d: calls.append(d) or write(f, d))
    rows_to(tmp_path / "m.jsonl", range(3))
    assert len(calls) == 3 and all(call.endswith(b"}\n") for call in calls)


def test_cut_forgets_what_will_be_written_again(tmp_path):
    path = tmp_path / "m.jsonl"
    rows_to(path, range(6))
    with Log(path) as log:
        log.write({"event": "without a step"})
        log.cut(3)
        log.write({"split": "train", "step": 4})
    rows, problems = read(path)
    assert [row.get("step") for row in rows] == [0, 1, 2, 3, None, 4]
    assert problems == []
    assert os.listdir(tmp_path) == ["m.jsonl"]


@pytest.mark.parametrize("reopened", ["only", "and cut"])
def test_a_torn_tail_is_set_aside(tmp_path, reopened):
    path = tmp_path / "m.jsonl"
    rows_to(path, range(3))
    with open(path, "ab") as file:
        file.write(b'{"split": "train", "st')
    rows, problems = read(path)
    assert len(rows) == 3
    assert problems == [Problem(4, "torn", '{"split": "train", "st')]
    with Log(path) as log:
        if reopened == "and cut":
            log.cut(1)
        log.write({"step": 9})
    rows, problems = read(path)
    kept = [0, 1, 2] if reopened == "only" else [0, 1]
    assert [row["step"] for row in rows] == [*kept, 9]
    assert problems == []
    (torn,) = tmp_path.glob("m.jsonl.torn-*")
    assert torn.read_bytes() == b'{"split": "train", "st'


def test_a_row_that_lacks_only_its_newline_is_kept(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}')
    assert read(path) == ([{"step": 1}, {"step": 2}], [])
    rows_to(path, [3])
    assert [row["step"] for row in read(path)[0]] == [1, 2, 3]


@pytest.mark.parametrize(
    "line",
    [b'{"step": 2', b'{"loss": NaN}', b"[1, 2]", b"\xff\xfe", b"", b'{"a": 1}{"a": 2}'],
)
def test_foreign_lines_are_reported_and_stay(tmp_path, line):
    path = tmp_path / "m.jsonl"
    path.write_bytes(b'{"step": 1}\n' + line + b'\n{"step": 2}\n{"step": 3}\n')
    with Log(path) as log:
        log.cut(2)
    assert path.read_bytes() == b'{"step": 1}\n' + line + b'\n{"step": 2}\n'
    rows, problems = read(path)
    assert [row["step"] for row in rows] == [1, 2]
    assert [(problem.line, problem.kind) for problem in problems] == [(2, "foreign")]


def test_every_row_written_before_a_kill_is_whole(tmp_path):
    path = tmp_path / "m.jsonl"
    writer = child(
        """
        import itertools, sys
        from resnet_jax.train.log import Log
        log = Log(sys.argv[1])
        for step in itertools.count():
            log.write({"step": step, "pad": "x" * 3000})
            if step == 500:
                print("go", flush=True)
        """,
        path,
    )
    with writer:
        assert writer.stdout.readline() == "go\n"
        writer.send_signal(signal.SIGKILL)
    rows, problems = read(path)
    assert [row["step"] for row in rows] == list(range(len(rows)))
    assert len(rows) > 500
    assert [problem.kind for problem in problems] in ([], ["torn"])


def test_a_full_disk_is_a_storage_error(tmp_path):
    path = tmp_path / "m.jsonl"
    writer = child(
        """
        import resource, sys
        from resnet_jax.errors import StorageError
        from resnet_jax.train.log import Log
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        log = Log(sys.argv[1])
        try:
            for step in range(20):
                log.write({"step": step})
        except StorageError as error:
            sys.exit(f"{error.exit_code} {error}")
        """,
        path,
    )
    with writer:
        told = writer.stderr.read()
    assert told.startswith("6 ") and str(path) in told and told.count("\n") == 1
    rows, _ = read(path)
    assert [row["step"] for row in rows] == list(range(8))
    rows_to(path, [8])
    assert read(path)[1] == []


def test_a_log_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"log=.*file/m\.jsonl: cannot be written"):
        Log(tmp_path / "file" / "m.jsonl")
    with pytest.raises(StorageError, match="Is a directory"):
        Log(tmp_path)


def test_the_second_run_in_a_folder_is_refused(tmp_path):
    with lock(tmp_path / "run"):
        told = rf"workdir=.*run: another run is writing here \(process {os.getpid()}\)"
        with pytest.raises(ConfigError, match=told), lock(tmp_path / "run"):
            pass
    with lock(tmp_path / "run"):
        pass


def test_the_lock_passes_on_the_errors_of_the_run(tmp_path):
    with pytest.raises(BlockingIOError), lock(tmp_path):
        raise BlockingIOError
    with lock(tmp_path):
        pass


def test_a_killed_run_leaves_no_lock(tmp_path):
    holder = child(
        """
        import sys, time
        from resnet_jax.train.log import lock
        with lock(sys.argv[1]):
            print("held", flush=True)
            time.sleep(60)
        """,
        tmp_path,
    )
    with holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match=str(holder.pid)), lock(tmp_path):
            pass
        holder.send_signal(signal.SIGKILL)
    with lock(tmp_path):
        pass


def test_a_workdir_that_is_a_file(tmp_path):
    (tmp_path / "run").write_text("")
    for place in ("run", "run/below"):
        told = f"workdir=.*{place}: cannot be written"
        with pytest.raises(ConfigError, match=told), lock(tmp_path / place):
            pass


def test_tensorboard_is_asked_for_and_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ConfigError, match=r"tensorboardX is not installed; pip"):
        Log(tmp_path / "m.jsonl", tensorboard=tmp_path / "events")
    assert os.listdir(tmp_path) == []


class Writer:
    """Stands for tensorboardX.SummaryWriter, and remembers."""

    made = ()

    def __init__(self, folder, *, purge_step):
        self.folder, self.purge_step, self.points = folder, purge_step, []
        Writer.made += (self,)

    def add_scalar(self, *point):
        self.points.append(point)

    def close(self):
        self.points.append("closed")


def test_tensorboard_gets_the_numbers_and_forgets_with_the_log(tmp_path, monkeypatch):
    module = type(sys)("tensorboardX")
    module.SummaryWriter = Writer
    monkeypatch.setattr(Writer, "made", ())
    monkeypatch.setitem(sys.modules, "tensorboardX", module)
    with Log(tmp_path / "m.jsonl", tensorboard=tmp_path / "events") as log:
        log.write(
            {"split": "train", "step": 5, "loss": np.float32(0.5), "lr": math.nan}
        )
        log.cut(3)
        log.write({"split": "test", "stats": "precise", "step": 4, "top1_err": 2.0})
    first, second = Writer.made
    assert first.points == [("train/loss", 0.5, 5), "closed"]
    assert second.points == [("test/precise/top1_err", 2.0, 4), "closed"]
    assert (first.purge_step, second.purge_step) == (None, 4)


def test_real_event_files(tmp_path):
    pytest.importorskip("tensorboardX")
    with Log(tmp_path / "m.jsonl", tensorboard=tmp_path / "events") as log:
        log.write({"split": "train", "step": 5, "loss": 0.5})
    (file,) = (tmp_path / "events").iterdir()
    assert b"train/loss" in file.read_bytes()
    assert "tensorflow" not in sys.modules
