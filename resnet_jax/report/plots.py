"""Figures of error against iterations or depth; imports matplotlib."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from resnet_jax.config.experiment_file import ExperimentFile
from resnet_jax.errors import DataError
from resnet_jax.papers import Value
from resnet_jax.report.curves import Curve, curve
from resnet_jax.report.figure import (
    COLOURS,
    HOLLOW,
    add_legend,
    fit_errors,
    label,
    markevery,
    new_figure,
    save,
    style,
)
from resnet_jax.report.line import Line
from resnet_jax.report.statistics import Summary
from resnet_jax.report.table import Report


class RowCurves(NamedTuple):
    """A row of the table with its curves."""

    line: Line
    train: Curve
    test: Curve

    @property
    def name(self) -> str:
        seeds, failed = len(self.line.done), all(run.failed for run in self.line.runs)
        status = "failed" if failed else "unfinished"
        return label(f"{self.line.row} ({seeds or status})")

    @property
    def last_error(self) -> float:
        return self.test.errors[-1] if self.test.errors else 0.0


class DepthPoint(NamedTuple):
    """Final errors of a row at its depth, with the paper's value."""

    depth: int
    top1: Summary
    value: Value | None

    @property
    def published(self) -> float | None:
        return self.value and self.value.top1_err


def draw(
    report: Report,
    experiment: ExperimentFile,
    path: Path,
    *,
    axis: Literal["iterations", "depth"],
) -> None:
    """Draw a report; equal logs give equal files."""
    if axis == "iterations":
        against_iterations(report, path)
    else:
        against_depth(report, experiment, path)


def against_iterations(report: Report, path: Path) -> None:
    """Draw error against iterations: train dashed, test bold (He et al. 2016a, Fig. 6).

    Train curves are left out where rows outnumber the colours. The legend is in the
    order of the last errors.
    """
    rows = [
        RowCurves(line, curve(line, "train"), curve(line, "test"))
        for line in report.lines
        if line.runs
    ]
    if not rows:
        raise DataError(f"--figure: no runs of {report.name} to draw")
    with_train = len(rows) <= COLOURS
    kinds = ["train", "test"] if with_train else []
    figure = new_figure(legend=[*(row.name for row in rows), *kinds])
    axes = figure.add_subplot()
    handles = {}
    for number, row in enumerate(rows):
        if with_train:
            axes.plot(*row.train, color=style(number).colour, ls="--", lw=0.8)
        handles[number] = _test_curve(axes, row, number)
    ranked = sorted(handles, key=lambda number: -rows[number].last_error)
    grey = {"train": ("--", 0.8), "test": ("-", 1.8)}
    shown = [handles[number] for number in ranked]
    for kind in kinds:
        dashes, width = grey[kind]
        shown.append(Line2D([], [], color="0.3", ls=dashes, lw=width, label=kind))
    add_legend(figure, shown)
    tests = _late_errors([row.test for row in rows])
    trains = _late_errors([row.train for row in rows if with_train])
    # Train errors near zero, of memorised images, do not stretch the axis.
    least = min(filter(None, tests), default=0) / 4
    fit_errors(axes, [*tests, *(error for error in trains if error > least)])
    axes.set_xlabel("iterations")
    axes.set_xlim(left=0)
    axes.set_ylabel("error (%)" if with_train else "test error (%)")
    axes.grid(color="0.9")
    save(figure, path, title=report.title)


def _test_curve(axes: Axes, row: RowCurves, number: int) -> Line2D:
    colour, marker, dashes = style(number)
    (drawn,) = axes.plot(
        *row.test, color=colour, linestyle=dashes, linewidth=1.8, marker=marker,
        markersize=4, markevery=markevery(len(row.test.steps)), label=row.name,
    )  # fmt: skip
    return drawn


def _late_errors(curves: Sequence[Curve]) -> list[float]:
    """Errors after the first third of the iterations, to which the axis is fitted."""
    third = max((step for curve in curves for step in curve.steps), default=0) / 3
    return [
        error
        for curve in curves
        for step, error in zip(*curve, strict=True)
        if step >= third
    ]


def against_depth(report: Report, experiment: ExperimentFile, path: Path) -> None:
    """Draw final test error against depth, one line per family of rows."""
    families: dict[str, list[DepthPoint]] = defaultdict(list)
    for line in report.lines:
        depths = {run.depth for run in line.done if run.depth is not None}
        if line.top1 and len(depths) == 1:
            point = DepthPoint(depths.pop(), line.top1, line.value)
            families[_family(experiment, line.row)].append(point)
    if not families:
        raise DataError(f"--figure: no finished run of {report.name} has model.depth")
    figure = new_figure(legend=[*families, "paper"])
    axes = figure.add_subplot()
    handles = [
        _family_line(axes, family, points, number)
        for number, (family, points) in enumerate(families.items())
    ]
    if any(line.value for line in report.lines):
        handles.append(Line2D([], [], color="0.3", label="paper", **HOLLOW))
    add_legend(figure, handles)
    points = [point for members in families.values() for point in members]
    fit_errors(axes, [error for point in points for error in _errors(point)])
    axes.set_xlabel("depth (weighted layers)")
    axes.set_xticks(sorted({point.depth for point in points}))
    axes.set_ylabel("error (%)")
    axes.grid(color="0.9")
    save(figure, path, title=report.title)


def _family_line(
    axes: Axes, family: str, points: list[DepthPoint], number: int
) -> Line2D:
    """Draw means over depth with standard deviations; the paper's values are hollow."""
    points = sorted(points, key=lambda point: point.depth)
    depths = [point.depth for point in points]
    means = [point.top1.mean for point in points]
    stds = [point.top1.std or 0.0 for point in points]
    colour, marker, dashes = style(number)
    axes.errorbar(depths, means, stds, fmt="none", ecolor=colour, capsize=3)
    (drawn,) = axes.plot(
        depths, means, color=colour, marker=marker, ls=dashes, label=label(family)
    )
    paper = [(p.depth, p.published) for p in points if p.published is not None]
    if paper:
        axes.plot(*zip(*paper, strict=True), color=colour, **HOLLOW)
    return drawn


def _errors(point: DepthPoint) -> list[float]:
    """Errors of a point to which the axis is fitted."""
    mean, std = point.top1.mean, point.top1.std or 0.0
    paper = [] if point.published is None else [point.published]
    return [mean, mean + std, mean - std, *paper]


def _family(experiment: ExperimentFile, row: str) -> str:
    """Name of a line: the changes of a row other than its depth."""
    changes = {k: v for k, v in experiment.rows[row].items() if k != "model.depth"}
    return ", ".join(f"{k}={v}" for k, v in changes.items()) or experiment.name
