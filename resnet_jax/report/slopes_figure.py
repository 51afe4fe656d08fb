"""Figure of learned slopes by layer; imports matplotlib."""

from collections import defaultdict
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from resnet_jax.report.figure import HOLLOW, add_legend, label, new_figure, save, style
from resnet_jax.report.slopes_table import RowSlopes, Slopes

LAYER = 0.15  # inches of a layer
LETTER = 0.06  # inches of a letter


def draw_slopes(made: Slopes, path: Path) -> None:
    """Draw the mean slope of every layer, from the input at the top to the output.

    One panel per net, one line per row, with a band from its lowest to its highest
    seed; the paper's slopes are hollow.
    """
    panels: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, row in enumerate(made.rows):
        panels[tuple(layer.layer for layer in row.layers)].append(number)
    heights = [len(layers) for layers in panels]
    names = [label(f"{row.row} ({len(row.seeds)})") for row in made.rows]
    longest = max(len(name) for layers in panels for name in layers)
    figure = new_figure(
        width=4.2 + LETTER * longest,
        height=LAYER * sum(heights) + 0.5 * len(heights) + 0.6,
        legend=[*names, "paper"],
    )
    grid = figure.subplots(
        len(panels), sharex=True, squeeze=False, height_ratios=heights
    )
    handles = {}
    for axes, (layers, numbers) in zip(grid[:, 0], panels.items(), strict=True):
        for number in numbers:
            handles[number] = _slope_line(axes, made.rows[number], number, names)
        axes.set_yticks(range(len(layers)), [label(x) for x in layers], fontsize=6)
        axes.set_ylim(len(layers) - 0.5, -0.5)
        axes.grid(color="0.9")
    grid[-1, 0].set_xlabel("learned slope, mean over channels")
    shown = [handles[number] for number in sorted(handles)]
    if any(layer.published is not None for row in made.rows for layer in row.layers):
        shown.append(Line2D([], [], color="0.3", label="paper", **HOLLOW))
    add_legend(figure, shown)
    save(figure, path, title=made.title)


def _slope_line(axes: Axes, row: RowSlopes, number: int, names: list[str]) -> Line2D:
    colour, marker, dashes = style(number)
    places = range(len(row.layers))
    means = [layer.mean for layer in row.layers]
    (drawn,) = axes.plot(
        means, places, color=colour, marker=marker, markersize=3.5, linestyle=dashes,
        linewidth=1, label=names[number],
    )  # fmt: skip
    low, high = zip(*((min(y.means), max(y.means)) for y in row.layers), strict=True)
    axes.fill_betweenx(places, low, high, color=colour, alpha=0.2, linewidth=0)
    printed = [(y.published, x) for x, y in enumerate(row.layers) if y.published]
    if printed:
        axes.plot(*zip(*printed, strict=True), color=colour, **HOLLOW)
    return drawn
