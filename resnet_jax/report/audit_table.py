"""An audit as Markdown: a table per row of an experiment, reasons, and a summary."""

from collections import Counter
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from resnet_jax.report.render import Grid, padded_table

HEADER = ("quantity", "paper", "config", "verdict", "source")
VERDICTS = ("equal", "deviates", "WRONG", "unsettled")


@runtime_checkable
class Line(Protocol):
    """One compared quantity."""

    @property
    def quantity(self) -> str: ...
    @property
    def field(self) -> str: ...
    @property
    def paper(self) -> str: ...
    @property
    def config(self) -> str: ...
    @property
    def verdict(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def reason(self) -> str: ...


@runtime_checkable
class Row(Protocol):
    """A row of an experiment with its compared quantities."""

    @property
    def title(self) -> str: ...
    @property
    def lines(self) -> Sequence[Line]: ...


def markdown(rows: Sequence[Row]) -> str:
    """A table per row, padded; then the reasons of what deviates, and a summary."""
    parts = []
    for row in rows:
        parts += [
            f"## {row.title}",
            padded_table(grid(row.lines)),
            *_reasons(row.lines),
        ]
    counts = Counter(line.verdict for row in rows for line in row.lines)
    said = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS)
    return "\n\n".join([*parts, f"{len(rows)} row{'s'[: len(rows) > 1]}: {said}"])


def grid(lines: Sequence[Line]) -> Grid:
    """The compared quantities of a row, one per line."""
    cells = (
        (line.quantity, line.paper, line.config, line.verdict, line.source)
        for line in lines
    )
    return Grid(HEADER, tuple(cells), align="lllll")


def _reasons(lines: Sequence[Line]) -> list[str]:
    found = {f"- {line.field}: {line.reason}": None for line in lines if line.reason}
    return ["\n".join(found)] if found else []
