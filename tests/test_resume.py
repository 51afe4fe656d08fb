"""Runs that are killed, stopped, starved or moved go on as if nothing had happened."""

import collections
import json
import random
import re
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
import runs
import tinyset

from resnet_jax.data.sampler import Sampler
from resnet_jax.data.sources import digits, folders
from resnet_jax.main import main


@pytest.fixture(scope="module")
def whole(shop, tmp_path_factory):
    """An uninterrupted run of 24 steps."""
    return shop.train(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def half(shop, tmp_path_factory):
    """The same run, ended at step 12."""
    return shop.train(tmp_path_factory.mktemp("half"), {"train.steps": 12})


@pytest.fixture
def copied(tmp_path):
    """copied(run): a copy that a test may go on with, or break."""
    return lambda workdir: shutil.copytree(workdir, tmp_path / workdir.name)


def told(shop, workdir, changes, capsys):
    """(exit code, stderr) of a command in this process."""
    code = main(["main", *shop.command(workdir, changes)])
    return code, capsys.readouterr().err


def refused(shop, workdir, changes, capsys):
    """The same of a command that is refused; nothing in the folder changes."""
    before = runs.listing(workdir)
    said = told(shop, workdir, changes, capsys)
    assert runs.listing(workdir) == before
    return said


# Killed


SLOWLY = runs.PAUSED.format(seconds="0.05")
STUCK_AT_20 = runs.PAUSED.format(seconds="0.05 if step < 20 else 600")


def killed_and_resumed(shop, workdir, changes=(), *, times):
    """Kills a run at random instants, then lets the same command finish it."""
    log = workdir / "metrics.jsonl"
    for _ in range(times):
        before, delay = log.exists() and log.read_bytes(), random.uniform(0, 1.2)
        with shop.started(workdir, changes, before=STUCK_AT_20) as process:
            runs.await_true(process, lambda: log.exists() and log.stat().st_size)
            runs.await_true(process, lambda old=before: log.read_bytes() != old)
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
            run = runs.ended(process)
        print(f"killed after {delay:.3f} s: {run.returncode}, {runs.steps(workdir)}")
        assert run.returncode == -signal.SIGKILL
    return shop.train(workdir, changes)


@pytest.mark.process
def test_a_killed_run_ends_bit_for_bit_as_one_that_was_not(shop, whole, tmp_path):
    workdir = killed_and_resumed(shop, tmp_path / "run", times=2)
    runs.assert_same_run(workdir, whole)
    environment = json.loads((workdir / "env.json").read_text())
    assert len(environment["resumed"]) == 2


@pytest.mark.process
def test_a_killed_run_keeps_its_best_and_its_precise_rows(shop, tmp_path):
    changes = {"data.split": "1200/200", "model.norm.precise": 2}
    whole = shop.train(tmp_path / "whole", changes)
    workdir = killed_and_resumed(shop, tmp_path / "run", changes, times=1)
    runs.assert_same_run(workdir, whole)
    one, other = (json.loads((d / "result.json").read_text()) for d in (workdir, whole))
    assert one | {"wall_s": 0} == other | {"wall_s": 0}
    best = one["best_on_val"]["step"]
    assert runs.steps(workdir, kind="best")[-1] == best
    assert runs.state(workdir, kind="best")["step"] == best
    rows = runs.rows(workdir)
    precise = [row for row in rows if row.get("stats") == "precise"]
    assert [(r["split"], r["step"]) for r in precise] == [("val", 24), ("test", 24)]
    moving = [r for r in rows if r["split"] == "val" and r not in precise]
    assert best == min(moving, key=lambda row: row["top1_err"])["step"]


# Asked to stop


@pytest.mark.process
@pytest.mark.parametrize(
    ("number", "code", "kind"),
    [(signal.SIGTERM, 143, "preempted"), (signal.SIGINT, 130, "interrupted")],
)
def test_a_signal_saves_the_current_step(shop, whole, tmp_path, number, code, kind):
    with shop.started(tmp_path / "run", before=SLOWLY) as process:
        runs.await_rows(process, tmp_path / "run", 2)
        process.send_signal(number)
        run = runs.ended(process)
    assert run.returncode == code, run.stderr
    (step,) = runs.steps(tmp_path / "run")[-1:]
    assert f"error[{kind}] step={step}: asked to stop, state saved" in run.stderr
    assert 4 <= step < 24
    runs.assert_same_run(shop.train(tmp_path / "run"), whole)


@pytest.mark.process
def test_a_second_signal_ends_a_run_at_once_and_a_second_run_is_refused(
    shop, whole, tmp_path, capsys
):
    workdir = tmp_path / "run"
    stuck = runs.PAUSED.format(seconds="600 if step >= 8 else 0")
    with shop.started(workdir, before=stuck) as process:
        runs.await_rows(process, workdir, 4)
        runs.await_true(process, lambda: runs.steps(workdir) == [3, 6])

        code, said = refused(shop, workdir, {}, capsys)
        assert code == 2
        assert f"workdir={workdir}: another run is writing here" in said

        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGTERM)
        assert runs.ended(process).returncode == -signal.SIGTERM
    assert runs.steps(workdir) == [3, 6]
    runs.assert_same_run(shop.train(workdir), whole)


