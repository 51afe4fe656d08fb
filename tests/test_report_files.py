"""Damaged logs are named, hostile text stays text, wrong files are one line."""

import csv
import io
import json
import re

import pytest
from test_report import (
    EXPERIMENT,
    call,
    edit_config,
    edit_json,
    log_row,
    made,
    refused,
    seed,
    write_log,
)

from resnet_jax.report.__main__ import main
from resnet_jax.report.render import md, plain, spreadsheet, tex


def test_a_damaged_log_is_refused_or_named(place, capsys):
    log = seed(place, "A", 0) / "metrics.jsonl"
    log.write_text("hello | <b>\n" + log.read_text())
    code, line = refused(place, capsys)
    assert code == 3 and "A/seed0/metrics.jsonl line 1: not JSON: hello" in line
    table = made(place, capsys, "--skip_bad")
    assert "bad lines: seed 0" in table
    assert "A/seed0: metrics.jsonl line 1: not JSON: hello \\| &lt;b&gt;" in table


def test_a_torn_log_warns_and_is_named_in_the_table(place, capsys):
    with (seed(place, "A", 0) / "metrics.jsonl").open("a") as log:
        log.write('{"split": "te')
    assert call(place) == 0
    out, err = capsys.readouterr()
    assert "A/seed0: metrics.jsonl line 5: torn" in out and "bad lines: seed 0" in out
    assert err.startswith("warning: ") and "line 5: torn" in err


@pytest.mark.parametrize("name", ["config.json", "DONE", "env.json"])
def test_files_that_are_not_json_objects_are_refused(place, capsys, name):
    for content, complaint in (("{", "not JSON"), ("[]", "not a JSON object")):
        (seed(place, "A", 0) / name).write_text(content)
        code, line = refused(place, capsys)
        assert code == 3 and f"A/seed0/{name}: {complaint}" in line


def test_a_finished_run_without_its_config_is_refused(place, capsys):
    (seed(place, "A", 0) / "config.json").unlink()
    code, line = refused(place, capsys)
    assert code == 3 and "config.json: missing" in line


def test_a_second_test_at_the_last_step_is_refused(place, capsys):
    log = seed(place, "A", 0) / "metrics.jsonl"
    log.write_text(log.read_text() + json.dumps(log_row("test", 20, 1.0)) + "\n")
    code, line = refused(place, capsys)
    assert code == 3 and "line 4: contradicts another test row of step 20: " in line
    text = made(place, capsys, "--skip_bad")
    assert "A/seed0: incomplete: no test row at step 20, the last" in text


def test_a_log_without_an_evaluation_that_fell_due_is_refused(place, capsys):
    """Half an interval ahead of the end it may be made at the end."""
    folder = seed(place, "A", 0)
    edit_config(folder, "derived", eval_every=10)
    assert call(place) == 0
    edit_config(folder, "derived", eval_every=5)
    code, line = refused(place, capsys)
    assert code == 3
    assert "A/seed0/metrics.jsonl has no train row of step 5 and 1 more; " in line
    assert "metrics.jsonl has no test row of step 5 and 1 more; " in line
    edit_config(folder, "derived", eval_every=19)
    log = folder / "metrics.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[2:]))
    assert call(place) == 0


def test_rows_behind_the_last_step_are_refused(place, capsys):
    folder = seed(place, "A", 0)
    edit_config(folder, "derived", eval_every=10)
    edit_json(folder / "DONE", step=10)
    code, line = refused(place, capsys)
    assert code == 3 and "metrics.jsonl has 2 rows after step 10, the last" in line


def test_a_result_that_the_log_contradicts_is_refused(place, capsys):
    result = seed(place, "A", 0) / "result.json"
    result.write_text(json.dumps({"test_top1_err": 7.25}))
    assert call(place) == 0
    result.write_text(json.dumps({"test_top1_err": 63.06}))
    code, line = refused(place, capsys)
    assert code == 3
    assert "A/seed0/result.json: test_top1_err is 63.06, the log has 7.25" in line


