"""A report as Markdown, LaTeX, CSV or JSON. Text from files is data in each of them."""

import csv
import dataclasses
import html
import io
import json
import re
from collections.abc import Callable
from typing import Any

from resnet_jax.report import cells
from resnet_jax.report.cells import Grid
from resnet_jax.report.paper import Value
from resnet_jax.report.rows import digest
from resnet_jax.report.summary import AsPaper, Pair, Summary
from resnet_jax.report.tables import Line, Report
from resnet_jax.spec import flat

DIGITS = 6
PAIRS = "Paired differences over common seeds"


def render(report: Report, form: str) -> str:
    """The report in one of the four formats, ending in one newline."""
    return FORMATS[form](report)


def plain(text: str) -> str:
    """One line of printable text: no control characters, no marks of direction."""
    printable = "".join(c if c.isprintable() else " " for c in str(text))
    return " ".join(printable.split())


def markdown(report: Report) -> str:
    """GitHub's Markdown: the table, the paired differences, the notes."""
    parts = [f"**{md(report.title)}**", _md_table(cells.table(report))]
    if report.pairs:
        parts += [f"{PAIRS}:", _md_table(cells.differences(report))]
    parts.append("\n".join(f"- {md(note)}" for note in report.notes))
    return "\n\n".join(parts) + "\n"


def md(text: str) -> str:
    """Plain text for Markdown: no markup, HTML, maths or automatic links."""
    text = html.escape(plain(text), quote=False)
    text = re.sub(r"[\\`*_\[\]|~$#]", r"\\\g<0>", text)
    text = text.replace("://", ":\\//").replace("@", "\\@")
    return re.sub(r"www\.", r"www\\.", text, flags=re.IGNORECASE)


def _md_table(grid: Grid) -> str:
    rule = ["---", *["---:"] * (len(grid.header) - 1)]
    rows = [grid.header, *grid.rows]
    lines = ["| " + " | ".join(md(cell) for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "|".join(rule) + "|", *lines[1:]])


def latex(report: Report) -> str:
    """A table environment for booktabs, the notes below it in small type."""
    parts = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{tex(report.title)}}}",
        *_tex_table(cells.table(report)),
    ]
    if report.pairs:
        parts += ["", r"\medskip", tex(PAIRS), "", r"\smallskip"]
        parts += _tex_table(cells.differences(report))
    parts += ["", r"\footnotesize"]
    parts += [rf"{tex(note)}\par" for note in report.notes]
    return "\n".join([*parts, r"\end{table}"]) + "\n"


TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    "\N{EN DASH}": "--",
    # A bracket or star after the end of a row would be its optional argument.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "`": r"\textasciigrave{}",
} | {character: f"\\{character}" for character in "{}$&#%_"}


def tex(text: str) -> str:
    """Plain text for LaTeX; the minus of a number is set as one."""
    escaped = "".join(TEX.get(character, character) for character in plain(text))
    return re.sub(r"(?<![\w.-])-(?=\d)", "$-$", escaped)


def _tex_table(grid: Grid) -> list[str]:
    rows = [" & ".join(tex(cell) for cell in row) + r" \\" for row in grid.rows]
    return [
        rf"\begin{{tabular}}{{l{'r' * (len(grid.header) - 1)}}}",
        r"\toprule",
        " & ".join(tex(cell) for cell in grid.header) + r" \\",
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
    ]


def comma_separated(report: Report) -> str:
    """One line a row, numbers to DIGITS decimals; no text a spreadsheet would run."""
    records = [_flat(_record(report, line)) for line in report.lines]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {k: spreadsheet(v) for k, v in record.items()} for record in records
    )
    return stream.getvalue()


def spreadsheet(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    if not isinstance(value, str):
        return value
    text = plain(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def structured(report: Report) -> str:
    """JSON, numbers to DIGITS decimals; safe inside a script element too."""
    content = {
        "name": report.name,
        "title": plain(report.title),
        "rows": [_record(report, line) for line in report.lines],
        "pairs": [_fields(Pair, pair) for pair in report.pairs],
        "notes": [plain(note) for note in report.notes],
    }
    text = json.dumps(content, indent=1, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e") + "\n"


FORMATS: dict[str, Callable[[Report], str]] = {
    "md": markdown,
    "latex": latex,
    "csv": comma_separated,
    "json": structured,
}
SUFFIXES = {".md": "md", ".tex": "latex", ".csv": "csv", ".json": "json"}


def _record(report: Report, line: Line) -> dict[str, Any]:
    """A row of the table as numbers, with the same fields whatever is known of it."""
    pairs = [p for p in report.pairs if (p.row, p.other) == (line.row, report.against)]
    return {
        "row": line.row,
        "paper": _fields(Value, line.value),
        "top1_err": _fields(Summary, line.top1),
        "top5_err": _fields(Summary, line.top5),
        "at_lowest_val": _fields(Summary, line.selected),
        "precise_batchnorm": _fields(Summary, line.precise),
        "as_paper": _fields(AsPaper, line.ours),
        **_rounded({"difference": line.difference, "wall_s": line.wall_s}),
        "paired": _fields(Pair, pairs[0] if pairs else None),
        "parameters": line.parameters,
        "marks": [plain(mark) for mark in line.marks],
        "seeds": [run.seed for run in line.done],
        "sha256": digest(line.runs),
    }


def _fields(kind: type, record: Any) -> dict[str, Any]:
    """A dataclass as a dict; every field is None where there is no record."""
    if record is None:
        return {field.name: None for field in dataclasses.fields(kind)}
    return _rounded(dataclasses.asdict(record))


def _rounded(fields: dict[str, Any]) -> dict[str, Any]:
    """Floats to DIGITS decimals: the last bits are no part of a result."""
    return {
        k: round(v, DIGITS) if isinstance(v, float) else v for k, v in fields.items()
    }


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    """Dotted columns; the members of a list in one cell."""
    return {
        name: "; ".join(map(str, leaf)) if isinstance(leaf, list | tuple) else leaf
        for name, leaf in flat(record).items()
    }
