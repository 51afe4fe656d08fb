"""Errors against iterations or depth, in the papers' axes; imports matplotlib."""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from matplotlib.axes import Axes

from resnet_jax.config.experiment_file import ExperimentFile
from resnet_jax.errors import DataError
from resnet_jax.papers import Value
from resnet_jax.report.figure import label, new_figure, save
from resnet_jax.report.line import Line
from resnet_jax.report.runs import Run
from resnet_jax.report.statistics import Summary
from resnet_jax.report.table import Report
from resnet_jax.runs.reader import LogFile, Split

# The error axis ends at this many times the largest final error: He et al. 2016a,
# Fig. 6 cuts at 20 % what ends between 6 and 9 %.
HEADROOM = 2.5

# A curve has about this many points, each a mean over an equal stretch of iterations
# and over the seeds; of each log this many rows are read.
POINTS = 200
READ = 1000

HOLLOW: dict[str, Any] = {"marker": "o", "linestyle": "none", "markerfacecolor": "none"}

Curve = tuple[list[float], list[float]]


class Point(NamedTuple):
    """Final errors of a row at its depth, and the paper's value."""

    depth: int
    top1: Summary
    value: Value | None


def draw(
    report: Report,
    experiment: ExperimentFile,
    path: Path,
    *,
    axis: Literal["iterations", "depth"],
) -> None:
    """Writes the figure as a PNG; the same logs give the same picture."""
    figure = new_figure()
    axes = figure.add_subplot()
    if axis == "iterations":
        _against_iterations(axes, report)
    else:
        _against_depth(axes, report, experiment)
    axes.set_ylabel("error (%)")
    axes.grid(color="0.9")
    axes.legend(fontsize=8)
    save(figure, path, title=report.title)


def _against_iterations(axes: Axes, report: Report) -> None:
    """Error against iterations: train dashed, test bold (He et al. 2016a, Fig. 6)."""
    drawn = [line for line in report.lines if line.runs]
    if not drawn:
        raise DataError(f"--figure: no runs of {report.name} to draw")
    finals = [line.top1.mean for line in drawn if line.top1]
    for number, line in enumerate(drawn):
        colour = f"C{number % 10}"
        train, test = (curve(line, split) for split in ("train", "test"))
        axes.plot(*train, color=colour, linestyle="--", linewidth=0.8)
        axes.plot(*test, color=colour, linewidth=2, label=label(_with_count(line)))
    axes.plot([], [], color="0.3", linestyle="--", linewidth=0.8, label="train")
    axes.plot([], [], color="0.3", linewidth=2, label="test")
    axes.set_xlabel("iterations")
    axes.set_xlim(left=0)
    highest = max(finals, default=0)
    axes.set_ylim(0, min(100, HEADROOM * highest) if highest else 100)


def curve(line: Line, split: Split) -> Curve:
    """Mean error against mean iteration over the seeds, stretch by stretch."""
    points = [p for run in line.done or line.runs for p in _points(run, split)]
    last = max((step for step, _ in points), default=0)
    stretches: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for step, error in sorted(points):
        stretches[step * POINTS // max(last, POINTS)].append((step, error))
    means = [
        [statistics.fmean(column) for column in zip(*stretch, strict=True)]
        for stretch in stretches.values()
    ]
    return [step for step, _ in means], [error for _, error in means]


def _points(run: Run, split: Split) -> list[tuple[int, float]]:
    """(step, error) of rows with moving averages; DataError names a bad line."""
    path = run.path / "metrics.jsonl"
    if not path.exists():
        return []
    log = LogFile(path)
    points = [
        (row["step"], float(error))
        for row in log.rows(split, at_most=READ)
        if row.get("stats", "moving") == "moving"
        and (error := row.get("top1_err")) is not None
    ]
    known = {*run.problems, run.torn}
    unnamed = [p for p in log.problems if f"metrics.jsonl {p}" not in known]
    if unnamed:
        raise DataError(f"--figure: {path} {unnamed[0]}; repair the line")
    return points


def _against_depth(axes: Axes, report: Report, experiment: ExperimentFile) -> None:
    """Final test error against depth, one line for rows that differ in depth only."""
    families: dict[str, list[Point]] = defaultdict(list)
    for line in report.lines:
        depths = {run.depth for run in line.done if run.depth is not None}
        if line.top1 and len(depths) == 1:
            point = Point(depths.pop(), line.top1, line.value)
            families[_family(experiment, line.row)].append(point)
    if not families:
        raise DataError(f"--figure: no finished run of {report.name} has model.depth")
    for number, (family, points) in enumerate(families.items()):
        points.sort(key=lambda point: point.depth)
        depths = [point.depth for point in points]
        means = [point.top1.mean for point in points]
        stds = [point.top1.std or 0.0 for point in points]
        colour, name = f"C{number % 10}", label(family)
        axes.errorbar(
            depths, means, stds, color=colour, marker="o", capsize=3, label=name
        )
        _published(axes, points, colour)
    if any(line.value for line in report.lines):
        axes.plot([], [], color="0.3", label="paper", **HOLLOW)
    axes.set_xlabel("depth (weighted layers)")
    axes.set_xticks(sorted({p.depth for points in families.values() for p in points}))
    axes.set_ylim(bottom=0)


def _published(axes: Axes, points: Sequence[Point], colour: str) -> None:
    """The paper's points, hollow."""
    printed = [
        (point.depth, point.value.top1_err)
        for point in points
        if point.value and point.value.top1_err is not None
    ]
    if printed:
        axes.plot(*zip(*printed, strict=True), color=colour, **HOLLOW)


def _family(experiment: ExperimentFile, row: str) -> str:
    """What a row changes besides its depth."""
    changes = {k: v for k, v in experiment.rows[row].items() if k != "model.depth"}
    return ", ".join(f"{k}={v}" for k, v in changes.items()) or experiment.name


def _with_count(line: Line) -> str:
    seeds = len(line.done)
    return f"{line.row} ({seeds})" if seeds else f"{line.row} (unfinished)"
