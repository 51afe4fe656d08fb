"""Curves of error against iterations, from logs."""

import statistics
from collections import defaultdict
from typing import NamedTuple

from resnet_jax.errors import DataError
from resnet_jax.report.line import Line
from resnet_jax.report.runs import Run
from resnet_jax.runs.reader import LogFile
from resnet_jax.runs.result import USUAL
from resnet_jax.runs.row import LogRow, Split

POINTS = 200  # of a curve: means over equal stretches of iterations and the seeds
READ = 1000  # rows per log, evenly thinned


class Curve(NamedTuple):
    """Mean error in percent against mean iteration."""

    steps: list[float]
    errors: list[float]


class Evaluation(NamedTuple):
    """Error in percent over n examples in one row of a log."""

    step: int
    error: float
    n: int


def curve(line: Line, split: Split) -> Curve:
    """Average error and iteration over the seeds and over stretches of iterations."""
    points = [p for run in line.done or line.runs for p in _points(run, split)]
    last = max((point.step for point in points), default=0)
    stretches: dict[int, list[Evaluation]] = defaultdict(list)
    for point in sorted(points):
        stretches[point.step * POINTS // max(last, POINTS)].append(point)
    return Curve(
        [statistics.fmean(p.step for p in stretch) for stretch in stretches.values()],
        [statistics.fmean(p.error for p in stretch) for stretch in stretches.values()],
    )


def _points(run: Run, split: Split) -> list[Evaluation]:
    """Evaluations of a run with moving averages; DataError names a bad line."""
    path = run.path / "metrics.jsonl"
    if not path.exists():
        return []
    log = LogFile(path)
    protocol = run.final.protocol if run.final else USUAL
    params = run.final.params if run.final else None
    points = [
        Evaluation(row["step"], float(error), row.get("n", 0))
        for row in log.rows(split, at_most=READ)
        if (error := row.get("top1_err")) is not None and _counts(row, protocol, params)
    ]
    known = {*run.problems, run.torn}
    unnamed = [p for p in log.problems if f"metrics.jsonl {p}" not in known]
    if unnamed:
        raise DataError(f"--figure: {path} {unnamed[0]}; repair the line")
    return _merge_short_interval(points, split)


def _counts(row: LogRow, protocol: str, params: str | None) -> bool:
    """True for moving averages, one protocol and, if it is known, kind of parameters.

    Train rows have neither of the two.
    """
    moving = row.get("stats", "moving") == "moving"
    like = params is None or row.get("params", params) == params
    return moving and like and row.get("protocol", protocol) == protocol


def _merge_short_interval(points: list[Evaluation], split: Split) -> list[Evaluation]:
    """Merge the last two points if they are less than half an interval apart.

    Older runs logged the rest of a run by itself, which bends the end of the curve.
    """
    if len(points) < 3:
        return points
    *first, before, last = points
    if 2 * (last.step - before.step) >= before.step - first[-1].step:
        return points
    n = before.n + last.n
    if split == "train" and n:
        error = (before.error * before.n + last.error * last.n) / n
        last = Evaluation(last.step, error, n)
    return [*first, last]
