"""A folder, its log and its checkpoints are of one run, or the command refuses them."""

import json
import shutil

import pytest
import runs

from resnet_jax.evaluate import main as evaluate
from resnet_jax.main import main


@pytest.fixture(scope="module")
def whole(shop, tmp_path_factory):
    """An uninterrupted run of 16 steps: rows at 4, 8, ..., checkpoints 12 and 16."""
    return shop.train(tmp_path_factory.mktemp("whole"), {"train.steps": 16})


@pytest.fixture(scope="module")
def other(shop, tmp_path_factory):
    """Another run of the same config."""
    return shop.train(tmp_path_factory.mktemp("other"), {"train.steps": 16})


@pytest.fixture
def copied(whole, tmp_path):
    """A copy of the run, as if it was killed at its last step."""
    shutil.copytree(whole, tmp_path / "run")
    (tmp_path / "run" / "DONE").unlink()
    return tmp_path / "run"


def told(shop, workdir, capsys, changes=(), *flags):
    """Exit code and stderr of a command."""
    fields = {"train.steps": 16} | dict(changes)
    code = main(["main", *shop.command(workdir, fields), *flags])
    return code, capsys.readouterr().err


def refused(shop, workdir, capsys, *, code=4, changes=()):
    """The message of a command that is refused; nothing in the folder changes."""
    before = runs.listing(workdir)
    found, said = told(shop, workdir, capsys, changes)
    assert found == code, said
    assert runs.listing(workdir) == before
    return said


def lines(workdir):
    return (workdir / "metrics.jsonl").read_bytes().splitlines(keepends=True)


def without(workdir, *dropped):
    """Write the log without the rows at some places."""
    kept = [line for at, line in enumerate(lines(workdir)) if at not in dropped]
    (workdir / "metrics.jsonl").write_bytes(b"".join(kept))


@pytest.mark.compile
def test_the_id_of_a_run_is_in_config_log_and_checkpoints(whole):
    run = json.loads((whole / "config.json").read_text())["run"]
    assert len(run) == 16 and int(run, 16) >= 0
    assert {row["run"] for row in runs.rows(whole)} == {run}
    sealed = json.loads((whole / "checkpoints/16/meta/metadata").read_text())
    assert sealed["meta"]["run"] == run and sealed["meta"]["evaluated"] == 16


def test_a_folder_named_after_another_seed_is_refused(shop, tmp_path, capsys):
    code, said = told(shop, tmp_path / "seed3", capsys)
    assert code == 2 and not (tmp_path / "seed3").exists()
    assert "is named after seed 3, but seed=0; set seed=3, or name another" in said


@pytest.mark.compile
def test_checkpoints_without_config_are_of_an_unknown_run(shop, copied, capsys):
    (copied / "config.json").unlink()
    said = refused(shop, copied, capsys, changes={"seed": 1})
    assert "holds a log but no config.json, so what was run is not known" in said
    (copied / "metrics.jsonl").unlink()
    assert "holds checkpoints but no config.json" in refused(shop, copied, capsys)


@pytest.mark.compile
def test_checkpoints_of_another_run_are_refused(shop, copied, whole, other, capsys):
    shutil.rmtree(copied / "checkpoints")
    (copied / "checkpoints").symlink_to(other / "checkpoints")
    said = refused(shop, copied, capsys)
    ids = [json.loads((d / "config.json").read_text())["run"] for d in (other, whole)]
    assert f"step 16 is of another run ({ids[0]}, this one is {ids[1]})" in said


@pytest.mark.compile
def test_other_commands_refuse_them_too(copied, other, capsys):
    assert evaluate(["evaluate", "--workdir", str(copied)]) == 0
    shutil.rmtree(copied / "checkpoints")
    (copied / "checkpoints").symlink_to(other / "checkpoints")
    assert evaluate(["evaluate", "--workdir", str(copied)]) == 4
    assert "checkpoints: step 16 is of another run (" in capsys.readouterr().err


@pytest.mark.compile
@pytest.mark.parametrize(
    ("damage", "problem", "code"),
    [
        (lambda d, other: without(d, 3), "metrics.jsonl has no test row of step 8", 4),
        (lambda d, other: without(d, 7), "no test row at step 16, the last", 0),
        (
            lambda d, other: shutil.copy(other / "metrics.jsonl", d),
            "is a row of another run",
            4,
        ),
        (
            lambda d, other: shutil.copy(other / "config.json", d),
            "is a row of another run",
            4,
        ),
        (lambda d, other: edited_result(d), "result.json: test_top1_err is 1.0", 0),
    ],
)
def test_a_finished_run_is_looked_at_again(
    shop, copied, whole, other, capsys, caplog, damage, problem, code
):
    """DONE does not hide that files are damaged or of another run."""
    shutil.copy(whole / "DONE", copied)
    assert told(shop, copied, capsys) == (0, "")
    assert not caplog.messages
    damage(copied, other)
    found, said = told(shop, copied, capsys)
    assert found == code, said
    (warning,) = [text for text in caplog.messages if ": DONE, but " in text]
    assert problem in warning and "is checked again" in warning
    if code == 0:
        runs.assert_same_run(copied, whole)


