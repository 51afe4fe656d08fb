"""Results as run.py writes them, and statistics of them for tables and goals.

A result is {"environment", "cases": {name: case}, "rows"}; a row has the names of its
case and way, a status, facts, and samples: lists with an entry per turn.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from cases import CASES, WAYS

Result = Mapping[str, Any]
Row = Mapping[str, Any]
Rows = Mapping[tuple[str, str], Row]  # by case and way
Spread = tuple[float, float, float]  # median, min, max


def by_name(results: Iterable[Result], device: str) -> Rows:
    """Rows on this platform by case and way; later results replace earlier ones.

    Leaves out runs shortened by --batch, --steps or --turns, which count for no goal.
    """
    return {
        (row["case"], row["way"]): row
        for result in results
        if result["environment"]["platform"] == device
        for row in result["rows"]
        if full_length(result["cases"][row["case"]], device)
    }


def full_length(measured: Mapping[str, Any], device: str) -> bool:
    """True if a case was measured with the sizes that cases.py defines."""
    defined = {case.name: asdict(case) for case in CASES[device]}.get(measured["name"])
    sizes = ("batch", "dtype", "steps", "turns")
    return defined is not None and all(measured[k] == defined[k] for k in sizes)


def succeeded(row: Row) -> bool:
    return row["status"] == "ok"


def values(row: Row, quantity: str) -> list[float]:
    """Samples of a quantity; [fact] if it is a fact; [] if it was not measured."""
    fact = row["facts"].get(quantity)
    return row["samples"].get(quantity) or ([] if fact is None else [fact])


def spread(samples: Sequence[float]) -> Spread:
    """(median, min, max)"""
    return statistics.median(samples), min(samples), max(samples)


def ratios(numerator: Sequence[float], denominator: Sequence[float]) -> list[float]:
    """Ratio per turn; ratio of the medians if the numbers of turns differ."""
    if len(numerator) != len(denominator):
        numerator = [statistics.median(numerator)]
        denominator = [statistics.median(denominator)]
    return [a / b for a, b in zip(numerator, denominator, strict=True)]


def rates(row: Row, case: Mapping[str, Any]) -> Spread:
    """Images per second."""
    images = case["batch"] * WAYS[row["way"]].seeds
    median, low, high = spread(row["samples"]["step_ms"])
    return 1e3 * images / median, 1e3 * images / high, 1e3 * images / low


def speedup(row: Row, other: Row) -> Spread:
    """Images per second over those of another row of the case."""
    by_turn = ratios(other["samples"]["step_ms"], row["samples"]["step_ms"])
    seeds = WAYS[row["way"]].seeds / WAYS[other["way"]].seeds
    return spread([seeds * ratio for ratio in by_turn])


def timed(rows: Iterable[Row], case: Mapping[str, Any]) -> list[Row]:
    """Rows with a step time, the fastest first."""
    timed = [row for row in rows if succeeded(row) and "step_ms" in row["samples"]]
    return sorted(timed, key=lambda row: rates(row, case), reverse=True)
