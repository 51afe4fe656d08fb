"""Folders of image files that are no prepared data set."""

import itertools
import pathlib

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp"}
DEPTH = 4  # folders below: data set, split, class
MOST = 10_000  # files that are looked at


def first_image(directory: pathlib.Path, *, name: str) -> pathlib.Path | None:
    """Find an image file in the folder of a data set, or in that of all data sets."""
    for folder in (directory / name, directory):
        paths = (folder.glob("/".join("*" * depth)) for depth in range(1, DEPTH + 1))
        for path in itertools.islice(itertools.chain.from_iterable(paths), MOST):
            if path.suffix.lower() in SUFFIXES and path.is_file():
                return path
    return None
