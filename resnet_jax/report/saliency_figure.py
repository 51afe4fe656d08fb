"""Images and saliency on them, side by side; imports matplotlib."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from resnet_jax.report.figure import new_figure, save


def draw(
    path: Path, photos: np.ndarray, maps: np.ndarray, *, titles: Sequence[str]
) -> None:
    """Images [b h w c] above; saliency below, [b h w c], or class maps [b h w]."""
    figure = new_figure(width=1.5 * len(photos) + 0.5, height=3.4)
    upper, lower = figure.subplots(2, len(photos), squeeze=False)
    for column, (photo, found, title) in enumerate(
        zip(photos, maps, titles, strict=True)
    ):
        height, width, channels = photo.shape
        grey = {"cmap": "gray"} if channels == 1 else {}
        upper[column].imshow(photo, **grey)
        upper[column].set_title(title, fontsize=8)
        if found.ndim == 3:
            lower[column].imshow(scaled(found), vmin=0, vmax=1, **grey)
        else:
            place = {"extent": (0, width, height, 0)}
            lower[column].imshow(photo.mean(-1), cmap="gray", **place)
            lower[column].imshow(found, alpha=0.6, interpolation="bilinear", **place)
        for axes in (upper[column], lower[column]):
            axes.set_axis_off()
    save(figure, path, option="--out")


def scaled(picture: np.ndarray) -> np.ndarray:
    """Rescale to [0, 1] with zero at 0.5."""
    return 0.5 + 0.5 * picture / (np.abs(picture).max() or 1)
