"""What run.py writes, and the numbers that tables and goals read off it.

A result is {"environment", "cases": {name: case}, "rows"}; a row has the names of its
case and way, a status, facts, and samples: a list with an entry a turn.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from cases import CASES, WAYS

Result = Mapping[str, Any]
Row = Mapping[str, Any]
Rows = Mapping[tuple[str, str], Row]  # by case and way
Spread = tuple[float, float, float]  # median, least and most


def by_name(results: Iterable[Result], device: str) -> Rows:
    """The rows that goals are read off; the last file counts.

    Only those of such a device and of whole cases: a run that was cut short by --batch,
    --steps or --turns shows that it works, and no more.
    """
    return {
        (row["case"], row["way"]): row
        for result in results
        if result["environment"]["platform"] == device
        for row in result["rows"]
        if whole(result["cases"][row["case"]], device)
    }


def whole(measured: Mapping[str, Any], device: str) -> bool:
    """Whether a case was measured as cases.py has it."""
    stated = {case.name: asdict(case) for case in CASES[device]}.get(measured["name"])
    sizes = ("batch", "dtype", "steps", "turns")
    return stated is not None and all(measured[k] == stated[k] for k in sizes)


def well(row: Row) -> bool:
    return row["status"] == "ok"


def values(row: Row, quantity: str) -> list[float]:
    """A sample of every turn, or the one fact, or nothing."""
    fact = row["facts"].get(quantity)
    return row["samples"].get(quantity) or ([] if fact is None else [fact])


def spread(samples: Sequence[float]) -> Spread:
    return statistics.median(samples), min(samples), max(samples)


def paired(top: Sequence[float], bottom: Sequence[float]) -> list[float]:
    """Ratios turn by turn; of the medians where the turns are not the same."""
    if len(top) != len(bottom):
        top, bottom = [statistics.median(top)], [statistics.median(bottom)]
    return [a / b for a, b in zip(top, bottom, strict=True)]


def rates(row: Row, case: Mapping[str, Any]) -> Spread:
    """Images a second."""
    images = case["batch"] * WAYS[row["way"]].seeds
    median, low, high = spread(row["samples"]["step_ms"])
    return 1e3 * images / median, 1e3 * images / high, 1e3 * images / low


def speedup(row: Row, other: Row) -> Spread:
    """Images a second over those of another row of the case."""
    ratios = paired(other["samples"]["step_ms"], row["samples"]["step_ms"])
    more = WAYS[row["way"]].seeds / WAYS[other["way"]].seeds
    return spread([more * ratio for ratio in ratios])


def timed(rows: Iterable[Row], case: Mapping[str, Any]) -> list[Row]:
    """Rows with a step time, the fastest first."""
    found = [row for row in rows if well(row) and "step_ms" in row["samples"]]
    return sorted(found, key=lambda row: rates(row, case), reverse=True)
