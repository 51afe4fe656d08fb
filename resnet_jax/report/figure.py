"""Figures: size, line styles, legend, axes, file by suffix; imports matplotlib."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from resnet_jax.errors import StorageError
from resnet_jax.report.render import plain

# Counts without a common factor: the first 70 styles differ in colour or marker.
COLOURS = 10
MARKERS = "os^DvPX"
DASHES = ("-", "--", "-.", ":")
MARKED = 8  # points of a curve that have a marker
HOLLOW: dict[str, Any] = {"marker": "o", "linestyle": "none", "markerfacecolor": "none"}

TITLE_LETTERS = 13.1  # in an inch
LEGEND_FONT = 7
LEGEND_LETTER, LEGEND_LINE, LEGEND_KEY = 0.062, 0.145, 0.7  # inches
# Errors whose largest is so many times the smallest are drawn on a logarithmic axis.
WIDE = 4.0

# What would make two files of the same numbers differ.
STAMPS: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
    "svg": {"Creator": None, "Date": None},
}


class Style(NamedTuple):
    """Colour, marker and dashes of one row."""

    colour: str
    marker: str
    dashes: str


def style(number: int) -> Style:
    """The style of a row by its number: solid lines first."""
    return Style(
        colour=f"C{number % COLOURS}",
        marker=MARKERS[number % len(MARKERS)],
        dashes=DASHES[number // COLOURS % len(DASHES)],
    )


def marked(count: int) -> tuple[int, int]:
    """`markevery` of a curve of so many points: about MARKED, and the last one."""
    stride = max(1, count // MARKED)
    return ((count - 1) % stride, stride)


def new_figure(
    *, width: float = 6.4, height: float = 4.4, legend: Sequence[str] = ()
) -> Figure:
    """An empty figure, in inches, with room beside the axes for a legend."""
    if legend:
        width += LEGEND_KEY + LEGEND_LETTER * max(map(len, legend))
        height = max(height, LEGEND_LINE * len(legend) + 0.9)
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def add_legend(figure: Figure, handles: Sequence[Artist]) -> None:
    """The legend beside the axes, in the order given."""
    figure.legend(
        handles=list(handles),
        loc="outside right upper",
        fontsize=LEGEND_FONT,
        handlelength=3.5,  # tells the dashes apart
    )


def fit_errors(axes: Axes, errors: Sequence[float]) -> None:
    """Limits of the error axis around some errors; logarithmic where they are wide,
    and then up to all that is drawn."""
    positive = [error for error in errors if error > 0]
    if not positive:
        return
    low, high = min(positive), max(positive)
    if high > WIDE * low:
        axes.set_yscale("log", nonpositive="clip")
        axes.set_ylim(low / 1.3, min(100, max(high, axes.dataLim.y1) * 1.1))
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        pad = 0.08 * (high - low) or 0.1 * high
        axes.set_ylim(max(0, min(errors) - pad), min(100, high + pad))


def save(
    figure: Figure, path: Path, *, title: str = "", option: str = "--figure"
) -> None:
    """Write a file that names no program and no date: same numbers, same file."""
    if title:
        figure.draw_without_rendering()  # makes the layout
        width = figure.axes[0].get_position().width * figure.get_figwidth()
        wrapped = textwrap.fill(label(title), round(TITLE_LETTERS * width))
        figure.axes[0].set_title(wrapped, fontsize=10)
    form = path.suffix.lower().removeprefix(".")
    try:
        with matplotlib.rc_context({"svg.hashsalt": "resnet_jax", "pdf.fonttype": 42}):
            figure.savefig(path, format=form, dpi=150, metadata=STAMPS[form])
    except OSError as error:
        raise StorageError(
            f"{option} {path}: {error.strerror}; is it writable?"
        ) from error


def label(text: str) -> str:
    """Plain text for matplotlib: no maths, and not hidden by a leading underscore."""
    safe = plain(text).replace("$", r"\$")
    return f" {safe}" if safe.startswith("_") else safe
