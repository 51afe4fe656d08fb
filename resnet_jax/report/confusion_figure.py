"""Figure of a confusion matrix; imports matplotlib."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from resnet_jax.report.figure import label, new_figure, save

NAMED = 60  # classes whose names fit beside the axes
COUNTED = 20  # classes whose numbers fit into the cells


def draw(path: Path, counts: np.ndarray, classes: Sequence[str]) -> None:
    """Draw the share of each class (rows) that was taken for each class (columns)."""
    shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = min(14.0, 3.5 + 0.28 * len(classes))
    figure = new_figure(width=side + 1, height=side)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("class")
    if len(classes) <= NAMED:
        names = [label(name) for name in classes]
        axes.set_xticks(range(len(classes)), names, rotation=90, fontsize=8)
        axes.set_yticks(range(len(classes)), names, fontsize=8)
    if len(classes) <= COUNTED:
        for (row, column), n in np.ndenumerate(counts):
            if n:
                colour = "white" if shares[row, column] > 50 else "black"
                place = {"ha": "center", "va": "center", "fontsize": 7}
                axes.text(column, row, str(n), color=colour, **place)
    bar = figure.colorbar(image, ax=axes, shrink=0.7)
    bar.set_label("share of the class (%)", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    save(figure, path, option="--details")
