"""The table of an audit as Markdown."""

from collections.abc import Sequence
from typing import Any

HEADER = ("quantity", "paper", "config", "verdict", "source")


def markdown(rows: Sequence[Any]) -> str:
    """A table a row, aligned; then the reasons for what deviates, and a summary."""
    parts = []
    for row in rows:
        parts += [f"## {row.title}", table(row.lines), *_reasons(row.lines)]
    counts = {
        verdict: sum(line.verdict == verdict for row in rows for line in row.lines)
        for verdict in ("equal", "deviates", "WRONG", "unsettled")
    }
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    return "\n\n".join([*parts, f"{len(rows)} row{'s'[: len(rows) > 1]}: {said}"])


def table(lines: Sequence[Any]) -> str:
    cells = [HEADER, *([getattr(line, name) for name in HEADER] for line in lines)]
    cells = [[cell.replace("|", r"\|") for cell in row] for row in cells]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(f"{c:{w}}" for c, w in zip(row, widths, strict=True)) + " |"
        for row in cells
    )


def _reasons(lines: Sequence[Any]) -> list[str]:
    found = {f"- {line.field}: {line.reason}": None for line in lines if line.reason}
    return ["\n".join(found)] if found else []
