"""Split of a data set with random access to validated examples."""

import concurrent.futures
import os
from collections.abc import Callable, Sequence
from typing import Protocol, TypedDict, runtime_checkable

import numpy as np

from resnet_jax.data.batch import Arrays
from resnet_jax.data.decode import Pixels
from resnet_jax.errors import ConfigError

# [*frames height width channels]; None where the images differ.
ImageShape = tuple[int | None, ...]
Progress = Callable[[int, int], object]
CHUNK = 256  # examples read per call and progress update, at most
CHUNK_BYTES = 2**22  # of their images, where one is not larger


class Example(TypedDict):
    """One example; the first axis of a clip is its frames."""

    image: Pixels
    label: int


@runtime_checkable
class Source(Protocol):
    """One split: `source[i]` has the declared image shape and a label in range.

    Otherwise reading it raises DataError, which names its location on disk.
    """

    @property
    def name(self) -> str: ...
    @property
    def num_classes(self) -> int: ...
    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; () where only their number is known."""
        ...

    @property
    def image_shape(self) -> ImageShape: ...
    @property
    def dtype(self) -> np.dtype:
        """Type of the images: uint8, uint16, or float32 for values in 0..1."""
        ...

    @property
    def description(self) -> str: ...
    @property
    def fingerprint(self) -> str:
        """Name, version, split, length and a digest of the content, for config.json."""
        ...

    def where(self, index: int) -> str:
        """Location of an example on disk."""
        ...

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Example: ...
    def __getitems__(self, indices: Sequence[int]) -> list[Example]:
        """Read many examples in one call, which is faster for files."""
        ...


def chunks(length: int, *, size: int) -> list[range]:
    """Divide examples of `size` bytes into ranges that bound the memory of a reader."""
    step = min(CHUNK, max(1, CHUNK_BYTES // size))
    starts = range(0, length, step)
    return [range(start, min(start + step, length)) for start in starts]


def to_arrays(source: Source, *, progress: Progress | None = None) -> Arrays:
    """Read a whole split: "image" [n *t h w c] and "label" int32 [n].

    Validates every image and label, and calls `progress(done, total)` after a chunk.
    """
    shape = [side for side in source.image_shape if side is not None]
    if len(shape) < len(source.image_shape):
        raise ConfigError(
            f"data.feed='resident': the images of {source.name} differ in size;"
            " use 'streaming', which crops them"
        )
    images = np.empty((len(source), *shape), source.dtype)
    labels = np.empty(len(source), np.int32)

    def fill(chunk):
        for i, example in zip(chunk, source.__getitems__(chunk), strict=True):
            images[i], labels[i] = example["image"], example["label"]
        return chunk.stop

    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    try:
        for done in pool.map(fill, chunks(len(source), size=images[0].nbytes)):
            if progress is not None:
                progress(done, len(source))
    finally:
        pool.shutdown(cancel_futures=True)
    return {"image": images, "label": labels}