# More of the same


def test_more_steps_continue_a_finished_run(shop, whole, half, copied):
    runs.assert_same_run(shop.train(copied(half)), whole)


def test_a_finished_run_answers_at_once(shop, whole, capsys):
    assert refused(shop, whole, {}, capsys)[0] == 0


def test_fewer_steps_than_were_made_are_refused(shop, half, copied, capsys):
    workdir = copied(half)
    (workdir / "DONE").unlink()
    shutil.rmtree(
        workdir / "checkpoints" / "12"
    )  # as if killed between two evaluations
    code, said = told(shop, workdir, {"train.steps": 8}, capsys)
    assert code == 2
    assert "train.steps=8: the run is at step 9 already" in said
    assert runs.steps(workdir) == [9] and runs.rows(workdir) == runs.rows(half)


# Other devices, other feeds


EXAMPLES = """
import json, os
from resnet_jax.data.pipeline import TrainBatches
def read(self, step, k=None, read=TrainBatches.read):
    found = read(self, step, k)
    with open(os.environ["EXAMPLES"], "a") as file:
        for at, index in enumerate(found["index"].tolist()):
            file.write(json.dumps([step + at, index]) + "\\n")
    return found
TrainBatches.read = read
"""


@pytest.mark.process
def test_a_run_goes_on_with_other_devices_and_processes(
    shop, whole, tmp_path, monkeypatch
):
    """1, 2, 4, 8 devices, two processes, and one device again."""
    workdir, seen = tmp_path / "run", tmp_path / "examples"
    monkeypatch.setenv("EXAMPLES", str(seen))
    for step, devices in {4: 1, 8: 2, 12: 4, 16: 8}.items():
        changes = {"train.steps": step}
        shop.done(workdir, changes, devices=devices, before=EXAMPLES)
    with runs.two(shop, workdir, {"train.steps": 20}, before=EXAMPLES) as processes:
        assert [runs.ended(process).returncode for process in processes] == [0, 0]
    shop.done(workdir, devices=1, before=EXAMPLES)
    assert_close_rows(workdir, whole)
    final, expected = runs.state(workdir), runs.state(whole)
    for name, leaf in expected.items():
        if name.startswith("params"):
            np.testing.assert_allclose(final[name], leaf, rtol=0, atol=1e-6)
    examples = collections.defaultdict(list)
    for step, index in map(json.loads, seen.read_text().splitlines()):
        examples[step] += index
    batches = Sampler(0, 64, 1437).batches(0, 24)["index"]
    assert {step: sorted(found) for step, found in sorted(examples.items())} == {
        step: sorted(index) for step, index in enumerate(batches.tolist())
    }


@pytest.mark.compile
def test_a_streamed_run_continues_a_resident_one(shop, whole, half, copied):
    workdir = shop.train(copied(half), {"data.feed": "streaming"})
    assert_close_rows(workdir, whole)


def assert_close_rows(one, other):
    pairs = zip(runs.timeless(one), runs.timeless(other), strict=True)
    for a, b in pairs:
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
        assert [a[k] for k in ("split", "step", "n")] == [
            b[k] for k in ("split", "step", "n")
        ]


# Damage


