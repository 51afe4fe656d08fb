"""Classes that a trained net predicts for files of images."""

import concurrent.futures
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from resnet_jax.data import crops, decode
from resnet_jax.data.sources.folders import first_line
from resnet_jax.data.sources.image_list import images_below
from resnet_jax.errors import DataError
from resnet_jax.paths import shortened
from resnet_jax.train.loaded import CHUNK, LoadedRun

SHOWN = 50  # files that an error names


class Prediction(NamedTuple):
    """A file and the probabilities of its classes, or the problem with the file."""

    path: pathlib.Path
    probabilities: np.ndarray  # float32 [n]
    problem: str = ""

    def top(self, classes: tuple[str, ...], count: int) -> list[tuple[str, float]]:
        """The most probable classes with their probabilities."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(classes[i], float(self.probabilities[i])) for i in order]


def image_files(paths: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    """Files as they are named, and all images below the folders that are.

    DataError for a path that is not there, and for a folder without an image.
    """
    found: list[pathlib.Path] = []
    for path in paths:
        if not path.exists():
            raise DataError(f"{path}: is not there; name files or folders of images")
        files = sorted(images_below(path)) if path.is_dir() else [path]
        if not files:
            raise DataError(f"{path}: holds no image; name another folder")
        found += files
    return list(dict.fromkeys(found))


def predictions(
    run: LoadedRun,
    files: Sequence[pathlib.Path],
    *,
    resize: bool,
    advance: Callable[[int], object],
) -> Iterator[Prediction]:
    """Predict files in their order, and call `advance` with the number that is done.

    `resize`: files of another size than the net takes are resized, where images are not
    cropped anyway.
    """
    size = min(CHUNK, len(files))  # of all batches, which are compiled once
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(files), CHUNK):
            part = files[start : start + CHUNK]
            read = list(pool.map(lambda path: _read(run, path, resize), part))
            images = [found for found in read if not isinstance(found, str)]
            rows = iter(())
            if images:
                padding = images[-1:] * (size - len(images))
                rows = iter(run.predict([*images, *padding]))
            for path, found in zip(part, read, strict=True):
                if isinstance(found, str):
                    yield Prediction(path, np.empty(0, np.float32), found)
                else:
                    yield Prediction(path, next(rows))
            advance(start + len(part))


def check(problems: Sequence[str], *, files: int) -> None:
    """DataError that names the files without a prediction, of so many in all."""
    if problems:
        raise DataError(
            f"{len(problems)} of {files} files have no prediction: "
            f"{'; '.join(shortened(problems, most=SHOWN))}"
        )


def _read(run: LoadedRun, path: pathlib.Path, resize: bool) -> Image.Image | str:
    """The image of a file, or the problem with it."""
    *_, height, width, channels = run.image_shape
    try:
        pixels = decode.pixels(
            path.read_bytes(),
            shape=(None, None, channels),
            formats=decode.any_format(),
        )
    except (decode.Unsupported, decode.Undeclared) as error:
        return f"{path}: {error}"
    # Pillow raises many kinds of exception on damaged bytes.
    except Exception as error:
        return f"{path}: cannot be read ({first_line(error)})"
    image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    fixed = crops.preset(run.inputs.data.augment).crop == "none"
    if not fixed or image.size == (width, height):
        return image
    if resize:
        return image.resize((width, height), Image.Resampling.BILINEAR)
    return (
        f"{path}: image is {image.height}x{image.width}, the net takes "
        f"{height}x{width}; --resize resizes it"
    )