def edited_result(workdir):
    result = json.loads((workdir / "result.json").read_text())
    (workdir / "result.json").write_text(json.dumps(result | {"test_top1_err": 1.0}))


@pytest.mark.compile
def test_a_log_without_its_checkpoints_is_not_begun_again(shop, copied, capsys):
    for step in runs.steps(copied):
        shutil.rmtree(copied / "checkpoints" / str(step))
    said = refused(shop, copied, capsys)
    assert "checkpoints: are gone, the log has rows up to step 16; put them" in said
    shutil.rmtree(copied / "checkpoints")
    assert "checkpoints: are gone, but the log is not" in refused(shop, copied, capsys)


@pytest.mark.compile
def test_restart_keeps_the_old_files_aside(shop, copied, whole, capsys):
    before = runs.timeless(copied)
    shutil.rmtree(copied / "checkpoints")
    code, said = told(shop, copied, capsys, {}, "--restart")
    assert code == 0
    (aside,) = copied.glob("before-*")
    assert f"the earlier run is kept in {aside}" in said
    assert runs.timeless(aside) == before
    runs.assert_same_run(copied, whole)
    ids = [json.loads((d / "config.json").read_text())["run"] for d in (copied, aside)]
    assert ids[0] != ids[1]


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.compile
def test_a_log_that_is_gone_is_not_written_on(shop, copied, done, capsys):
    if done:
        (copied / "DONE").write_text('{"step": 16, "wall_s": 1.0}')
    (copied / "metrics.jsonl").unlink()
    code, said = told(shop, copied, capsys)
    assert code == 4
    assert "metrics.jsonl: has no train row of step 4 and 3 more, but" in said
    assert (copied / "DONE").exists() == done and runs.steps(copied) == [12, 16]


@pytest.mark.compile
def test_a_row_that_is_lost_is_made_again_from_an_older_checkpoint(
    shop, copied, whole, capsys, caplog
):
    without(copied, 7)  # the test row of step 16
    with open(copied / "metrics.jsonl", "ab") as file:
        file.write(lines(whole)[7][:30])  # torn
    assert told(shop, copied, capsys)[0] == 0
    assert "has no test row of step 16; an older checkpoint than 16 is" in caplog.text
    runs.assert_same_run(copied, whole)


@pytest.mark.compile
def test_a_row_that_no_checkpoint_can_make_again_is_missed(shop, copied, capsys):
    without(copied, 2)
    code, said = told(shop, copied, capsys)
    assert code == 4
    assert "metrics.jsonl: has no train row of step 8, but checkpoint 16 is" in said
    assert runs.steps(copied) == [12, 16]


@pytest.mark.compile
def test_garbage_in_a_log_is_taken_out(shop, copied, whole, capsys):
    first, *rest = lines(copied)
    damaged = b"".join([first, b"\0\0\0\n", first, *rest])
    (copied / "metrics.jsonl").write_bytes(damaged)
    assert told(shop, copied, capsys)[0] == 0
    runs.assert_same_run(copied, whole)
    (aside,) = copied.glob("metrics.jsonl.damaged-*")
    assert aside.read_bytes() == damaged


@pytest.mark.compile
@pytest.mark.parametrize("end", [3, 10])
def test_a_run_made_longer_is_one_that_was_always_long(shop, whole, end, tmp_path):
    """The evaluation at its old end is none of the longer run."""
    workdir = shop.train(tmp_path / "run", {"train.steps": end})
    shop.train(workdir, {"train.steps": 16})
    assert runs.timeless(workdir) == runs.timeless(whole)


@pytest.mark.compile
def test_an_old_end_may_stand_for_the_evaluation_before_it(shop, tmp_path):
    """Step 8 was so near to the end, 9, that it was not evaluated."""
    workdir = shop.train(tmp_path / "run", {"train.steps": 9})
    shop.train(workdir, {"train.steps": 16})
    rows = [row for row in runs.rows(workdir) if row["split"] == "train"]
    assert [row["step"] for row in rows] == [4, 9, 12, 16]
    assert [row["n"] / 64 for row in rows] == [4, 5, 3, 4]


@pytest.mark.compile
@pytest.mark.parametrize(
    ("text", "codes"),
    [("{}", (0, 0)), ('{"step": null}', (0, 0)), ("[]", (4, 1)), ("{", (4, 1))],
)
def test_a_damaged_end_is_no_traceback(shop, copied, text, codes, capsys):
    (copied / "DONE").write_text(text)
    code, said = told(shop, copied, capsys)
    assert (code, said.count("error[")) == codes
