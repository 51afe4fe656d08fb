"""Golden logs give the golden table; whatever changes in them is seen."""

import json
import re
import subprocess
import sys

import pytest

from resnet_jax.config.experiment_file import load
from resnet_jax.report import cells
from resnet_jax.report.__main__ import main
from resnet_jax.runs.compatibility import differences

EXPERIMENT = '''\
"""Shortcuts on a toy."""

from resnet_jax.config import configured

BASE = {"model.depth": 8, "optim.learning_rate": 0.1, "train.iterations": 20}
ROWS = {
    "plain": {"model.name": "plain"}, "A": {}, "B": {"model.unit.shortcut": "B"}
}
SEEDS = (0, 1)
PAPER = {"plain": "he2016a/T3/plain-34", "A": "he2016a/T6/ResNet-110"}


def get_config(row):
    return configured(BASE, ROWS, row)
'''
ERRORS = {"plain": (9.0, 9.5), "A": (7.25, 7.75), "B": (7.5, 7.5)}
GOLDEN = """\
**Shortcuts on a toy.**

| Row | Paper | Ours, mean ± std (n) | Median | Best | As the paper | Difference | \
Top-5, paper | Top-5, ours | Parameters | Iterations | Wall time | Marks |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
| plain | 28.54 (single run) | 9.25 ± 0.35 (2) | 9.25 | 9.00 | 9.25 (mean of 2) | \
NONE | 10.02 | 1.00 ± 0.00 (2) | 1,234 | 20 of 20 | 1.5 min | \
other protocol than the paper: 1crop, paper 10crop |
| A | 6.43 (best of 5; 6.61 ± 0.16) | 7.50 ± 0.35 (2) | 7.50 | 7.25 | \
7.25 (best of 2) | +0.82 | NONE | 1.00 ± 0.00 (2) | 1,234 | 20 of 20 | 1.5 min | \
fewer seeds than the paper: 2 of 5 |
| B | NONE | 7.50 ± 0.00 (2) | 7.50 | 7.50 | NONE | NONE | NONE | 1.00 ± 0.00 (2) | \
1,234 | 20 of 20 | 1.5 min | NONE |

Paired differences over common seeds:

| Row minus other | Mean difference | 95 % interval | Seeds | Order supported |
|---|---:|---:|---:|---:|
| A minus plain | -1.75 | -2.03 to -1.47 | 2 | too few seeds |
| B minus plain | -1.75 | -4.93 to +1.43 | 2 | too few seeds |
| A minus B | 0.00 | -3.18 to +3.18 | 2 | too few seeds |

- Test error in percent at the last step, n = 360 examples, BatchNorm with moving \
averages; ± is the standard deviation over the (n) seeds.
- A single run of the paper is compared with the mean of ours.
- Intervals: Student's t of the paired differences at 95 %, per pair, at least one \
test example to each side.
- Without a verdict: pairs of rows with failed or missing seeds, or with fewer than 3 \
common seeds.
- Logs: 6 runs, 24 lines, SHA-256 DIGEST.
- Devices: 2 x cpu.
- Paper: He et al. 2016, Deep Residual Learning, arXiv 1512.03385, Table 3; ImageNet \
val, 10-crop, shorter side 256; read in a transcription of the paper.
- Paper: He et al. 2016, Deep Residual Learning, arXiv 1512.03385, Table 6; CIFAR-10 \
test, one 32x32 view, trained on the whole training set; read in a transcription of \
the paper.
"""


def log_row(split, step, top1, **extra):
    """A log line's row as the training loop writes it."""
    n = 128 if split == "train" else 360
    row = {"split": split, "step": step, "epoch": step / 10, "n": n, "loss": 0.5}
    return row | {"top1_err": top1, "top5_err": 1.0, "lr": 0.1, "wall_s": 2.0} | extra


def write_log(folder, rows):
    """Write a run's log; the losses of different seeds differ."""
    shift = int(folder.name.removeprefix("seed")) / 64
    rows = [row | {"loss": row["loss"] and row["loss"] + shift} for row in rows]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "metrics.jsonl").write_text(text)


def edit_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_config(folder, section, **changes):
    """Fields of one section of a run's config.json."""
    path = folder / "config.json"
    edit_json(path, **{section: json.loads(path.read_text())[section] | changes})


