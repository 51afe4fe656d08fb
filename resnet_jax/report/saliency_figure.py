"""Images, and saliency on each below it, with its scale; imports matplotlib."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from resnet_jax.report.figure import new_figure, save

COLUMNS = 8
SIDE, MARGIN = 1.5, 1.0  # inches of an image, and of the scale
SHARE = "share of the image's largest"
LOGIT = "logit of the predicted class"


def draw(
    path: Path,
    images: np.ndarray,
    maps: np.ndarray,
    *,
    labels: Sequence[int],
    predicted: Sequence[int],
) -> None:
    """Images [b h w c] above; saliency below, [b h w c], or class maps [b h w].

    Signed pictures share the scale -1..1 of the largest value of their image; class
    maps of all images share one scale.
    """
    columns = min(COLUMNS, len(images))
    blocks = -(-len(images) // columns)
    figure = new_figure(width=SIDE * columns + MARGIN, height=3.4 * blocks)
    grid = figure.subplots(2 * blocks, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    if maps.ndim == 3:
        draw_map, told = _class_map, LOGIT
        limits = {"vmin": maps.min(), "vmax": maps.max()}
    else:
        draw_map, told = _signed, SHARE
        limits = {"vmin": -1, "vmax": 1}
    scale = None
    for number, (image, found) in enumerate(zip(images, maps, strict=True)):
        block, column = divmod(number, columns)
        upper, lower = grid[2 * block][column], grid[2 * block + 1][column]
        upper.imshow(image, cmap="gray")  # of a colour image the map is not used
        upper.set_title(title(labels[number], predicted[number]), fontsize=8)
        scale = draw_map(lower, image, found, limits)
    if scale is not None:
        bar = figure.colorbar(scale, ax=grid, shrink=0.6, aspect=25)
        bar.set_label(told, fontsize=8)
        bar.ax.tick_params(labelsize=7)
    save(figure, path, option="--out")


def title(label: int, predicted: int) -> str:
    """`label 4, predicted 9`."""
    return f"label {label}, predicted {predicted}"


def _signed(
    axes: Axes, image: np.ndarray, found: np.ndarray, limits: dict[str, Any]
) -> ScalarMappable:
    """A picture of signed values, grey where they are zero; its scale."""
    scaled = signed_share(found)
    if image.shape[-1] == 1:
        return axes.imshow(scaled, cmap="gray", **limits)
    axes.imshow(0.5 + 0.5 * scaled)
    return ScalarMappable(Normalize(**limits), cmap="gray")


def _class_map(
    axes: Axes, image: np.ndarray, found: np.ndarray, limits: dict[str, Any]
) -> ScalarMappable:
    """A class map over its image in grey; its scale."""
    height, width, _ = image.shape
    place = (0, width, height, 0)
    axes.imshow(image.mean(-1), cmap="gray", extent=place)
    return axes.imshow(
        found, alpha=0.6, interpolation="bilinear", extent=place, **limits
    )


def signed_share(picture: np.ndarray) -> np.ndarray:
    """Rescale to [-1, 1] with zero at zero."""
    return picture / (np.abs(picture).max() or 1)
