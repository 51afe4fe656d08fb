"""Bar chart of images per second."""

import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from cases import WAYS
from rows import Result, rates, timed

COLOURS = {
    "ours": "C0",
    "flax": "C1",
    "haiku": "C1",
    "keras": "C1",
    "torch": "C3",
}


def draw(results: Sequence[Result], path: pathlib.Path) -> None:
    """Write a PNG with a panel per case, a bar per way; whiskers: min and max."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = list(panels_of(results))
    if not panels:
        raise SystemExit("--figure: no peer was measured")
    across = min(2, len(panels))
    down = -(-len(panels) // across)
    sheet = Figure(figsize=(5.2 * across, 2.4 * down), layout="constrained")
    FigureCanvasAgg(sheet)
    for number, (name, bars) in enumerate(panels, start=1):
        axes = sheet.add_subplot(down, across, number)
        for way, (median, low, high) in bars:
            whiskers = [[median - low], [high - median]]
            colour = COLOURS[WAYS[way].by]
            axes.barh(WAYS[way].label, median, xerr=whiskers, color=colour)
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("images a second", fontsize=8)
        axes.tick_params(labelsize=8)
    sheet.savefig(path, format="png", dpi=150, metadata={"Software": None})


def panels_of(results: Sequence[Result]) -> Iterator[tuple[str, list[Any]]]:
    """(title, [(way, images per second)] from slow to fast) of cases with peers."""
    for result in results:
        device = result["environment"]["platform"].upper()
        for name, case in result["cases"].items():
            rows = timed((row for row in result["rows"] if row["case"] == name), case)
            if {WAYS[row["way"]].by for row in rows} - {"ours"}:
                title = f"{name}, batch {case['batch']}, {case['dtype']}, {device}"
                yield title, [(row["way"], rates(row, case)) for row in rows[::-1]]
