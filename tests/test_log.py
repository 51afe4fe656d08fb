"""The log: strict lines, whole after any kill, one writer and one reader."""

import errno
import json
import math
import os
import re
import signal
import subprocess
import sys
import textwrap

import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.config.schema import Config
from resnet_jax.errors import ConfigError, StorageError
from resnet_jax.paths import replaced
from resnet_jax.runs import reader
from resnet_jax.runs.log import Log, lock
from resnet_jax.runs.reader import LogFile, Problem, gaps, read
from resnet_jax.runs.row import parse
from resnet_jax.runs.trackers import TensorBoard, WeightsAndBiases, opened


def row_of(split, step, top1=50.0, **extra):
    """A row as the training loop writes it."""
    n = 128 if split == "train" else 360
    row = {"split": split, "step": step, "epoch": step / 10, "n": n, "loss": 0.5}
    return row | {"top1_err": top1, "top5_err": 1.0, "lr": 0.1, "wall_s": 2.0} | extra


def text_of(steps):
    """Lines of so short rows that one sees them."""
    return b"".join(b'{"split": "train", "step": %d}\n' % step for step in steps)


def rows_to(path, steps):
    with Log(path) as log:
        for step in steps:
            log.write({"split": "train", "step": step, "loss": 1 / (step + 1)})


def steps_in(path):
    return [row["step"] for row in read(path)[0]]


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
        for step, value in enumerate(values):
            log.write({"split": "train", "step": step, "loss": value})
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
        log.cut(3)
        assert [row["step"] for row in log.rows()] == [0, 1, 2, 3]
        log.write({"split": "train", "step": 4})
    rows, problems = read(path)
    assert [row["step"] for row in rows] == [0, 1, 2, 3, 4]
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
    assert problems == [Problem(4, "torn", "torn", '{"split": "train", "st')]
    with Log(path) as log:
        if reopened == "and cut":
            log.cut(1)
        log.write({"split": "train", "step": 9})
    rows, problems = read(path)
    kept = [0, 1, 2] if reopened == "only" else [0, 1]
    assert [row["step"] for row in rows] == [*kept, 9]
    assert problems == []
    (torn,) = tmp_path.glob("m.jsonl.torn-*")
    assert torn.read_bytes() == b'{"split": "train", "st'