FULL_DISK = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (8_192, 8_192))
"""


@pytest.mark.process
def test_a_full_disk_keeps_the_last_good_checkpoint(shop, whole, half, copied):
    workdir = copied(half)
    run = shop.run(workdir, before=FULL_DISK)
    assert run.returncode == 6, run.stderr
    said = run.stderr
    assert f"error[storage] checkpoints={workdir}/checkpoints: step 15 could" in said
    assert "last good step: 12" in said
    assert runs.timeless(workdir)[:6] == runs.timeless(half)
    assert runs.steps(workdir)[-1] == 12
    runs.assert_same_run(shop.train(workdir), whole)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of so many KiB; `mount(size)` again makes it larger."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(size, *options):
        options = f"size={size}k,{','.join(options)}".rstrip(",")
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
        return place

    yield mount
    subprocess.run(["umount", str(place)], capture_output=True)


@pytest.mark.process
def test_a_disk_that_is_full_keeps_the_last_good_checkpoint(
    shop, whole, half, small_disk
):
    size = sum(path.stat().st_blocks for path in half.rglob("*")) // 2 + 60
    workdir = shutil.copytree(half, small_disk(size) / "run")
    run = shop.run(workdir)
    assert run.returncode == 6, run.stderr
    assert re.search(
        r"error\[storage\] checkpoints=\S+: step 15 could not be written \(No space",
        run.stderr,
    )
    assert "last good step: 12; make room and run the same command again" in run.stderr
    assert runs.timeless(workdir)[:6] == runs.timeless(half)
    small_disk(100 * size, "remount")
    runs.assert_same_run(shop.train(workdir), whole)


@pytest.mark.process
def test_a_folder_that_cannot_be_written_any_more_ends_a_run(shop, tmp_path):
    """Though threads of orbax wait for a folder that was not made."""
    workdir = tmp_path / "run"
    with shop.started(workdir, before=SLOWLY) as process:
        runs.await_true(process, (workdir / "checkpoints" / "3").exists)
        (workdir / "checkpoints").rename(tmp_path / "kept")
        (workdir / "checkpoints").touch()
        run = runs.ended(process, limit=60)
    assert run.returncode == 6, run.stderr
    assert f"checkpoints={workdir}/checkpoints: step " in run.stderr
    assert run.stderr.count("error[") == 1 and "Traceback" not in run.stderr
    assert (workdir / "FAILED").read_text().startswith("storage: checkpoints=")


def flip(checkpoint):
    """Change bits all over the numbers in a checkpoint.

    A single place may be one that nothing refers to.
    """
    for path in [path for path in checkpoint.rglob("d/*") if path.is_file()]:
        data = bytearray(path.read_bytes())
        for at in range(len(data) // 32, len(data), max(len(data) // 16, 1)):
            data[at] ^= 1
        path.write_bytes(data)


def test_a_damaged_checkpoint_is_not_used(shop, whole, copied, caplog):
    workdir = copied(whole)
    (workdir / "DONE").unlink()
    flip(workdir / "checkpoints" / "24")
    shop.train(workdir)
    assert "STEP 24 IS DAMAGED" in caplog.text
    assert (workdir / "checkpoints" / "corrupt-24").is_dir()
    runs.assert_same_run(workdir, whole)


def test_no_usable_checkpoint_is_not_a_fresh_start(shop, whole, copied, capsys):
    workdir = copied(whole)
    (workdir / "DONE").unlink()
    for step in runs.steps(workdir):
        flip(workdir / "checkpoints" / str(step))
    logged = runs.rows(workdir)
    code, said = told(shop, workdir, {}, capsys)
    assert code == 4
    assert f"checkpoints={workdir}/checkpoints: none of the checkpoints" in said
    assert runs.rows(workdir) == logged
    assert runs.steps(workdir) == runs.steps(whole)


# Other configs


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        (
            {"model.width": 0.5},
            [
                "(model.width: 0.25 -> 0.5)",
                "head/kernel: checkpoint (16, 10) float32 vs model (32, 10) float32",
                "and 8 more",
            ],
        ),
        (
            {"model.num_classes": 7},
            [
                "(model.num_classes: None -> 7)",
                "head/kernel: checkpoint (16, 10) float32 vs model (16, 7) float32",
                "head/bias: checkpoint (10,) float32 vs model (7,) float32",
            ],
        ),
        (
            {"optim.name": "adamw", "train.dtype": "bfloat16"},
            ["optim.name: 'sgd' -> 'adamw'", "train.dtype: 'float32' -> 'bfloat16'"],
        ),
    ],
)
def test_another_model_is_refused(shop, whole, changes, lines, capsys):
    code, said = refused(shop, whole, changes, capsys)
    assert code == 4
    assert f"error[checkpoint] workdir={whole}: holds a run of another config" in said
    for line in lines:
        assert line in said
    assert "allow_data_change" not in said


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"seed": 1}, "(seed: 0 -> 1)"),
        ({"data.batch_size": 32}, "data.batch_size: 64 -> 32"),
        ({"data.split": "1200/200"}, "data.split: 'full' -> '1200/200'"),
    ],
)
def test_other_data_are_refused(shop, whole, changes, line, capsys):
    code, said = refused(shop, whole, changes, capsys)
    assert code == 4
    assert line in said
    assert "or go on with --allow_data_change" in said


def test_another_version_of_the_data_is_refused(shop, whole, tmp_path, capsys):
    folder = shutil.copytree(shop.folder / "tfds", tmp_path / "tfds") / "digits"
    (folder / "1.0.0").rename(folder / "1.0.1")
    tinyset.edit(folder / "1.0.1", lambda info: info.update(version="1.0.1"))
    code, said = refused(shop, whole, {"data.dir": tmp_path / "tfds"}, capsys)
    assert code == 4
    digest = ":[0-9a-f]{16}'"
    old, new = (f"'digits:1.0.{n}:train:1437{digest}" for n in (0, 1))
    assert re.search(f"derived.data: {old} -> {new}", said)


def test_other_pixels_of_the_same_name_and_length_are_refused(
    shop, whole, tmp_path, capsys, monkeypatch
):
    images, labels = digits.arrays()
    monkeypatch.setattr(digits, "arrays", lambda: (images[:, ::-1], labels))
    folders.prepare(digits.Digits(data_dir=tmp_path / "tfds"))
    code, said = refused(shop, whole, {"data.dir": tmp_path / "tfds"}, capsys)
    assert code == 4
    found = re.search(r"derived.data: '(.*):(\w+)' -> '(.*):(\w+)'", said)
    assert found and found[1] == found[3] and found[2] != found[4]


def test_other_data_are_taken_where_they_are_asked_for(shop, half, copied):
    workdir = copied(half)
    changes = {"seed": 1, "train.steps": 16}
    shop.train(workdir, changes, flags=["--allow_data_change"])
    assert runs.timeless(workdir)[:6] == runs.timeless(half)
    assert json.loads((workdir / "config.json").read_text())["seed"] == 1
