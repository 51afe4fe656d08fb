"""An empty figure, and its file in the format of its suffix; imports matplotlib."""

import textwrap
from pathlib import Path

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from resnet_jax.errors import StorageError
from resnet_jax.report.render import plain

LETTERS = 13.1  # of a title, that fit in an inch
# What would make two files of the same numbers differ.
STAMPS: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
    "svg": {"Creator": None, "Date": None},
}


def new_figure(*, width: float = 6.4, height: float = 4.4) -> Figure:
    """An empty figure of a size in inches, drawn without a display."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(
    figure: Figure, path: Path, *, title: str = "", option: str = "--figure"
) -> None:
    """Write a file that names no program and no date: same numbers, same file."""
    if title:
        width = round(LETTERS * figure.get_figwidth())
        figure.suptitle(textwrap.fill(label(title), width), fontsize=10)
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