def test_a_row_that_lacks_only_its_newline_is_kept(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_bytes(text_of([1, 2])[:-1])
    assert steps_in(path) == [1, 2] and read(path)[1] == []
    rows_to(path, [3])
    assert steps_in(path) == [1, 2, 3]


@pytest.mark.parametrize(
    "line",
    [
        b'{"split": "train", "step": 2',
        b'{"split": "train", "step": 2, "loss": NaN}',
        b'{"step": 2}',
        b'{"split": "train"}',
        b"[1, 2]",
        b"\xff\xfe",
        b"",
        b'{"a": 1}{"a": 2}',
        text_of([1])[:-1],
    ],
)
def test_lines_that_are_no_rows_are_taken_out_and_kept_aside(tmp_path, line, caplog):
    path = tmp_path / "m.jsonl"
    first, *rest = (text_of([step]) for step in (1, 2, 3))
    damaged = first + line + b"\n" + b"".join(rest)
    path.write_bytes(damaged)
    kind = "repeated" if line + b"\n" == first else "foreign"
    assert [(p.line, p.kind) for p in read(path)[1]] == [(2, kind)]
    with Log(path) as log:
        log.cut(2)
    assert path.read_bytes() == first + rest[0]
    (aside,) = tmp_path.glob("m.jsonl.damaged-*")
    assert aside.read_bytes() == damaged
    assert f"log={path}: line 2: " in caplog.text and aside.name in caplog.text


def test_ten_megabytes_of_garbage_are_taken_out(tmp_path):
    path = tmp_path / "m.jsonl"
    noise = np.random.default_rng(0).bytes(10_000_000)
    path.write_bytes(text_of([1]) + noise + b"\n" + text_of([2]))
    rows_to(path, [3])
    assert steps_in(path) == [1, 2, 3] and read(path)[1] == []


def test_rows_that_contradict_each_other_are_both_taken_out(tmp_path):
    path = tmp_path / "m.jsonl"
    one, other = (
        f'{{"split": "test", "step": 2, "top1_err": {error}}}\n'.encode()
        for error in (13.06, 63.06)
    )
    path.write_bytes(text_of([1]) + one + other)
    rows, problems = read(path)
    assert [row["step"] for row in rows] == [1]
    assert [(p.line, p.complaint) for p in problems] == [
        (line, "contradicts another test row of step 2") for line in (2, 3)
    ]
    rows_to(path, [3])
    assert steps_in(path) == [1, 3]


def test_rows_of_another_run_are_taken_out(tmp_path):
    path = tmp_path / "m.jsonl"
    for run, step in (("a", 1), ("b", 2), ("a", 3)):
        row = f'{{"split": "train", "step": {step}, "run": "{run}"}}\n'
        path.write_text((path.read_text() if path.exists() else "") + row)
    rows, problems = read(path)
    assert [row["step"] for row in rows] == [1, 3]
    assert [p.complaint for p in problems] == ["is a row of another run, b"]
    with Log(path, run="b") as log:
        log.write({"split": "train", "step": 4})
    assert [(r["step"], r.get("run")) for r in read(path)[0]] == [(2, "b"), (4, "b")]


@pytest.mark.process
def test_every_row_written_before_a_kill_is_whole(tmp_path):
    path = tmp_path / "m.jsonl"
    writer = child(
        """
        import itertools, sys
        from resnet_jax.runs.log import Log
        log = Log(sys.argv[1])
        for step in itertools.count():
            log.write({"split": "train", "step": step, "pad": "x" * 3000})
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


@pytest.mark.process
def test_a_full_disk_is_a_storage_error(tmp_path):
    path = tmp_path / "m.jsonl"
    writer = child(
        """
        import resource, sys
        from resnet_jax.errors import StorageError
        from resnet_jax.runs.log import Log
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        log = Log(sys.argv[1])
        try:
            for step in range(20):
                log.write({"split": "train", "step": step})
        except StorageError as error:
            sys.exit(f"{error.exit_code} {error}")
        """,
        path,
    )
    with writer:
        told = writer.stderr.read()
    assert told.startswith("6 ") and str(path) in told and told.count("\n") == 1
    assert steps_in(path) == [0, 1, 2]  # 31 bytes each
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


@pytest.mark.parametrize("place", ["run", "a/b/run"])
def test_a_full_disk_leaves_no_folder(tmp_path, monkeypatch, place):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        told = r"run: cannot be written \(No space left on device\); make room there"
        with pytest.raises(ConfigError, match=told), lock(tmp_path / place):
            pass
    assert list(tmp_path.iterdir()) == []


def test_the_lock_passes_on_the_errors_of_the_run(tmp_path):
    with pytest.raises(BlockingIOError), lock(tmp_path):
        raise BlockingIOError
    with lock(tmp_path):
        pass


@pytest.mark.process
def test_a_killed_run_leaves_no_lock(tmp_path):
    holder = child(
        """
        import sys, time
        from resnet_jax.runs.log import lock
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
    with Log(tmp_path / "m.jsonl", trackers=[TensorBoard(tmp_path / "events")]) as log:
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
    with Log(tmp_path / "m.jsonl", trackers=[TensorBoard(tmp_path / "events")]) as log:
        log.write({"split": "train", "step": 5, "loss": 0.5})
    (file,) = (tmp_path / "events").iterdir()
    assert b"train/loss" in file.read_bytes()
    assert "tensorflow" not in sys.modules


class Wandb:
    """Stands for the library of Weights & Biases, and remembers."""

    class errors:
        class Error(Exception):
            pass

    def __init__(self):
        self.begun, self.told = [], []

    def init(self, **options):
        self.begun.append(options)
        return self

    def define_metric(self, name, *, step_metric):
        self.told.append((name, step_metric))

    def log(self, row):
        self.told.append(row)

    def finish(self):
        self.told.append("finished")


def test_weights_and_biases_gets_the_numbers_under_the_id_of_the_run(
    tmp_path, monkeypatch
):
    library = Wandb()
    monkeypatch.setitem(sys.modules, "wandb", library)
    folder = tmp_path / "runs" / "digits" / "row" / "seed0"
    config = replaced(Config(), {"train.wandb": "mine"})
    trackers = opened(folder, config, run="0123456789abcdef")
    with Log(folder / "m.jsonl", run="0123456789abcdef", trackers=trackers) as log:
        log.write({"split": "train", "step": 5, "loss": 0.5, "lr": math.nan})
        log.cut(3)
    (options,) = library.begun
    assert (options["project"], options["id"]) == ("mine", "0123456789abcdef")
    assert (options["name"], options["dir"]) == ("digits/row/seed0", str(folder))
    assert options["config"] == config.to_dict()
    assert library.told == [("*", "step"), {"step": 5, "train/loss": 0.5}, "finished"]
    assert opened(folder, Config(), run="0") == ()


def test_weights_and_biases_that_cannot_begin_are_one_line(tmp_path, monkeypatch):
    class Refusing(Wandb):
        def init(self, **_):
            raise self.errors.Error("api_key not configured (no-tty)\ncall wandb.login")

    monkeypatch.setitem(sys.modules, "wandb", Refusing())
    with pytest.raises(ConfigError) as error:
        WeightsAndBiases("mine", tmp_path, run="0", config={})
    told = "train.wandb='mine': api_key not configured (no-tty); run `wandb login`, or"
    assert str(error.value).startswith(told) and "\n" not in str(error.value)


@pytest.mark.process
def test_real_files_of_weights_and_biases(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    tracker = WeightsAndBiases("mine", tmp_path, run="0123456789abcdef", config={})
    with Log(tmp_path / "m.jsonl", trackers=[tracker]) as log:
        log.write({"split": "train", "step": 5, "loss": 0.5})
    (file,) = tmp_path.glob("wandb/offline-run-*-0123456789abcdef/*.wandb")
    assert b"train/loss" in file.read_bytes()


# ---------------------------------------------------------------- the reader

GOOD = [row_of("train", step) for step in range(1, 9)] + [row_of("test", 8, 9.0)]


def log_of(tmp_path, text):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(text)
    return LogFile(path)


def encoded(*, rows=GOOD, separators=None):
    """Log lines in one of the two styles of JSON."""
    lines = [json.dumps(row, separators=separators) + "\n" for row in rows]
    return "".join(lines).encode()


@pytest.mark.parametrize("separators", [None, (",", ":")])
def test_rows_are_found_in_either_style(tmp_path, separators):
    log = log_of(tmp_path, encoded(separators=separators))
    assert list(log.rows()) == [*log.rows("train"), *log.rows("test")] == GOOD
    assert log.at("test", 8) == [GOOD[-1]] and log.at("train", 5) == [GOOD[4]]
    assert log.last() == GOOD[-1] and log.count == 9
    assert log.steps("train") == list(range(1, 9)) and log.steps("val") == []
    assert not log.problems and log.torn is None


def test_only_the_rows_asked_for_are_parsed(tmp_path, monkeypatch):
    """A run has thousands; their frames, splits and steps are seen without it."""
    parsed = []
    monkeypatch.setattr(
        reader, "parse", lambda line: parsed.append(line) or parse(line)
    )
    rows = [row_of(split, step) for step in range(1000) for split in ("train", "test")]
    lost = row_of("train", 1000, None, loss=None, nonfinite={"loss": "nan"})
    log = log_of(tmp_path, encoded(rows=[*rows, lost]))
    assert log.count == 2001 and max(log.steps()) == 1000 and parsed == []
    assert log.at("test", 999) == [rows[-1]] and log.last() == lost
    assert len(parsed) == 2
    assert len(list(log.rows("train", at_most=10))) == 10 and len(parsed) == 12


def test_thinned_rows_include_the_last(tmp_path):
    log = log_of(tmp_path, encoded())
    assert [r["step"] for r in log.rows("train", at_most=3)] == [2, 5, 8]
    assert len(list(log.rows("train", at_most=8))) == 8
    assert list(log.rows("val", at_most=3)) == []


def test_an_empty_log_has_no_rows(tmp_path):
    log = log_of(tmp_path, b"")
    assert log.last() is None and list(log.rows("train")) == [] and not log.problems


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"Traceback (most recent call last):", "not JSON"),
        (b'{"split": "train", "step": 3, "los', "not JSON"),
        (b'{"split": "tr{"split": "train", "step": 3}', "not JSON"),
        (b'{"sp{"split": "train", "step": 3}', "not JSON"),
        (b'{"split": "train", "step": 3}{"split": "train", "step": 4}', "not JSON"),
        (b'{"split": "train", "step": 3, "loss": NaN}', "not JSON"),
        (b'{"split": "train", "step": 03}', "not JSON"),
        (b'{"split": "train", "loss": \0\0\0\0}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"split": "trial", "step": 3}', "split is not one of"),
        (b'{"split": "train", "step": -3, "x": {"y": 1}}', "step is not a whole"),
        (b'{"split": "train", "step": 3.5, "x": {"y": 1}}', "step is not a whole"),
        (b'{"split": "train", "step": 3, "x": {}, "loss": 1e999}', "out of range"),
        (b'{"split": "test", "step": 3, "top1_err": 101}', "not a percentage"),
        (b'{"split": "test", "step": 3, "top1_err": true}', "not a percentage"),
        (b"", "not JSON"),
        (b"3", "not a JSON object"),
        (encoded().split(b"\n")[0], "repeats the train row of step 1"),
    ],
)
def test_a_foreign_line_is_named_with_its_number(tmp_path, line, complaint):
    whole = encoded().split(b"\n")
    log = log_of(tmp_path, b"\n".join([*whole[:4], line, *whole[4:]]))
    rows = [*log.rows("train"), *log.rows("test")]
    assert rows == GOOD and log.torn is None
    assert len(log.problems) == 1
    assert re.match(rf"line 5: .*{complaint}", str(log.problems[0]))


