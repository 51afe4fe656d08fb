"""Split of a prepared tfds folder as a source of images or clips, and labels."""

import dataclasses
import os
from collections.abc import Sequence

import numpy as np

from resnet_jax.data import decode
from resnet_jax.data.decode import Pixels
from resnet_jax.data.sources import folders
from resnet_jax.data.sources.content import Content
from resnet_jax.data.sources.features import Features
from resnet_jax.data.sources.records import Records
from resnet_jax.data.sources.source import Example, ImageShape
from resnet_jax.errors import DataError

SHARDS = 64  # of a split, whose first and last records are looked at


@dataclasses.dataclass(frozen=True)
class TfdsSource:
    """Records `start` to `start + length` of a tfds split, as a `Source`."""

    name: str
    version: str
    split: str
    features: Features
    description: str
    records: Records
    content: Content
    start: int
    length: int

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.features.classes

    @property
    def image_shape(self) -> ImageShape:
        return self.features.shape

    @property
    def dtype(self) -> np.dtype:
        return self.features.dtype

    @property
    def fingerprint(self) -> str:
        known = (self.name, self.version, self.split, str(len(self)))
        return ":".join((*known, self.content.digest()))

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Example:
        return self._example(index, self.records.read(self._position(index)))

    def __getitems__(self, indices: Sequence[int]) -> list[Example]:
        positions = [self._position(index) for index in indices]
        records = self.records.read_many(positions)
        return [self._example(*pair) for pair in zip(indices, records, strict=True)]

    def part(self, start: int, length: int) -> "TfdsSource":
        """Take `length` records from `start` on."""
        return dataclasses.replace(self, start=self.start + start, length=length)

    def where(self, index: int) -> str:
        """Describe the location of an example on disk."""
        return self.records.where(self._position(index))

    def check(self) -> None:
        """DataError where a record that is looked at cannot be used.

        The first and the last image are decoded; labels are those of the first and last
        records of up to SHARDS shards. All others are checked when they are read.
        """
        for index in (0, len(self) - 1):
            self[index]
        ends = self.records.ends(self.start, self.start + len(self), most=SHARDS)
        for position, record in zip(ends, self.records.read_many(ends), strict=True):
            self._parsed(position - self.start, record)

    def _position(self, index: int) -> int:
        if not 0 <= index < self.length:
            raise IndexError(f"{self.split}[{index}] of {self.length} examples")
        return self.start + int(index)

    def _example(self, index: int, record: bytes) -> Example:
        frames, label = self._parsed(index, record)
        try:
            image = _decoded(frames, shape=self.image_shape, dtype=self.dtype.name)
        except decode.Unsupported as error:
            raise DataError(
                f"{self.where(index)}: unsupported image ({error}); convert it and"
                " prepare the data set again: read are JPEG, PNG, BMP, WebP and GIF"
                f" images of one frame and at most {decode.MAX_PIXELS} pixels"
            ) from error
        except decode.Undeclared as error:
            folder = os.path.dirname(self.records.files[0])
            raise DataError(
                f"{self.where(index)}: undeclared image ({error}) by"
                f" {folder}/features.json, shape {self.image_shape} of"
                f" {self.dtype.name}; prepare the data set again with the shape of its"
                " images, whose sides are None where they differ in size"
            ) from error
        # Pillow raises many kinds of exception on damaged bytes.
        except Exception as error:
            raise self._damaged(index, "image", error) from error
        return {"image": image, "label": label}

    def _parsed(self, index: int, record: bytes) -> tuple[Sequence[bytes], int]:
        """Parse encoded frames and label; DataError where the label is no class."""
        try:
            frames, label = _parsed(record, (self.features.image, self.features.label))
        # Protobuf raises many kinds of exception on damaged bytes.
        except Exception as error:
            raise self._damaged(index, "record", error) from error
        if not 0 <= label < self.num_classes:
            raise DataError(
                f"data.num_classes={self.num_classes}: label {label} at"
                f" {self.where(index)}; labels must be 0..{self.num_classes - 1}: name"
                " splits that have labels, or correct the data set and prepare it again"
            )
        return frames, label

    def _damaged(self, index: int, part: str, error: Exception) -> DataError:
        return DataError(
            f"{self.where(index)}: damaged {part} ({folders.first_line(error)});"
            " restore the file, or delete the folder and prepare the data set again"
        )


def _parsed(record: bytes, keys: tuple[str, str]) -> tuple[Sequence[bytes], int]:
    """Parse the encoded frames and the label of a serialised `tf.train.Example`."""
    from tensorflow_datasets.proto import tf_example_pb2

    # Protobuf creates the class at import, so that type checkers do not see it.
    example = tf_example_pb2.Example.FromString(record)  # type: ignore
    feature = example.features.feature
    if missing := [key for key in keys if key not in feature]:
        raise ValueError(f"it has no {missing[0]!r}, only {', '.join(sorted(feature))}")
    return feature[keys[0]].bytes_list.value, feature[keys[1]].int64_list.value[0]


def _decoded(frames: Sequence[bytes], *, shape: ImageShape, dtype: str) -> Pixels:
    """Decode an image, or a clip of the declared number of frames."""
    *lengths, height, width, channels = shape
    assert channels is not None  # checked when the split is opened
    frame_shape = (height, width, channels)
    if not lengths:
        return decode.pixels(frames[0], shape=frame_shape, dtype=dtype)
    if len(frames) != lengths[0]:
        raise decode.Undeclared(
            f"clip has {len(frames)} frames, declared are {lengths[0]}"
        )
    images = [decode.pixels(frame, shape=frame_shape, dtype=dtype) for frame in frames]
    return np.stack(images)