def build(tmp_path):
    """An experiment file, toy.py, and two finished runs of each of its rows."""
    (tmp_path / "toy.py").write_text(EXPERIMENT)
    experiment = load(tmp_path / "toy.py")
    for row, errors in ERRORS.items():
        tree = {"schema": 2} | experiment.config(row).to_dict()
        tree["data"]["dir"] = "there"
        tree["derived"] = {"num_params": 1234, "total_steps": 20}
        for seed, error in enumerate(errors):
            folder = tmp_path / "runs" / "toy" / row / f"seed{seed}"
            folder.mkdir(parents=True)
            (folder / "config.json").write_text(json.dumps(tree | {"seed": seed}))
            env = {"devices": ["cpu", "cpu"]}
            (folder / "env.json").write_text(json.dumps(env))
            rows = [
                log_row("train", 10, 30.0),
                log_row("test", 10, 20.0),
                log_row("train", 20, 5.0),
                log_row("test", 20, error),
            ]
            write_log(folder, rows)
            (folder / "DONE").write_text(json.dumps({"step": 20, "wall_s": 90.0}))
    return tmp_path


def seed(place, row, number):
    return place / "runs" / "toy" / row / f"seed{number}"


def call(place, *options):
    """The exit code of the command, on the experiment in `place`."""
    file, runs = str(place / "toy.py"), str(place / "runs")
    return main(["report", file, "--runs", runs, *options])


def made(place, capsys, *options):
    """The table printed for the experiment in `place`."""
    assert call(place, *options) == 0
    return capsys.readouterr().out


def refused(place, capsys, *options):
    """The exit code and the one line on stderr."""
    code = call(place, *options)
    line = capsys.readouterr().err
    assert line.startswith("error[") and line.count("\n") == 1
    return code, line


def test_golden_logs_give_the_golden_table(place, capsys):
    table = made(place, capsys)
    line = next(line for line in table.splitlines() if "SHA-256" in line)
    golden = GOLDEN.replace("DIGEST", line.split()[-1].rstrip("."))
    assert table == golden.replace("NONE", "\N{EN DASH}")


def test_the_table_is_the_same_every_time(place, capsys):
    for form in ("md", "latex", "csv", "json"):
        one = made(place, capsys, "--format", form)
        assert one == made(place, capsys, "--format", form)


