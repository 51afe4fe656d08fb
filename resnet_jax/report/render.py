"""Tables as Markdown, LaTeX, CSV, JSON or text: the one renderer of all commands.

Text that comes from files is data in each of them: it is never markup.
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

DIGITS = 6


@dataclass(frozen=True)
class Grid:
    """A header and rows of plain text.

    `align` has an `l` or `r` per column; without it the first column is left-aligned
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
    """A report: grids, each below its heading, and notes for people; for programs
    `records`, a line of CSV each, and `content`, the object of JSON.
    """

    title: str
    grids: tuple[tuple[str, Grid], ...]
    notes: tuple[str, ...]
    records: tuple[dict[str, Any], ...]
    content: dict[str, Any]


def render(sheet: Sheet, form: str) -> str:
    """The sheet in one of the formats, ending in one newline."""
    return FORMATS[form](sheet)


def plain(text: str) -> str:
    """One line of printable text: no control characters, no marks of direction."""
    printable = "".join(c if c.isprintable() else " " for c in str(text))
    return " ".join(printable.split())


def markdown(sheet: Sheet) -> str:
    """GitHub's Markdown: the tables, then the notes."""
    parts = [f"**{md(sheet.title)}**"]
    for heading, grid in sheet.grids:
        parts += [f"{md(heading)}:"] if heading else []
        parts.append(markdown_table(grid))
    parts.append("\n".join(f"- {md(note)}" for note in sheet.notes))
    return "\n\n".join(parts) + "\n"


def md(text: str) -> str:
    """Plain text for Markdown: no markup, HTML, maths or automatic links."""
    text = html.escape(plain(text), quote=False)
    text = re.sub(r"[\\`*_\[\]|~$#]", r"\\\g<0>", text)
    text = text.replace("://", ":\\//").replace("@", "\\@")
    return re.sub(r"www\.", r"www\\.", text, flags=re.IGNORECASE)


def markdown_table(grid: Grid) -> str:
    """A table of GitHub's Markdown to be rendered: no padding, all text escaped."""
    rule = ["---" if side == "l" else "---:" for side in grid.sides]
    rows = [grid.header, *grid.rows]
    lines = ["| " + " | ".join(md(cell) for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "|".join(rule) + "|", *lines[1:]])


def padded_table(grid: Grid) -> str:
    """A table of Markdown to be read as it is: padded, nothing but bars escaped."""
    rows = [[cell.replace("|", r"\|") for cell in row] for row in _all(grid)]
    widths = _widths(rows)
    rule = [
        "-" * width if side == "l" else "-" * (width - 1) + ":"
        for side, width in zip(grid.sides, widths, strict=True)
    ]
    rows.insert(1, rule)
    lines = (_justified(row, grid.sides, widths) for row in rows)
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def text_table(grid: Grid) -> str:
    """Columns of plain text, two blanks apart."""
    rows = [[plain(cell) for cell in row] for row in _all(grid)]
    widths = _widths(rows)
    lines = (_justified(row, grid.sides, widths) for row in rows)
    return "\n".join("  ".join(line).rstrip() for line in lines)


def _all(grid: Grid) -> list[tuple[str, ...]]:
    return [grid.header, *grid.rows]


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def _justified(row: Sequence[str], sides: str, widths: Sequence[int]) -> list[str]:
    return [
        cell.ljust(width) if side == "l" else cell.rjust(width)
        for cell, side, width in zip(row, sides, widths, strict=True)
    ]


def text(sheet: Sheet) -> str:
    """Plain text for a terminal: the tables, then the notes."""
    parts = [plain(sheet.title)]
    for heading, grid in sheet.grids:
        parts += [f"{plain(heading)}:"] if heading else []
        parts.append(text_table(grid))
    parts.append("\n".join(plain(note) for note in sheet.notes))
    return "\n\n".join(parts) + "\n"


def latex(sheet: Sheet) -> str:
    """A table environment for booktabs, the notes below it in small type."""
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
        rf"\begin{{tabular}}{{{grid.sides}}}",
        r"\toprule",
        " & ".join(tex(cell) for cell in grid.header) + r" \\",
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
    ]


def comma_separated(sheet: Sheet) -> str:
    """One line a record; no text that a spreadsheet would run."""
    records = [_flat(record) for record in sheet.records]
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


def structured(sheet: Sheet) -> str:
    """JSON that is safe inside a script element too."""
    return as_json(sheet.content).replace("<", "\\u003c").replace(">", "\\u003e") + "\n"


def as_json(content: Any) -> str:
    """Strict JSON: a number that is not finite is null."""
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
