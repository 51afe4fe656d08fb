"""Tables as Markdown, LaTeX, CSV, JSON or text, for all commands.

Text from files is escaped in every format: it is never markup.
"""

import csv
import html
import io
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resnet_jax.paths import flat
from resnet_jax.runs.reader import printable

DIGITS = 6


@dataclass(frozen=True)
class Grid:
    """A header and rows of plain text.

    `align` has an `l` or `r` per column; by default the first column is left-aligned
    and the others are right-aligned.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    align: str = ""

    @property
    def sides(self) -> str:
        """`l` or `r` of every column."""
        return self.align or "l" + "r" * (len(self.header) - 1)


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Document of grids with headings and notes, for people and programs.

    `records` are the lines of CSV, `content` is the object of JSON.
    """

    title: str
    grids: tuple[tuple[str, Grid], ...]
    notes: tuple[str, ...]
    records: tuple[dict[str, Any], ...]
    content: dict[str, Any]


def render(sheet: Sheet, form: str) -> str:
    """Render a sheet in one of FORMATS, ending in one newline."""
    return FORMATS[form](sheet)


def plain(text: str) -> str:
    """One line of printable text, without control characters and direction marks."""
    return " ".join(printable(text).split())


def markdown(sheet: Sheet) -> str:
    """GitHub's Markdown: the tables, then the notes."""
    notes = [f"- {md(note)}" for note in sheet.notes]
    return _document(f"**{md(sheet.title)}**", sheet.grids, notes, md, markdown_table)


def text(sheet: Sheet) -> str:
    """Plain text for a terminal: the tables, then the notes."""
    notes = list(map(plain, sheet.notes))
    return _document(plain(sheet.title), sheet.grids, notes, plain, text_table)


def _document(
    title: str,
    grids: Sequence[tuple[str, Grid]],
    notes: Sequence[str],
    escape: Callable[[str], str],
    table: Callable[[Grid], str],
) -> str:
    parts = [title]
    for heading, grid in grids:
        parts += [f"{escape(heading)}:"] if heading else []
        parts.append(table(grid))
    return "\n\n".join([*parts, "\n".join(notes)]) + "\n"


def md(text: str) -> str:
    """Escape text for Markdown: no markup, HTML, maths or automatic links."""
    text = html.escape(plain(text), quote=False)
    text = re.sub(r"[\\`*_\[\]|~$#]", r"\\\g<0>", text)
    text = text.replace("://", ":\\//").replace("@", "\\@")
    return re.sub(r"www\.", r"www\\.", text, flags=re.IGNORECASE)


def markdown_table(grid: Grid) -> str:
    """Markdown table to be rendered: no padding, all text escaped."""
    rule = ["---" if side == "l" else "---:" for side in grid.sides]
    rows = [grid.header, *grid.rows]
    lines = ["| " + " | ".join(md(cell) for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "|".join(rule) + "|", *lines[1:]])


def padded_table(grid: Grid) -> str:
    """Markdown table to be read as it is: padded, only bars escaped."""
    header, *rows = _padded(grid, lambda cell: cell.replace("|", r"\|"))
    rule = [
        "-" * len(cell) if side == "l" else "-" * (len(cell) - 1) + ":"
        for side, cell in zip(grid.sides, header, strict=True)
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, rule, *rows))


def text_table(grid: Grid) -> str:
    """Columns of plain text, two blanks apart."""
    return "\n".join("  ".join(row).rstrip() for row in _padded(grid, plain))


def _padded(grid: Grid, escape: Callable[[str], str]) -> list[tuple[str, ...]]:
    """Header and rows with the cells of each column padded to one width."""
    rows = [[escape(cell) for cell in row] for row in (grid.header, *grid.rows)]
    columns = []
    for side, cells in zip(grid.sides, zip(*rows, strict=True), strict=True):
        width = max(map(len, cells))
        pad = str.ljust if side == "l" else str.rjust
        columns.append([pad(cell, width) for cell in cells])
    return list(zip(*columns, strict=True))


def latex(sheet: Sheet) -> str:
    """LaTeX table environment for booktabs, with the notes in small type."""
    parts = [r"\begin{table}", r"\centering", rf"\caption{{{tex(sheet.title)}}}"]
    for heading, grid in sheet.grids:
        if heading:
            parts += ["", r"\medskip", tex(heading), "", r"\smallskip"]
        parts += _tex_table(grid)
    parts += ["", r"\footnotesize"]
    parts += [rf"{tex(note)}\par" for note in sheet.notes]
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
    # After the end of a row they would start an optional argument.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "`": r"\textasciigrave{}",
} | {character: f"\\{character}" for character in "{}$&#%_"}


def tex(text: str) -> str:
    """Escape text for LaTeX; the minus of a number is set in maths."""
    escaped = "".join(TEX.get(character, character) for character in plain(text))
    return re.sub(r"(?<![\w.-])-(?=\d)", "$-$", escaped)


def _tex_table(grid: Grid) -> list[str]:
    rows = [" & ".join(tex(cell) for cell in row) + r" \\" for row in grid.rows]
    return [
        rf"\begin{{tabular}}{{{grid.sides}}}",
        r"\toprule",
        " & ".join(tex(cell) for cell in grid.header) + r" \\",
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
    ]


def comma_separated(sheet: Sheet) -> str:
    """CSV, one line per record; no text that a spreadsheet would run."""
    records = [flat(record) for record in sheet.records]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {k: spreadsheet(v) for k, v in record.items()} for record in records
    )
    return stream.getvalue()


def spreadsheet(value: Any) -> Any:
    """Cell that is no formula; the members of a list are joined."""
    if isinstance(value, list | tuple):
        value = "; ".join(map(str, value))
    if not isinstance(value, str):
        return value
    text = plain(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def structured(sheet: Sheet) -> str:
    """JSON, safe inside a script element."""
    return as_json(sheet.content).replace("<", "\\u003c").replace(">", "\\u003e") + "\n"


def as_json(content: Any) -> str:
    """Strict JSON; a non-finite number is null."""
    return json.dumps(_finite(content), indent=1, allow_nan=False)


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content


def rounded(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Round floats to DIGITS decimals, since their last bits vary."""
    return {
        k: round(v, DIGITS) if isinstance(v, float) else v for k, v in fields.items()
    }


FORMATS: dict[str, Callable[[Sheet], str]] = {
    "md": markdown,
    "latex": latex,
    "csv": comma_separated,
    "json": structured,
    "text": text,
}
SUFFIXES = {
    ".md": "md", ".tex": "latex", ".csv": "csv", ".json": "json", ".txt": "text",
}  # fmt: skip