def test_a_torn_last_line_is_told_from_a_foreign_one(tmp_path):
    log = log_of(tmp_path, encoded() + b'{"split": "tes')
    assert str(log.torn) == 'line 10: torn: {"split": "tes'
    assert log.problems == [log.torn]
    assert log.last() == GOOD[-1] and log.count == 9


def test_a_whole_last_line_without_its_newline_counts(tmp_path):
    log = log_of(tmp_path, encoded()[:-1])
    assert log.last() == GOOD[-1] and log.torn is None and not log.problems


def test_rows_that_are_not_finite_are_good_lines(tmp_path):
    lost = row_of("train", 9, None, loss=None, nonfinite={"loss": "nan"})
    log = log_of(tmp_path, encoded(rows=[*GOOD, lost]))
    assert log.last() == lost and not log.problems


def test_numbers_are_percentages_at_both_ends():
    for error in (0, 100, 0.0, 100.0, None):
        row = {"split": "test", "step": 0, "top1_err": error}
        assert parse(json.dumps(row).encode()) == row


@pytest.mark.parametrize("field", ["stats", "params", "protocol", "event"])
def test_rows_of_one_step_that_say_what_they_are_do_not_repeat(tmp_path, field):
    word = {"stats": "precise", "params": "ema", "protocol": "10crop"}.get(field, "x")
    rows = [row_of("test", 8), row_of("test", 8, **{field: word})]
    assert not log_of(tmp_path, encoded(rows=rows)).problems
    log = log_of(tmp_path, encoded(rows=[*rows, rows[1]]))
    assert [problem.line for problem in log.problems] == [3] and log.count == 2


