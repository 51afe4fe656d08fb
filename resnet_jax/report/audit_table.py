"""Audit as Markdown: a table per row of an experiment, reasons, and a summary."""

from collections import Counter
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from resnet_jax.report.render import Grid, padded_table

HEADER = ("quantity", "paper", "config", "verdict", "source")
VERDICTS = ("equal", "deviates", "WRONG", "unsettled")


def markdown(rows: Sequence[Any]) -> str:
    """Tables of `analysis.audit_compare.Audited` rows, with reasons and a summary."""
    parts = []
    for row in rows:
        grid = Grid(HEADER, tuple(map(attrgetter(*HEADER), row.lines)), align="lllll")
        parts += [f"## {row.title}", padded_table(grid)]
        reasons = [
            f"- {line.field}: {line.reason}" for line in row.lines if line.reason
        ]
        if reasons:
            parts.append("\n".join(dict.fromkeys(reasons)))
    counts = Counter(line.verdict for row in rows for line in row.lines)
    summary = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS)
    noun = "rows" if len(rows) > 1 else "row"
    return "\n\n".join([*parts, f"{len(rows)} {noun}: {summary}"])