@pytest.mark.process
def test_importing_the_report_imports_no_jax_and_nothing_slow():
    code = (
        "import sys, resnet_jax.report.__main__, resnet_jax.report.init_table;"
        "import resnet_jax.probe, resnet_jax.saliency;"
        "slow = {'jax', 'matplotlib', 'flax', 'scipy'};"
        "sys.exit(bool(slow & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("suffix", [".md", ".tex", ".csv", ".json", ".txt"])
def test_check_passes_on_what_the_logs_give(place, capsys, suffix):
    form = {".tex": "latex", ".txt": "text"}.get(suffix, suffix[1:])
    table = place / f"table{suffix}"
    table.write_text(made(place, capsys, "--format", form), encoding="utf-8")
    assert call(place, "--check", str(table)) == 0


@pytest.mark.parametrize("suffix", [".md", ".tex", ".csv", ".json"])
@pytest.mark.parametrize("change", ["digit", "log line", "config", "experiment"])
def test_check_fails_when_one_thing_changes(place, capsys, suffix, change):
    form = {".tex": "latex", ".txt": "text"}.get(suffix, suffix[1:])
    table = place / f"table{suffix}"
    text = made(place, capsys, "--format", form)
    table.write_text(text, encoding="utf-8")
    if change == "digit":
        assert "7.25" in text
        table.write_text(text.replace("7.25", "7.26", 1), encoding="utf-8")
    elif change == "log line":
        log = seed(place, "B", 1) / "metrics.jsonl"
        log.write_text(log.read_text().replace("30.0", "31.0"))
    elif change == "config":
        config = seed(place, "A", 1) / "config.json"
        config.write_text(config.read_text().replace("false", "true", 1))
    else:
        text = EXPERIMENT.replace('learning_rate": 0.1', 'learning_rate": 0.2')
        (place / "toy.py").write_text(text)
    code, line = refused(place, capsys, "--check", str(table))
    assert code == 3 and f"{table}:" in line


def test_check_names_the_first_line_that_differs(place, capsys):
    table = place / "t.md"
    lines = made(place, capsys).splitlines(keepends=True)
    table.write_text("".join(lines).replace("9.25 ± 0.35", "9.15 ± 0.35"))
    _, line = refused(place, capsys, "--check", str(table))
    assert "t.md:5:" in line and "9.15 ± 0.35" in line and "9.25 ± 0.35" in line
    table.write_text("".join(lines[:-1]))
    assert f":{len(lines)}: " in refused(place, capsys, "--check", str(table))[1]
    table.write_text("".join([*lines, "more\n"]))
    assert "give no such line" in refused(place, capsys, "--check", str(table))[1]


def test_check_of_a_file_that_is_not_there(place, capsys):
    code, line = refused(place, capsys, "--check", str(place / "none.md"))
    assert code == 2 and "none.md" in line
    code, line = refused(place, capsys, "--check", str(place / "none.xls"))
    assert code == 2 and "'.xls'" in line


def test_an_unfinished_run_is_marked_and_not_counted(place, capsys):
    (seed(place, "A", 1) / "DONE").unlink()
    table = made(place, capsys)
    assert "| 7.25 (1) |" in table and "incomplete: seed 1; fewer seeds" in table
    assert "A/seed1: incomplete: stopped at step 20." in table


def test_a_run_without_a_test_at_its_last_step_is_incomplete(place, capsys):
    edit_json(seed(place, "B", 0) / "DONE", step=30)
    edit_json(seed(place, "B", 1) / "DONE", step="20")
    table = made(place, capsys)
    assert "B/seed0: incomplete: no test row at step 30, the last." in table
    assert "B/seed1: incomplete: DONE names no step." in table


def test_as_many_runs_as_the_paper_has_are_not_marked(place, capsys):
    """One beside a single run."""
    text = EXPERIMENT.replace("T6/ResNet-110", "T6/ResNet-20")
    (place / "toy.py").write_text(text.replace("SEEDS = (0, 1)", "SEEDS = (0,)"))
    seed(place, "A", 1).rename(place / "A1")
    record = json.loads(made(place, capsys, "--format", "json"))["rows"][1]
    assert record["seeds"] == [0] and record["marks"] == []


def test_failed_runs_are_marked_with_their_reason(place, capsys):
    (seed(place, "A", 0) / "DONE").unlink()
    (seed(place, "A", 0) / "FAILED").write_text("exit code 5\nmore")
    (seed(place, "A", 1) / "DONE").unlink()
    lost = log_row("train", 20, None, loss=None, nonfinite={"loss": "nan"})
    write_log(seed(place, "A", 1), [log_row("train", 10, 50.0), lost])
    write_log(seed(place, "B", 1), [log_row("test", 20, None)])
    table = made(place, capsys)
    assert "failed: seeds 0, 1" in table and "failed: seed 1" in table
    assert "A/seed0: failed: exit code 5." in table
    assert "A/seed1: failed: not finite at step 20." in table
    assert "B/seed1: failed: the test error at step 20 is not finite." in table


def test_missing_seeds_and_rows_are_marked(place, capsys):
    seed(place, "B", 1).rename(place / "elsewhere")
    for number in (0, 1):
        seed(place, "plain", number).rename(place / f"plain{number}")
    table = made(place, capsys)
    assert "missing: seed 1" in table and "no runs" in table


def test_a_config_that_is_not_todays_is_marked_by_field(place, capsys):
    edit_config(seed(place, "A", 1), "optim", learning_rate=0.3)
    edit_config(seed(place, "B", 0), "optim", nesterov=True)
    edit_config(seed(place, "B", 1), "data", dir="x", workers=3)
    table = made(place, capsys)
    assert "config is not today's: seed 1; fewer" in table
    assert "today's: optim.learning\\_rate 0.3, today 0.1." in table
    assert "B/seed0: run under" in table and "B/seed1: run under" not in table


def test_a_field_of_a_config_that_nothing_reads_is_named(place, capsys):
    edit_config(seed(place, "B", 1), "optim", new=1)
    table = made(place, capsys)
    assert re.search(r"- B/seed1: config\.json: .*new'; it has learning", table)
    assert "B/seed1: run under" not in table


def test_a_config_of_tuples_is_todays_when_it_comes_back_as_lists():
    today = {"model": {"relays": ((1, 1), (3, 2)), "levels": ()}}
    kept = json.loads(json.dumps(today))
    assert differences(kept, today) == ()
    other = {"model": today["model"] | {"relays": ((1, 1), (3, 1))}}
    (found,) = differences(kept, other)
    assert found == "model.relays [[1, 1], [3, 2]], today [[1, 1], [3, 1]]"


def test_another_number_of_test_examples_is_marked(place, capsys):
    write_log(seed(place, "B", 0), [log_row("test", 20, 7.5, n=352)])
    assert "other number of test examples: seed 0" in made(place, capsys)


def test_a_seed_beyond_seeds_counts_and_a_foreign_folder_is_named(place, capsys):
    seed(place, "B", 1).rename(seed(place, "B", 7))
    edit_json(seed(place, "B", 7) / "config.json", seed=7)
    (place / "runs" / "toy" / "C").mkdir()
    table = made(place, capsys)
    assert "| 7.50 ± 0.00 (2) |" in table and "missing: seed 1" in table
    assert "C: a folder that is no row of the file" in table


def test_validation_and_precise_columns(place, capsys):
    rows = [
        log_row("val", 10, 4.0),
        log_row("test", 10, 6.0),
        log_row("val", 15, None, nonfinite={"top1_err": "nan"}),
        log_row("val", 20, 4.0),
        log_row("test", 20, 8.0),
        log_row("test", 20, 7.0, stats="precise"),
    ]
    write_log(seed(place, "A", 0), rows)
    record = json.loads(made(place, capsys, "--format", "json"))["rows"][1]
    assert record["top1_err"]["mean"] == (8.0 + 7.75) / 2
    assert record["precise_batchnorm"]["mean"] == 7.0
    assert record["at_lowest_val"]["mean"] == 6.0


def test_multiply_adds_and_the_time_of_a_step(place, capsys):
    """The median over the windows of a run, then over runs; relative to one row."""
    windows = {"plain": (2.0, 2.0, 40.0), "A": (3.0, 3.0, 3.0), "B": (1.0, 2.0, 3.0)}
    for row, seconds in windows.items():
        for number in (0, 1):
            # so that a window of 128 has two steps
            edit_config(seed(place, row, number), "data", batch_size=64)
            edit_config(seed(place, row, number), "derived", multiply_adds=41_000_000)
            rows = [
                log_row("train", 5 * i, 9.0, step_s=s) for i, s in enumerate(seconds, 1)
            ]
            write_log(seed(place, row, number), [*rows, log_row("test", 20, 9.0)])
    edit_config(seed(place, "B", 0), "derived", multiply_adds=42_000_000)
    lines = made(place, capsys, "--against", "A").splitlines()
    header = next(line for line in lines if line.startswith("| Row |")).split(" | ")
    at = {name: header.index(name) for name in ("Multiply-adds", "Step", "Step over A")}
    cells = {
        line.split(" | ")[0].strip("| "): [line.split(" | ")[i] for i in at.values()]
        for line in lines
        if line.startswith("| ") and len(line.split(" | ")) == len(header)
    }
    assert cells["plain"] == ["41.00 M", "1000.0 ms", "0.67"]
    assert cells["A"] == ["41.00 M", "1500.0 ms", "1.00"]
    assert cells["B"] == ["\N{EN DASH}", "1000.0 ms", "0.67"]
    assert any(line.startswith("- Step: the median") for line in lines)


def test_iterations_of_how_many(place, capsys):
    """A run that train.steps ended early is marked; so are runs of unequal length."""
    for number in (0, 1):
        edit_config(seed(place, "A", number), "derived", total_steps=64_000)
    edit_config(seed(place, "B", 1), "derived", total_steps=30)
    edit_json(seed(place, "B", 0) / "DONE", step=10)
    write_log(seed(place, "B", 0), [log_row("test", 10, 7.5)])
    table = made(place, capsys)
    assert "| 20 of 64,000 |" in table and "| 10 to 20 |" in table
    assert "ended early: seeds 0, 1; fewer seeds" in table
    assert "| ended early: seeds 0, 1 |" in table
    assert "- Ended early: train.steps is less than the schedule has" in table
    records = json.loads(made(place, capsys, "--format", "json"))["rows"]
    assert [r["steps"] for r in records] == [[20], [20], [10, 20]]
    assert [r["total_steps"] for r in records] == [20, 64_000, None]


def test_only_errors_of_one_protocol_are_subtracted(place, capsys):
    for number, error in enumerate(ERRORS["plain"]):
        edit_config(seed(place, "plain", number), "data", protocol={"name": "10crop"})
        rows = [log_row("test", 20, error, protocol="10crop")]
        write_log(seed(place, "plain", number), rows)
    first, *_ = json.loads(made(place, capsys, "--format", "json"))["rows"]
    assert first["difference"] == pytest.approx(9.25 - 28.54) and not first["marks"]
    rows = [log_row("test", 20, 9.5, protocol="1crop")]
    write_log(seed(place, "plain", 1), rows)
    edit_config(seed(place, "plain", 1), "data", protocol={"name": "1crop"})
    first, *_ = json.loads(made(place, capsys, "--format", "json"))["rows"]
    assert first["difference"] is None
    told = "other protocol than the paper: 10crop, 1crop, paper 10crop"
    assert told in first["marks"]


def test_top5_errors_of_five_classes_are_left_out(place, capsys):
    for row in ERRORS:
        for number in (0, 1):
            edit_config(seed(place, row, number), "derived", num_classes=5)
    records = json.loads(made(place, capsys, "--format", "json"))["rows"]
    assert all(record["top5_err"]["mean"] is None for record in records)
    edit_config(seed(place, "A", 0), "derived", num_classes=6)
    records = json.loads(made(place, capsys, "--format", "json"))["rows"]
    assert [record["top5_err"]["n"] for record in records] == [None, 1, None]


def test_definitions_are_of_what_the_table_has(place, capsys):
    """No note of single runs, validation or ended runs where there are none."""
    text = EXPERIMENT.replace('"plain": "he2016a/T3/plain-34", ', "")
    (place / "toy.py").write_text(text)
    table = made(place, capsys)
    assert "best of 5" in table and "A single run of the paper" not in table
    for absent in ("At lowest val", "Ended early", "Averaged", "- Step:", "- Data:"):
        assert absent not in table
    (place / "toy.py").write_text(text.replace("T6/ResNet-110", "T6/ResNet-20"))
    assert "- A single run of the paper is compared with" in made(place, capsys)


def test_a_failure_in_the_paper_is_met_or_not(place, capsys):
    """He et al. 2016b call errors above 20 % failures."""
    text = EXPERIMENT.replace("he2016a/T6/ResNet-110", "he2016b/T1/dropout shortcut")
    (place / "toy.py").write_text(text)
    for error, told in ((20.0, "does not fail"), (20.5, "fails too")):
        for number in (0, 1):
            write_log(seed(place, "A", number), [log_row("test", 20, error)])
        table = made(place, capsys)
        assert f"| {told} |" in table and "| fail, &gt; 20 (" in table


def test_wall_times_in_their_units():
    times = {0.04: "0.0 s", 59.9: "59.9 s", 60.0: "1.0 min", 3599.0: "60.0 min"}
    times |= {3600.0: "1.0 h", 9000.0: "2.5 h"}
    assert {seconds: cells.duration(seconds) for seconds in times} == times


def test_probabilities_have_three_decimals():
    shown = {0.0005: "< 0.001", 0.001: "0.001", 0.0496: "0.050", 1.0: "1.000"}
    assert {p: cells.probability(p) for p in shown} == shown
    assert cells.probability(None) == cells.NONE


def test_text_is_aligned_for_a_terminal(place, capsys):
    lines = made(place, capsys, "--format", "text").splitlines()
    assert lines[0] == "Shortcuts on a toy." and lines[1] == ""
    header, plain, *_ = lines[2:]
    assert header.startswith("Row    ") and plain.startswith("plain  ")
    for column, cell in {"Paper": "28.54 (single run)", "Median": "9.25"}.items():
        assert plain[: header.index(column) + len(column)].endswith(f"  {cell}")
    assert not any(line.endswith(" ") for line in lines)


def test_against_another_row(place, capsys):
    table = made(place, capsys, "--against", "B")
    assert "plain minus B" in table and "A minus plain" not in table
    code, line = refused(place, capsys, "--against", "plan")
    assert code == 2 and "did you mean 'plain'" in line
