"""Figure of images above their saliency, with its scale; imports matplotlib."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from resnet_jax.report.figure import new_figure, save

COLUMNS = 8
SIDE, MARGIN = 1.5, 1.0  # inches of an image and of the scale


def draw(
    path: Path,
    images: np.ndarray,
    maps: np.ndarray,
    *,
    labels: Sequence[int],
    predicted: Sequence[int],
) -> None:
    """Draw images [b h w c] above their gradients [b h w c] or class maps [b h w].

    Gradients are divided by the largest magnitude of their image; class maps of all
    images share one scale.
    """
    columns = min(COLUMNS, len(images))
    blocks = -(-len(images) // columns)
    figure = new_figure(width=SIDE * columns + MARGIN, height=3.4 * blocks)
    grid = figure.subplots(2 * blocks, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    if maps.ndim == 3:
        draw_map, unit = _class_map, "logit of the predicted class"
        limits = {"vmin": maps.min(), "vmax": maps.max()}
    else:
        draw_map, unit = _signed, "share of the image's largest"
        limits = {"vmin": -1, "vmax": 1}
    scale = None
    for number, (image, saliency) in enumerate(zip(images, maps, strict=True)):
        block, column = divmod(number, columns)
        upper, lower = grid[2 * block][column], grid[2 * block + 1][column]
        upper.imshow(image, cmap="gray")  # ignored for colour images
        title = f"label {labels[number]}, predicted {predicted[number]}"
        upper.set_title(title, fontsize=8)
        scale = draw_map(lower, image, saliency, limits)
    if scale is not None:
        opaque = ScalarMappable(scale.norm, scale.cmap)  # legible over white
        bar = figure.colorbar(opaque, ax=grid, shrink=0.6, aspect=25)
        bar.set_label(unit, fontsize=8)
        bar.ax.tick_params(labelsize=7)
    save(figure, path, option="--out")


def _signed(
    axes: Axes, image: np.ndarray, saliency: np.ndarray, limits: dict[str, Any]
) -> ScalarMappable:
    """Draw signed values, zero in grey; returns their scale."""
    scaled = signed_share(saliency)
    if image.shape[-1] == 1:
        return axes.imshow(scaled, cmap="gray", **limits)
    axes.imshow(0.5 + 0.5 * scaled)
    return ScalarMappable(Normalize(**limits), cmap="gray")


def _class_map(
    axes: Axes, image: np.ndarray, saliency: np.ndarray, limits: dict[str, Any]
) -> ScalarMappable:
    """Draw a class map over its image in grey; returns its scale."""
    height, width, _ = image.shape
    place = (0, width, height, 0)
    axes.imshow(image.mean(-1), cmap="gray", extent=place)
    return axes.imshow(
        saliency, alpha=0.6, interpolation="bilinear", extent=place, **limits
    )


def signed_share(picture: np.ndarray) -> np.ndarray:
    """Rescale to [-1, 1] with zero at zero."""
    return picture / (np.abs(picture).max() or 1)
