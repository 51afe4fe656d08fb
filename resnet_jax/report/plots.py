"""Errors against iterations or depth, in the papers' axes; imports matplotlib."""

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
    marked,
    new_figure,
    save,
    style,
)
from resnet_jax.report.line import Line
from resnet_jax.report.statistics import Summary
from resnet_jax.report.table import Report


class Row(NamedTuple):
    """A row of the table and its curves."""

    line: Line
    train: Curve
    test: Curve

    @property
    def name(self) -> str:
        seeds, failed = len(self.line.done), all(run.failed for run in self.line.runs)
        told = f"{seeds}" if seeds else "failed" if failed else "unfinished"
        return label(f"{self.line.row} ({told})")

    @property
    def end(self) -> float:
        """The last test error, by which the legend is ordered."""
        return self.test.errors[-1] if self.test.errors else 0.0


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
    """Write the figure; the same logs give the same file."""
    if axis == "iterations":
        against_iterations(report, path)
    else:
        against_depth(report, experiment, path)


def against_iterations(report: Report, path: Path) -> None:
    """Error against iterations: train dashed, test bold (He et al. 2016a, Fig. 6).

    Of more rows than there are colours, the test errors alone. The legend is in the
    order in which the curves end.
    """
    rows = [
        Row(line, curve(line, "train"), curve(line, "test"))
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
    ranked = sorted(handles, key=lambda number: -rows[number].end)
    grey = {"train": ("--", 0.8), "test": ("-", 1.8)}
    add_legend(
        figure,
        [handles[number] for number in ranked]
        + [
            Line2D([], [], color="0.3", ls=grey[kind][0], lw=grey[kind][1], label=kind)
            for kind in kinds
        ],
    )
    tests = _late([row.test for row in rows])
    least = min(filter(None, tests), default=0) / 4  # memorised images are off the axis
    trains = _late([row.train for row in rows if with_train])
    fit_errors(axes, [*tests, *(error for error in trains if error > least)])
    axes.set_xlabel("iterations")
    axes.set_xlim(left=0)
    axes.set_ylabel("error (%)" if with_train else "test error (%)")
    axes.grid(color="0.9")
    save(figure, path, title=report.title)


def _test_curve(axes: Axes, row: Row, number: int) -> Line2D:
    colour, marker, dashes = style(number)
    (drawn,) = axes.plot(
        *row.test, color=colour, linestyle=dashes, linewidth=1.8, marker=marker,
        markersize=4, markevery=marked(len(row.test.steps)), label=row.name,
    )  # fmt: skip
    return drawn


def _late(curves: Sequence[Curve]) -> list[float]:
    """The errors but for the first third of the iterations: the axis shows them."""
    third = max((step for curve in curves for step in curve.steps), default=0) / 3
    return [
        error
        for curve in curves
        for step, error in zip(*curve, strict=True)
        if step >= third
    ]


def against_depth(report: Report, experiment: ExperimentFile, path: Path) -> None:
    """Final test error against depth, one line for rows that differ in depth only."""
    families: dict[str, list[Point]] = defaultdict(list)
    for line in report.lines:
        depths = {run.depth for run in line.done if run.depth is not None}
        if line.top1 and len(depths) == 1:
            point = Point(depths.pop(), line.top1, line.value)
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


def _family_line(axes: Axes, family: str, points: list[Point], number: int) -> Line2D:
    """Means over depth with their standard deviations; the paper's points hollow."""
    points = sorted(points, key=lambda point: point.depth)
    depths = [point.depth for point in points]
    means = [point.top1.mean for point in points]
    stds = [point.top1.std or 0.0 for point in points]
    colour, marker, dashes = style(number)
    axes.errorbar(depths, means, stds, fmt="none", ecolor=colour, capsize=3)
    (drawn,) = axes.plot(
        depths, means, color=colour, marker=marker, ls=dashes, label=label(family)
    )
    printed = [
        (point.depth, point.value.top1_err)
        for point in points
        if point.value and point.value.top1_err is not None
    ]
    if printed:
        axes.plot(*zip(*printed, strict=True), color=colour, **HOLLOW)
    return drawn


def _errors(point: Point) -> list[float]:
    """Errors of a point that the axis must show."""
    std = point.top1.std or 0.0
    found = [point.top1.mean, point.top1.mean + std, point.top1.mean - std]
    if point.value and point.value.top1_err is not None:
        found.append(point.value.top1_err)
    return found


def _family(experiment: ExperimentFile, row: str) -> str:
    """The changes of a row besides its depth."""
    changes = {k: v for k, v in experiment.rows[row].items() if k != "model.depth"}
    return ", ".join(f"{k}={v}" for k, v in changes.items()) or experiment.name
