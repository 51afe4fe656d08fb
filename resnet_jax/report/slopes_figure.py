"""Learned slopes against layers; imports matplotlib."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from resnet_jax.report.figure import label, new_figure, save
from resnet_jax.report.plots import HOLLOW
from resnet_jax.report.slopes_table import Row, Slopes


def draw_slopes(made: Slopes, path: Path) -> None:
    """Mean slope against layer: a line per row, a band from its lowest seed to its
    highest, and the paper's slopes hollow where the net is its net."""
    figure = new_figure()
    axes = figure.add_subplot()
    for number, row in enumerate(made.rows):
        _slope_line(axes, row, f"C{number % 10}")
    if any(layer.published is not None for row in made.rows for layer in row.layers):
        axes.plot([], [], color="0.3", label="paper", **HOLLOW)
    axes.set_xlabel("rectifier, in the order of the net")
    axes.set_ylabel("learned slope, mean over channels")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color="0.9")
    axes.legend(fontsize=8)
    save(figure, path, title=made.title)


def _slope_line(axes: Axes, row: Row, colour: str) -> None:
    places = range(1, len(row.layers) + 1)
    means = [layer.mean for layer in row.layers]
    name = label(f"{row.row} ({len(row.seeds)})")
    axes.plot(places, means, color=colour, marker=".", label=name)
    low, high = zip(*((min(y.means), max(y.means)) for y in row.layers), strict=True)
    axes.fill_between(places, low, high, color=colour, alpha=0.2, linewidth=0)
    printed = [(x, y.published) for x, y in enumerate(row.layers, 1) if y.published]
    if printed:
        axes.plot(*zip(*printed, strict=True), color=colour, **HOLLOW)
