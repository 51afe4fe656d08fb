"""Images in files of their own, by folders or a CSV file, as a data set."""

import concurrent.futures
import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace

import numpy as np

from resnet_jax.data import decode
from resnet_jax.data.decode import Pixels
from resnet_jax.data.sources import folders
from resnet_jax.data.sources.content import Content
from resnet_jax.data.sources.division import Part, divided
from resnet_jax.data.sources.image_list import ImageList, check, listed
from resnet_jax.data.sources.source import Example, ImageShape, Progress
from resnet_jax.errors import ConfigError, DataError

NAME = "folder"  # in data.name
FEW = 10_000  # images that are decoded at the opening; of more, the headers are read
HELD_OUT = "train[-20%:]"  # test images where there is no folder of them


@dataclasses.dataclass(frozen=True)
class FolderSource:
    """Images of a list, in the shape of all or of any size, as a `Source`.

    Pixels are those that are stored: a camera's note on how to turn them (Exif) is not
    followed, as torchvision and tfds do not.
    """

    split: str
    images: ImageList
    image_shape: ImageShape
    content: Content
    dtype: np.dtype = np.dtype(np.uint8)

    @property
    def name(self) -> str:
        return NAME

    @property
    def classes(self) -> tuple[str, ...]:
        return self.images.classes

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def description(self) -> str:
        return f"images in {self.images.root}"

    @property
    def fingerprint(self) -> str:
        return ":".join((NAME, self.split, str(len(self)), self.content.digest()))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Example:
        if not 0 <= index < len(self):
            raise IndexError(f"{self.split}[{index}] of {len(self)} images")
        try:
            image = _decoded(_bytes(self.where(index)), self.image_shape)
        except Exception as error:
            raise DataError(f"{_problem(self.where(index), error)}; mend it") from error
        return {"image": image, "label": self.images.labels[index]}

    def __getitems__(self, indices: Sequence[int]) -> list[Example]:
        return [self[index] for index in indices]

    def where(self, index: int) -> str:
        """Path of an image."""
        return self.images.where(index)


def open_folder(
    directory: str | os.PathLike | None,
    *,
    split: str = "full",
    test_split: str | None = None,
    progress: Progress | None = None,
) -> dict[str, FolderSource]:
    """Open the splits "train", "test" and perhaps "val" of a folder or a CSV file.

    The test images are those of test/, or else of val/, or else a fifth of the training
    images, of every class. Beside test/, val/ is the validation split. All images are
    read before: DataError names every one that cannot be used.
    """
    if directory is None:
        raise ConfigError(
            f"data.dir=None: names no folder; data.name={NAME!r} reads the images of"
            " data.dir, a folder or a .csv file"
        )
    place = folders.root(directory)
    lists, problems = listed(place)
    sizes = _sizes(lists.values(), progress, problems)
    check(place, problems)
    known = {name: SimpleNamespace(num_examples=len(x)) for name, x in lists.items()}
    info = SimpleNamespace(name=NAME, splits=known)
    usual = next((name for name in ("test", "val") if name in lists), HELD_OUT)
    parts = divided(info, split=split, test_split=test_split or usual)
    if split == "full" and "val" in lists and parts["test"].split != "val":
        parts["val"] = Part("val", 0, len(lists["val"]))
    shape, content = _common_shape(sizes), _content(lists)
    return {
        key: FolderSource(key, lists[p.split].part(p.start, p.length), shape, content)
        for key, p in parts.items()
    }


Size = tuple[int, int, int]  # height, width, colours


def _sizes(
    lists: Iterable[ImageList], progress: Progress | None, problems: list[str]
) -> set[Size]:
    """Read every image; the sizes that occur. Adds to `problems` those that cannot."""
    files = [(images, i) for images in lists for i in range(len(images))]
    read = _whole_size if len(files) <= FEW else _size
    sizes: set[Size] = set()
    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    try:
        found = pool.map(lambda file: _tried(read, *file), files)
        for done, size in enumerate(found, 1):
            problems.append(size) if isinstance(size, str) else sizes.add(size)
            if progress is not None and (done % 256 == 0 or done == len(files)):
                progress(done, len(files))
    finally:
        pool.shutdown(cancel_futures=True)
    return sizes


def _common_shape(sizes: set[Size]) -> ImageShape:
    """Shape of all images, None for sides that differ; colours where any has them."""
    heights, widths, colours = map(set, zip(*sizes, strict=True))
    if len(heights) == len(widths) == 1:
        return (*heights, *widths, max(colours))
    return (None, None, max(colours))


def _tried(read: Callable[[bytes], Size], images: ImageList, index: int) -> Size | str:
    """The size of an image, or the problem with it."""
    try:
        return read(_bytes(images.where(index)))
    # Pillow raises many kinds of exception on damaged bytes.
    except Exception as error:
        return _problem(images.paths[index], error)


def _size(data: bytes) -> Size:
    return decode.size(data, formats=decode.any_format())


def _whole_size(data: bytes) -> Size:
    """The size of an image that can be decoded."""
    _decoded(data, (None, None, 3))
    return _size(data)


def _decoded(data: bytes, shape: ImageShape) -> Pixels:
    height, width, channels = shape
    assert channels is not None
    return decode.pixels(
        data, shape=(height, width, channels), formats=decode.any_format()
    )


def _bytes(path: str) -> bytes:
    return pathlib.Path(path).read_bytes()


def _problem(path: str, error: Exception) -> str:
    """Describe an image that cannot be used."""
    match error:
        case decode.Unsupported() | decode.Undeclared():
            return f"{path}: {error}"
        case OSError(strerror=str()):
            return f"{path}: cannot be read ({error.strerror})"
    return f"{path}: damaged image ({folders.first_line(error)})"


def _content(lists: dict[str, ImageList]) -> Content:
    """Content of all lists: classes, paths and labels, and the files."""
    described = {
        name: (images.classes, images.paths, images.labels)
        for name, images in sorted(lists.items())
    }
    files = (x.where(i) for _, x in sorted(lists.items()) for i in range(len(x)))
    return Content(repr(described), tuple(files))
