"""An empty figure, and its file; matplotlib is imported when one is asked for."""

import textwrap
from pathlib import Path
from typing import Any

from resnet_jax.errors import ConfigError, StorageError
from resnet_jax.report.render import plain

# The extra of setup.cfg that brings matplotlib.
EXTRA = "figures"
WIDTH = 84  # letters of a title that fit in a line


def canvas(*, height: float = 4.4) -> Any:
    """A matplotlib Figure, 6.4 inches wide; ConfigError where matplotlib is missing."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError(
            "--figure: matplotlib is not installed; "
            f'pip install "resnet_jax[{EXTRA}]" brings it'
        ) from error
    figure = Figure(figsize=(6.4, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Any, path: Path, *, title: str):
    """Writes a PNG that names no program and no date: same numbers, same picture."""
    figure.suptitle(textwrap.fill(label(title), WIDTH), fontsize=10)
    try:
        figure.savefig(path, format="png", dpi=150, metadata={"Software": None})
    except OSError as error:
        raise StorageError(
            f"--figure {path}: {error.strerror}; is it writable?"
        ) from error


def label(text: str) -> str:
    """Plain text for matplotlib: no maths, and not hidden by a leading underscore."""
    safe = plain(text).replace("$", r"\$")
    return f" {safe}" if safe.startswith("_") else safe
