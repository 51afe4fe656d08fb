"""Figures: size, line styles, legend, error axis and files; imports matplotlib."""

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

# Coprime numbers of colours and markers: the first 70 styles differ in one of them.
COLOURS = 10
MARKERS = "os^DvPX"
DASHES = ("-", "--", "-.", ":")
MARKED = 8  # points with a marker on a curve
HOLLOW: dict[str, Any] = {"marker": "o", "linestyle": "none", "markerfacecolor": "none"}

TITLE_LETTERS = 13.1  # per inch
LEGEND_FONT = 7
LEGEND_LETTER, LEGEND_LINE, LEGEND_KEY = 0.062, 0.145, 0.7  # inches
LOG_RATIO = 4.0  # largest over smallest error from which the axis is logarithmic

# Metadata to leave out, so that equal numbers give equal files.
METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
    "svg": {"Creator": None, "Date": None},
}


class Style(NamedTuple):
    """Line style of one row."""

    colour: str
    marker: str
    dashes: str


def style(number: int) -> Style:
    """Line style of a row by its number: solid lines first."""
    dashes = DASHES[number // COLOURS % len(DASHES)]
    return Style(f"C{number % COLOURS}", MARKERS[number % len(MARKERS)], dashes)


def markevery(count: int) -> tuple[int, int]:
    """(start, stride) of about MARKED markers on `count` points, with the last one."""
    stride = max(1, count // MARKED)
    return ((count - 1) % stride, stride)


def new_figure(
    *, width: float = 6.4, height: float = 4.4, legend: Sequence[str] = ()
) -> Figure:
    """Empty figure in inches, with room for a legend beside the axes."""
    if legend:
        width += LEGEND_KEY + LEGEND_LETTER * max(map(len, legend))
        height = max(height, LEGEND_LINE * len(legend) + 0.9)
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def add_legend(figure: Figure, handles: Sequence[Artist]) -> None:
    """Add a legend beside the axes, in the order of the handles."""
    figure.legend(
        handles=list(handles),
        loc="outside right upper",
        fontsize=LEGEND_FONT,
        handlelength=3.5,  # long enough to tell dashes apart
    )


def fit_errors(axes: Axes, errors: Sequence[float]) -> None:
    """Fit the error axis to errors.

    A wide range makes it logarithmic, with an upper limit above all that is drawn.
    """
    positive = [error for error in errors if error > 0]
    if not positive:
        return
    low, high = min(positive), max(positive)
    if high > LOG_RATIO * low:
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
    """Save a figure without metadata: equal numbers give equal files."""
    if title:
        figure.draw_without_rendering()  # makes the layout
        width = figure.axes[0].get_position().width * figure.get_figwidth()
        wrapped = textwrap.fill(label(title), round(TITLE_LETTERS * width))
        figure.axes[0].set_title(wrapped, fontsize=10)
    form = path.suffix.lower().removeprefix(".")
    try:
        with matplotlib.rc_context({"svg.hashsalt": "resnet_jax", "pdf.fonttype": 42}):
            figure.savefig(path, format=form, dpi=150, metadata=METADATA[form])
    except OSError as error:
        raise StorageError(
            f"{option} {path}: {error.strerror}; is it writable?"
        ) from error


def label(text: str) -> str:
    """Escape text for matplotlib: no maths, no leading underscore (hides a label)."""
    safe = plain(text).replace("$", r"\$")
    return f" {safe}" if safe.startswith("_") else safe