def test_only_the_protocol_of_the_config_counts(place, capsys):
    rows = [
        log_row("test", 10, 20.0),
        log_row("test", 20, 1.0, protocol="10crop"),
        log_row("test", 20, 7.25, protocol="1crop"),
    ]
    write_log(seed(place, "A", 0), rows)
    assert "| 7.50 ± 0.35 (2) |" in made(place, capsys)


HOSTILE = (
    "</td><script>alert(1)</script>",
    "a | b",
    "[x](javascript:alert(1))",
    "![x](http://x.org/y.png)",
    "`x` **y** _z_ ~~w~~ $x$ &amp; # x",
    r"\input{/etc/passwd} \ % \write18{x} $x$ ^_{}",
    "line\nbreak\r\x1b[31mred\u202e",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_text_from_logs_stays_text(place, capsys, text):
    edit_config(seed(place, "A", 0), "optim", learning_rate=text)
    edit_config(seed(place, "B", 0), "optim", **{text: 3})
    edit_json(seed(place, "A", 1) / "env.json", devices=text)
    for form in ("md", "latex", "csv", "json"):
        out = made(place, capsys, "--format", form)
        assert all(c.isprintable() or c == "\n" for c in out)
        assert "<script" not in out
        if form == "md":
            rows = [line for line in out.splitlines() if line.startswith("|")]
            bars = [len(re.findall(r"(?<!\\)\|", row)) for row in rows]
            assert len(set(bars[:5])) == 1 and len(set(bars[5:])) == 1
        if form == "json":
            assert json.loads(out)["name"] == "toy"


def test_markdown_escapes():
    assert md("a|b") == r"a\|b" and md("<b> &lt;") == "&lt;b&gt; &amp;lt;"
    assert md("[x](y)") == r"\[x\](y)" and md("*a* `b` _c_") == r"\*a\* \`b\` \_c\_"
    assert md("http://x www.x a@b") == r"http:\//x www\.x a\@b"
    assert md("a\n\nb\\") == r"a b\\"


def test_latex_escapes():
    assert tex(r"\input{x}") == r"\textbackslash{}input\{x\}"
    assert tex("50% & #1 $x$ a_b") == r"50\% \& \#1 \$x\$ a\_b"
    assert tex("[2] *") == "{[}2{]} {*}" and tex("-0.5 1-2") == "$-$0.5 1-2"


def test_csv_holds_no_formula():
    assert spreadsheet("=1+1") == "'=1+1" and spreadsheet("@x") == "'@x"
    assert spreadsheet("-x") == "'-x" and spreadsheet(-0.5) == -0.5
    assert spreadsheet("\t=1") == "'=1" and spreadsheet(None) is None


def test_csv_has_one_line_a_row_with_numbers(place, capsys):
    rows = list(csv.DictReader(io.StringIO(made(place, capsys, "--format", "csv"))))
    assert [row["row"] for row in rows] == ["plain", "A", "B"]
    assert float(rows[1]["difference"]) == 0.82 and rows[1]["paper.runs"] == "5"
    assert rows[2]["paired.mean"] == "-1.75" and rows[2]["paper.top1_err"] == ""


def test_plain_text_has_no_control_characters():
    assert plain("a\x1b[2J\u202eb\nc\u2066") == "a [2J b c"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("SEEDS", "SEED"), "has no SEEDS"),
        (('"A"', '"../A"'), r"ROWS\['../A'\]: a row names a folder"),
        (("plain-34", "plane-34"), "did you mean 'he2016a/T3/plain-34'"),
        (('"A": "he', '"AA": "he'), "no such row"),
        (("return configured", "return nothing"), r"toy.py:\d+: NameError"),
        (("def get_config", "def config"), r"no get_config\(row\)"),
        (("def get_config", "def"), r"toy.py:\d+: invalid syntax"),
    ],
)
def test_a_wrong_experiment_file_is_one_line(place, capsys, change, complaint):
    (place / "toy.py").write_text(EXPERIMENT.replace(*change))
    code, line = refused(place, capsys)
    assert code == 2
    assert re.search(complaint, line)


def test_folders_that_are_not_there(place, capsys):
    assert main(["report", str(place / "none.py")]) == 2
    assert main(["report", str(place / "toy.py"), "--runs", str(place / "none")]) == 3
    assert "none.py: no such experiment file" in capsys.readouterr().err