def test_evaluations_that_fell_due_must_be_there(tmp_path):
    """One less than half an interval ahead of an end may be made at that end."""

    def told(*steps, every=10, end=30):
        rows = [row_of(split, step) for step in steps for split in ("train", "test")]
        return gaps(log_of(tmp_path, encoded(rows=rows)), every=every, end=end)

    assert told(10, 20, 30) == told(10, 24, 30) == told(10, 20, 33, end=33) == []
    assert told(10, 20, 30, 33, end=33) == told(10, 13, 20, 30) == []
    assert told(1, 2, 3, every=1, end=3) == []
    assert told(10, 25, 30)[1] == "has no test row of step 20"
    assert told(1, 3, every=1, end=3)[0] == "has no train row of step 2"
    assert told(30)[0] == "has no train row of step 10 and 1 more"
    assert told(10, 20, 30, 40) == ["has 2 rows after step 30, the last"]


@pytest.mark.parametrize(
    ("field", "complaint"),
    [
        ('"step": 10', "has a field twice"),
        ('"split": "train"', "has a field twice"),
        ('"n": "many"', "n is not a number of examples"),
        ('"n": -1', "n is not a number of examples"),
        ('"loss": "low"', "loss is not a number"),
        ('"protocol": ["1crop"]', "protocol is not a word"),
    ],
)
def test_a_field_of_a_wrong_kind_is_no_row(tmp_path, field, complaint):
    line = f'{{"split": "test", "step": 20, "top1_err": 1.0, {field}}}\n'.encode()
    log = log_of(tmp_path, text_of([1]) + line)
    assert log.at("test", 10) == log.at("test", 20) == []
    assert [p.complaint for p in log.problems] == [complaint]
