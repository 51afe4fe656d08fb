"""Damaged logs are named, hostile text stays text, wrong files are one line."""

import csv
import io
import json
import re

import pytest
from test_report import EXPERIMENT, build, edit_json, log_row, made, refused, seed

from resnet_jax.report.__main__ import main
from resnet_jax.report.render import md, plain, spreadsheet, tex
from resnet_jax.runs.reader import Lines, parse

GOOD = [log_row("train", step, 50.0) for step in range(1, 9)] + [
    log_row("test", 8, 9.0)
]


@pytest.fixture
def place(tmp_path):
    return build(tmp_path)


def lines_of(tmp_path, text):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(text)
    return Lines(path)


def encoded(*, rows=GOOD, separators=None):
    """Log lines in one of the two styles of JSON."""
    lines = [json.dumps(row, separators=separators) + "\n" for row in rows]
    return "".join(lines).encode()


@pytest.mark.parametrize("separators", [None, (",", ":")])
def test_rows_are_found_in_either_style(tmp_path, separators):
    log = lines_of(tmp_path, encoded(separators=separators))
    assert [*log.rows("train"), *log.rows("test")] == GOOD
    assert log.last("test", 8) == [GOOD[-1]] and log.last("train", 5) == [GOOD[4]]
    assert log.final() == GOOD[-1] and log.count == 9
    assert not log.problems and log.torn is None


def test_thinned_rows_include_the_last(tmp_path):
    log = lines_of(tmp_path, encoded())
    assert [r["step"] for r in log.rows("train", at_most=3)] == [2, 5, 8]
    assert len(list(log.rows("train", at_most=8))) == 8
    assert list(log.rows("val", at_most=3)) == []


def test_an_empty_log_has_no_rows(tmp_path):
    log = lines_of(tmp_path, b"")
    assert log.final() is None and list(log.rows("train")) == [] and not log.problems


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"Traceback (most recent call last):", "not JSON"),
        (b'{"split": "train", "step": 3, "los', "not JSON"),
        (b'{"split": "tr{"split": "train", "step": 3}', "not JSON"),
        (b'{"sp{"split": "train", "step": 3}', "not JSON"),
        (b'{"split": "train", "step": 3, "loss": NaN}', "not JSON"),
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
    ],
)
def test_a_foreign_line_is_named_with_its_number(tmp_path, line, complaint):
    whole = encoded().split(b"\n")
    log = lines_of(tmp_path, b"\n".join([*whole[:4], line, *whole[4:]]))
    rows = [*log.rows("train"), *log.rows("test")]
    assert rows == GOOD and log.torn is None
    assert len(log.problems) == 1
    assert re.match(rf"line 5: .*{complaint}", log.problems[0])


def test_a_torn_last_line_is_told_from_a_foreign_one(tmp_path):
    log = lines_of(tmp_path, encoded() + b'{"split": "tes')
    assert log.torn == 'line 10: torn: {"split": "tes' and not log.problems
    assert log.final() == GOOD[-1] and log.count == 9


def test_a_whole_last_line_without_its_newline_counts(tmp_path):
    log = lines_of(tmp_path, encoded()[:-1])
    assert log.final() == GOOD[-1] and log.torn is None and not log.problems


def test_rows_that_are_not_finite_are_good_lines(tmp_path):
    lost = log_row("train", 3, None, loss=None, nonfinite={"loss": "nan"})
    log = lines_of(tmp_path, encoded(rows=[*GOOD, lost]))
    assert log.final() == lost and not log.problems


def test_numbers_are_percentages_at_both_ends():
    for error in (0, 100, 0.0, 100.0, None):
        line = json.dumps({"split": "test", "step": 0, "top1_err": error})
        assert parse(line.encode())[1] == ""


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
    assert main([str(place / "toy.py"), "--runs", str(place / "runs")]) == 0
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


def test_two_different_tests_at_the_last_step_are_refused(place, capsys):
    log = seed(place, "A", 0) / "metrics.jsonl"
    log.write_text(log.read_text() + json.dumps(log_row("test", 20, 1.0)) + "\n")
    code, line = refused(place, capsys)
    assert code == 3 and "2 different test rows at step 20" in line


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
    edit_json(seed(place, "A", 0) / "config.json", optim={"learning_rate": text})
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
        (('"A": {}', '"../A": {}'), r"ROWS\['../A'\]: a row's name is a folder's"),
        (("plain-34", "plane-34"), "did you mean 'he2016a/T3/plain-34'"),
        (('"A": "he', '"AA": "he'), "no such row"),
        (("return Config(row)", "return nothing"), r"toy.py:20: NameError"),
        (("def get_config", "def config"), r"no get_config\(row\)"),
        (("class Config", "class"), "SyntaxError"),
    ],
)
def test_a_wrong_experiment_file_is_one_line(place, capsys, change, complaint):
    (place / "toy.py").write_text(EXPERIMENT.replace(*change))
    code, line = refused(place, capsys)
    assert code == 2
    assert re.search(complaint, line)


def test_folders_that_are_not_there(place, capsys):
    assert main([str(place / "none.py")]) == 2
    assert main([str(place / "toy.py"), "--runs", str(place / "none")]) == 3
    assert "none.py: no such experiment file" in capsys.readouterr().err
