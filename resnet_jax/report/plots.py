"""Figures in the papers' axes; matplotlib is imported when one is drawn."""

import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any, Literal

from resnet_jax.config.experiment_file import ExperimentFile
from resnet_jax.errors import DataError
from resnet_jax.report.figure import canvas, label, save
from resnet_jax.report.runs import Run
from resnet_jax.report.slopes_table import Row, Slopes
from resnet_jax.report.table import Line, Report
from resnet_jax.runs.reader import Lines

# The error axis ends at this many times the largest final error: He et al. 2016a,
# Fig. 6 cuts at 20 % what ends between 6 and 9 %.
HEADROOM = 2.5

# A curve has about this many points, each a mean over an equal stretch of iterations
# and over the seeds; of each log this many rows are read.
POINTS = 200
READ = 1000

HOLLOW = {"marker": "o", "linestyle": "none", "markerfacecolor": "none"}

Curve = tuple[list[float], list[float]]


def draw(
    report: Report,
    claim: ExperimentFile,
    path: Path,
    *,
    axis: Literal["iterations", "depth"],
):
    """Writes the figure as a PNG; the same logs give the same picture."""
    figure = canvas()
    axes = figure.add_subplot()
    if axis == "iterations":
        _against_iterations(axes, report)
    else:
        _against_depth(axes, report, claim)
    axes.set_ylabel("error (%)")
    axes.grid(color="0.9")
    axes.legend(fontsize=8)
    save(figure, path, title=report.title)


def draw_slopes(made: Slopes, path: Path):
    """Mean slope against layer: a line a row, a band from its lowest seed to its
    highest, and the paper's slopes hollow where the net is its net."""
    figure = canvas()
    axes = figure.add_subplot()
    for number, row in enumerate(made.rows):
        _slope_line(axes, row, f"C{number % 10}")
    if any(layer.published is not None for row in made.rows for layer in row.layers):
        axes.plot([], [], color="0.3", label="paper", **HOLLOW)
    axes.set_xlabel("rectifier, in the order of the net")
    axes.set_ylabel("learned slope, mean over channels")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(color="0.9")
    axes.legend(fontsize=8)
    save(figure, path, title=made.title)


def _slope_line(axes: Any, row: Row, colour: str):
    places = range(1, len(row.layers) + 1)
    means = [layer.mean for layer in row.layers]
    name = label(f"{row.row} ({len(row.seeds)})")
    axes.plot(places, means, color=colour, marker=".", label=name)
    low, high = zip(*((min(y.means), max(y.means)) for y in row.layers), strict=True)
    axes.fill_between(places, low, high, color=colour, alpha=0.2, linewidth=0)
    printed = [(x, y.published) for x, y in enumerate(row.layers, 1) if y.published]
    if printed:
        axes.plot(*zip(*printed, strict=True), color=colour, **HOLLOW)


def _against_iterations(axes: Any, report: Report):
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


def curve(line: Line, split: str) -> Curve:
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


def _points(run: Run, split: str) -> list[tuple[int, float]]:
    """(step, error) of rows with moving averages; DataError names a bad line."""
    path = run.path / "metrics.jsonl"
    if not path.exists():
        return []
    log = Lines(path)
    points = [
        (row["step"], float(row["top1_err"]))
        for row in log.rows(split, at_most=READ)
        if row.get("top1_err") is not None and row.get("stats", "moving") == "moving"
    ]
    unnamed = [p for p in log.problems if f"metrics.jsonl {p}" not in run.problems]
    if unnamed:
        raise DataError(f"--figure: {path} {unnamed[0]}; repair the line")
    return points


def _against_depth(axes: Any, report: Report, claim: ExperimentFile):
    """Final test error against depth, one line for rows that differ in depth only."""
    families: dict[str, list[tuple[int, Line]]] = defaultdict(list)
    for line in report.lines:
        depths = {run.depth for run in line.done} - {None}
        if line.top1 and len(depths) == 1:
            families[_family(claim, line.row)].append((depths.pop(), line))
    if not families:
        raise DataError(f"--figure: no finished run of {report.name} has model.depth")
    for number, (family, members) in enumerate(families.items()):
        members.sort(key=lambda member: member[0])
        depths = [depth for depth, _ in members]
        means = [line.top1.mean for _, line in members]
        stds = [line.top1.std or 0.0 for _, line in members]
        colour, name = f"C{number % 10}", label(family)
        axes.errorbar(
            depths, means, stds, color=colour, marker="o", capsize=3, label=name
        )
        _published(axes, members, colour)
    if any(line.value for line in report.lines):
        axes.plot([], [], color="0.3", label="paper", **HOLLOW)
    axes.set_xlabel("depth (weighted layers)")
    axes.set_xticks(sorted({d for members in families.values() for d, _ in members}))
    axes.set_ylim(bottom=0)


def _published(axes: Any, members: list[tuple[int, Line]], colour: str):
    """The paper's points, hollow."""
    printed = [
        (depth, line.value.top1_err)
        for depth, line in members
        if line.value and line.value.top1_err is not None
    ]
    if printed:
        axes.plot(*zip(*printed, strict=True), color=colour, **HOLLOW)


def _family(claim: ExperimentFile, row: str) -> str:
    """What a row changes besides its depth."""
    changes = {k: v for k, v in claim.rows[row].items() if k != "model.depth"}
    return ", ".join(f"{k}={v}" for k, v in changes.items()) or claim.name


def _with_count(line: Line) -> str:
    seeds = len(line.done)
    return f"{line.row} ({seeds})" if seeds else f"{line.row} (unfinished)"
