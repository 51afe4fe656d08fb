"""A run is what its files hold; ours and the paper's are compared like with like."""

import json
import shutil

import pytest
from test_report import (
    call,
    edit_config,
    edit_json,
    log_row,
    made,
    refused,
    seed,
    write_log,
)

from resnet_jax.config.experiment_file import load
from resnet_jax.report.curves import curve
from resnet_jax.report.table import report


def record(place, capsys, row, *options):
    """The row of the JSON table."""
    found = json.loads(made(place, capsys, "--format", "json", *options))["rows"]
    return next(one for one in found if one["row"] == row)


def edited_rows(folder, **changes):
    """The rows of a run's log, each with changed fields."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) | changes for line in lines]


def overwrite(folder, rows):
    """Write rows just as they are."""
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "metrics.jsonl").write_text(text)


def more_seeds(place, errors):
    """Runs of rows A and B with seeds 0, 1, ...; `errors`: {row: errors}."""
    text = (place / "toy.py").read_text()
    seeds = tuple(range(len(errors["A"])))
    (place / "toy.py").write_text(text.replace("SEEDS = (0, 1)", f"SEEDS = {seeds}"))
    for row, values in errors.items():
        for number, error in enumerate(values):
            folder = seed(place, row, number)
            if not folder.exists():
                shutil.copytree(seed(place, row, 0), folder)
                edit_json(folder / "config.json", seed=number)
            write_log(folder, [log_row("test", 20, error)])


# ---------------------------------------------------------------- seeds


def test_a_config_of_another_seed_is_refused_or_left_out(place, capsys):
    edit_json(seed(place, "A", 1) / "config.json", seed=0)
    code, line = refused(place, capsys)
    told = "config.json: seed is 0, the folder is of seed 1"
    assert code == 3 and f"A/seed1/{told}; repair" in line
    table = made(place, capsys, "--skip_bad")
    assert "| 7.25 (1) |" in table and "| missing: seed 1;" in table
    assert f"- A/seed1: left out: {told}." in table and "- Logs: 5 runs" in table


def test_one_run_in_five_folders_counts_once(place, capsys):
    source = seed(place, "B", 0)
    for number in (1, 2, 3, 4):
        shutil.copytree(source, seed(place, "B", number), dirs_exist_ok=True)
    code, line = refused(place, capsys)
    assert code == 3 and "seed is 0, the folder is of seed 1; " in line
    assert line.count("seed is 0") == 3 and "; and 1 more; " in line
    shutil.rmtree(seed(place, "B", 4))
    assert " more" not in refused(place, capsys)[1]
    assert record(place, capsys, "B", "--skip_bad")["seeds"] == [0]


def test_a_config_without_a_seed_is_refused(place, capsys):
    path = seed(place, "A", 0) / "config.json"
    config = json.loads(path.read_text())
    del config["seed"]
    path.write_text(json.dumps(config))
    assert "seed is None, the folder is of seed 0" in refused(place, capsys)[1]


@pytest.mark.parametrize(("row", "number"), [("A", 1), ("B", 1)])
def test_equal_logs_of_two_seeds_are_refused_or_left_out(place, capsys, row, number):
    """Times and rates do not tell a copy from what it was copied from."""
    rows = edited_rows(seed(place, "A", 0), wall_s=7.5, images_per_s=3.0, lr=0.5)
    overwrite(seed(place, row, number), rows)
    code, line = refused(place, capsys)
    told = "metrics.jsonl: has the losses and errors of"
    assert code == 3 and f"A/seed0/{told} {row}/seed{number}" in line
    assert f"{row}/seed{number}/{told} A/seed0" in line
    table = made(place, capsys, "--skip_bad")
    assert f"- A/seed0: left out: {told} {row}/seed{number}." in table
    assert f"- {row}/seed{number}: left out: {told} A/seed0." in table
    assert "- Logs: 4 runs" in table


def test_equal_logs_are_no_copies_under_one_seed_or_without_numbers(place, capsys):
    """Rows of equal configs compute the same; runs that computed nothing look alike."""
    rows = edited_rows(seed(place, "A", 0))
    overwrite(seed(place, "B", 0), rows)
    assert call(place) == 0
    rows[-1]["loss"] += 1e-12
    overwrite(seed(place, "A", 1), rows)
    assert call(place) == 0
    for number in (0, 1):
        overwrite(seed(place, "A", number), [log_row("test", 20, 90.0, loss=None)])
    assert call(place) == 0


def test_unfinished_runs_are_no_copies(place, capsys):
    """They count nowhere."""
    overwrite(seed(place, "A", 1), edited_rows(seed(place, "A", 0)))
    (seed(place, "A", 1) / "DONE").unlink()
    assert call(place) == 0


# ---------------------------------------------------------------- verdicts


def test_a_table_of_five_seeds_has_verdicts(place, capsys):
    errors = {"A": [7.0, 7.5, 8.0, 7.25, 7.75], "B": [9.0, 9.75, 10.0, 9.5, 9.75]}
    more_seeds(place, errors)
    table = made(place, capsys, "--against", "A")
    judged = "| B minus A | +2.10 | +1.82 to +2.38 | 5 | &lt; 0.001 | yes |"
    assert judged in table
    without = "| plain minus A | +2.00 | +1.72 to +2.28 | 2 | NONE | missing seeds |"
    assert without.replace("NONE", "\N{EN DASH}") in table
    assert "- Order supported: yes where p &lt; 0.05, two-sided" in table
    assert "pairs with a verdict (1) by Holm's step-down." in table
    paired = record(place, capsys, "B", "--against", "A")["paired"]
    assert (paired["verdict"], paired["seeds"]) == ("yes", [0, 1, 2, 3, 4])
    assert 0 < paired["p"] < 0.001
    # Three of eight diverged: those that are left may be the lucky ones.
    (seed(place, "B", 4) / "DONE").unlink()
    (seed(place, "B", 4) / "FAILED").write_text("diverged: step 3")
    paired = record(place, capsys, "B", "--against", "A")["paired"]
    assert (paired["verdict"], paired["p"]) == ("failed seeds", None)
    (seed(place, "B", 4) / "FAILED").unlink()
    paired = record(place, capsys, "B", "--against", "A")["paired"]
    assert (paired["verdict"], paired["p"]) == ("missing seeds", None)


def test_a_seed_that_is_left_out_is_missing(place, capsys):
    more_seeds(place, {"A": [7.0, 7.5, 8.0], "B": [9.0, 9.75, 10.0]})
    options = ("--against", "A", "--skip_bad")
    assert record(place, capsys, "B", *options)["paired"]["p"] is not None
    shutil.copy(seed(place, "B", 0) / "config.json", seed(place, "B", 2))
    assert record(place, capsys, "B", *options)["paired"]["verdict"] == "missing seeds"


@pytest.mark.parametrize(
    "change", ["n", "protocol", "data.name", "derived.data", "derived.description"]
)
def test_rows_of_other_data_or_protocol_are_not_compared(place, capsys, change):
    more_seeds(place, {"A": [7.0, 7.5, 8.0], "B": [9.0, 9.75, 10.0]})
    for number, error in enumerate((9.0, 9.75, 10.0)):
        folder, row = seed(place, "B", number), log_row("test", 20, error)
        if change == "n":
            row["n"] = 352
        elif change == "protocol":
            row["protocol"] = "10crop"
            edit_config(folder, "data", protocol={"name": "10crop"})
        elif change == "data.name":
            edit_config(folder, "data", name="cifar10")
        else:
            known = {"data": "cifar10:4:train:9", "description": "As JPEG."}
            field = change.removeprefix("derived.")
            edit_config(folder, "derived", **{field: known[field]})
        write_log(folder, [row])
    table = made(place, capsys, "--against", "A")
    assert "B minus A" not in table and "A minus B" not in table
    assert "- Not compared with A, as the test data, their number or the protocol" in (
        table
    )
    assert "differ: B." in table
    assert set(record(place, capsys, "B", "--against", "A")["paired"].values()) == {
        None
    }


def test_other_training_images_of_one_data_set_are_compared(place, capsys):
    """The name and the version are the first parts of a fingerprint."""
    more_seeds(place, {"A": [7.0, 7.5, 8.0], "B": [9.0, 9.75, 10.0]})
    for row, split in {"A": "train:50000", "B": "train[5000:]:45000"}.items():
        for number in range(3):
            data = f"cifar10:3.0.2:{split}"
            edit_config(seed(place, row, number), "derived", data=data)
    assert "B minus A" in made(place, capsys, "--against", "A")


# ---------------------------------------------------------------- like with like


def test_errors_of_averaged_parameters_are_marked_and_not_subtracted(place, capsys):
    assert record(place, capsys, "A")["difference"] == pytest.approx(7.25 - 6.43)
    assert "veraged parameters" not in made(place, capsys)
    write_log(seed(place, "A", 1), [log_row("test", 20, 7.75, params="ema")])
    found = record(place, capsys, "A")
    assert found["difference"] is None and found["top1_err"]["mean"] is None
    assert found["marks"] == [
        "averaged parameters: seed 1",
        "not averaged, as its runs differ: averaged parameters",
    ]
    assert "- Averaged parameters: the test is of the moving average" in (
        made(place, capsys)
    )
    write_log(seed(place, "A", 1), [log_row("test", 20, 7.75, params="last")])
    assert record(place, capsys, "A")["difference"] == pytest.approx(7.25 - 6.43)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (dict(n=144), "test examples"),
        (dict(protocol="10crop"), "protocol"),
        (dict(num_params=99), "parameters"),
        (dict(multiply_adds=9), "multiply-adds"),
        (dict(data="cifar10:4.0.0:train:50000"), "data"),
    ],
)
def test_runs_that_differ_have_no_mean(place, capsys, change, name):
    for number in range(2):
        known = {"data": "cifar10:3.0.2:train:50000", "multiply_adds": 7}
        edit_config(seed(place, "A", number), "derived", **known)
    assert record(place, capsys, "A")["top1_err"]["mean"] is not None
    folder = seed(place, "A", 1)
    if change.keys() & {"n", "protocol"}:
        write_log(folder, [log_row("test", 20, 7.75, **change)])
        if "protocol" in change:
            protocol = {"name": change["protocol"]}
            edit_config(folder, "data", protocol=protocol)
    else:
        edit_config(folder, "derived", **change)
    found = record(place, capsys, "A")
    assert found["top1_err"]["mean"] is None and found["difference"] is None
    assert f"not averaged, as its runs differ: {name}" in found["marks"]


def test_one_run_under_two_seeds_is_refused(place, capsys):
    """A copy that went on under another seed has the id of the first, and its rows."""
    for number, run in enumerate(("a" * 16, "b" * 16)):
        edit_json(seed(place, "A", number) / "config.json", run=run)
    made(place, capsys)
    edit_json(seed(place, "A", 1) / "config.json", run="a" * 16)
    code, line = refused(place, capsys)
    assert code == 3
    assert "A/seed0/config.json: has the id of A/seed1; " in line
    assert "A/seed1/config.json: has the id of A/seed0; " in line


def test_a_result_without_its_row_is_refused(place, capsys):
    folder = seed(place, "A", 0)
    result = {"step": 20, "n": 360, "test_top1_err": 7.0}
    (folder / "result.json").write_text(json.dumps(result))
    write_log(folder, [log_row("test", 10, 8.0)])
    code, line = refused(place, capsys)
    assert code == 3
    assert "no test row at step 20, the last, but result.json is there" in line


def test_all_scores_of_a_run_are_of_one_kind_of_parameters(place, capsys):
    """Those of its first test row at the last step."""
    rows = [
        log_row("val", 10, 3.0),
        log_row("val", 10, 9.0, params="ema"),
        log_row("val", 20, 4.0, params="ema"),
        log_row("test", 10, 6.0, params="ema"),
        log_row("test", 20, 5.0, params="ema"),
        log_row("test", 20, 1.0, params="last"),
        log_row("test", 20, 2.0, stats="precise"),
        log_row("test", 20, 4.5, stats="precise", params="ema"),
    ]
    rows[0]["params"] = "last"
    for number in (0, 1):
        write_log(seed(place, "A", number), rows)
    found = record(place, capsys, "A")
    assert found["top1_err"]["mean"] == 5.0 and found["at_lowest_val"]["mean"] == 5.0
    assert found["precise_batchnorm"]["mean"] == 4.5
    line = report(load(place / "toy.py"), place / "runs").lines[1]
    assert curve(line, "test").errors == [6.0, 5.0]


def test_a_paper_that_selects_by_validation_is_compared_with_such_errors(place, capsys):
    key = "huang2016/T1/ResNet-110 C10+/stochastic"
    text = (place / "toy.py").read_text()
    (place / "toy.py").write_text(text.replace("he2016a/T6/ResNet-110", key))
    found = record(place, capsys, "A")
    assert found["difference"] is None and found["as_paper"]["value"] is None
    told = "the paper selects by validation error, these runs have none"
    assert found["marks"] == [told]
    for number in (0, 1):
        rows = [log_row("val", 10, 1.0), *edited_rows(seed(place, "A", number))]
        write_log(seed(place, "A", number), rows)
    found = record(place, capsys, "A")
    assert found["difference"] == pytest.approx(20.0 - 5.25) and not found["marks"]


def test_a_top5_error_of_five_classes_is_none_even_if_that_is_all_the_paper_has(
    place, capsys
):
    """Older logs say 0.0."""
    text = (place / "toy.py").read_text()
    key = "he2015/T5/GoogLeNet"
    (place / "toy.py").write_text(text.replace("he2016a/T6/ResNet-110", key))
    for classes, median in ((6, 0.0), (5, None)):
        for number in (0, 1):
            folder = seed(place, "A", number)
            edit_config(folder, "derived", num_classes=classes)
            write_log(folder, [log_row("test", 20, 7.0, top5_err=0.0)])
        found = record(place, capsys, "A")
        assert found["top5_err"]["mean"] == found["as_paper"]["value"] == median
    for number in (0, 1):
        write_log(seed(place, "A", number), [log_row("test", 20, 7.0, top5_err=None)])
        edit_config(seed(place, "A", number), "derived", num_classes=10)
    assert record(place, capsys, "A")["top5_err"]["mean"] is None


# ---------------------------------------------------------------- logs


def test_rows_behind_the_end_are_refused_whatever_the_interval(place, capsys):
    """A config without derived.eval_every: of its gaps nothing is known."""
    edit_json(seed(place, "A", 0) / "DONE", step=10)
    code, line = refused(place, capsys)
    assert code == 3 and "metrics.jsonl has 2 rows after step 10, the last" in line


@pytest.mark.parametrize(
    ("field", "stated", "logged"),
    [
        ("step", 19, 20),
        ("n", 359, 360),
        ("test_top1_err", 7.5, 7.25),
        ("test_top1_err_precise", 7.0, 6.5),
        ("test_top1_err_precise", 0.0, 6.5),
        ("best_on_val.step", 20, 10),
        ("best_on_val.test_top1_err", 7.25, 20.0),
    ],
)
def test_a_result_that_the_log_contradicts_is_refused(
    place, capsys, field, stated, logged
):
    folder = seed(place, "A", 0)
    rows = edited_rows(folder)
    rows += [log_row("val", 10, 3.0), log_row("val", 20, 3.5)]
    write_log(folder, [*rows, log_row("test", 20, 6.5, stats="precise")])
    result = {
        "step": 20,
        "n": 360,
        "test_top1_err": 7.25,
        "test_top1_err_precise": 6.5,
        "best_on_val": {"step": 10, "val_top1_err": 3.0, "test_top1_err": 20.0},
    }
    (folder / "result.json").write_text(json.dumps(result))
    assert call(place) == 0
    name, _, inner = field.partition(".")
    result[name] = result[name] | {inner: stated} if inner else stated
    (folder / "result.json").write_text(json.dumps(result))
    code, line = refused(place, capsys)
    told = f"A/seed0/result.json: {field} is {stated!r}, the log has {logged!r}; repair"
    assert code == 3 and told in line


def test_a_result_of_an_evaluation_that_the_log_lacks_is_refused(place, capsys):
    folder = seed(place, "A", 0)
    (folder / "result.json").write_text(json.dumps({"test_top1_err_precise": 6.5}))
    told = "test_top1_err_precise is 6.5, the log has None"
    assert told in refused(place, capsys)[1]


@pytest.mark.parametrize(("split", "step"), [("train", 10), ("test", 10), ("test", 20)])
def test_doubled_rows_with_other_values_are_refused(place, capsys, split, step):
    folder = seed(place, "A", 0)
    rows = edited_rows(folder)
    overwrite(folder, [log_row(split, step, 0.5), *rows])
    code, line = refused(place, capsys)
    assert code == 3 and f"contradicts another {split} row of step {step}: " in line


def test_a_row_name_with_a_plus_is_reported(place, capsys):
    """As `main` takes it."""
    text = (place / "toy.py").read_text()
    (place / "toy.py").write_text(text.replace('"B": {', '"crop+cutout": {'))
    folder = place / "runs" / "toy"
    (folder / "B").rename(folder / "crop+cutout")
    for form in ("md", "latex", "csv", "json", "text"):
        assert "crop+cutout" in made(place, capsys, "--format", form)
    assert load(place / "toy.py").config("crop+cutout").model.unit.shortcut == "B"


def test_a_config_of_a_later_version_is_refused(place, capsys):
    edit_json(seed(place, "A", 0) / "config.json", schema=99)
    code, line = refused(place, capsys)
    assert code == 3 and "A/seed0/config.json: schema=99: is not known here" in line


def test_a_log_that_cannot_be_read_is_refused_and_a_missing_one_incomplete(
    place, capsys
):
    log = seed(place, "A", 0) / "metrics.jsonl"
    log.unlink()
    assert "- A/seed0: incomplete: no log lines." in made(place, capsys)
    log.mkdir()
    code, line = refused(place, capsys)
    assert code == 3 and "A/seed0/metrics.jsonl: Is a directory; repair" in line
