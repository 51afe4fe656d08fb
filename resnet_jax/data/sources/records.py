"""The records of a prepared tfds folder: array_record or TFRecord, no TensorFlow."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from resnet_jax.data.sources import folders
from resnet_jax.data.sources.tfrecord import TFRecords
from resnet_jax.errors import DataError


@dataclasses.dataclass(frozen=True)
class Records:
    """The serialised `tf.train.Example`s of one tfds split, and the files they are in.

    Stored by every tfds folder, whatever the file format, and read without TensorFlow.
    """

    split: str
    files: tuple[str, ...]
    lengths: tuple[int, ...]
    reader: Any = dataclasses.field(repr=False, compare=False)

    def where(self, index: int) -> str:
        """`train[123] in FILE`."""
        ends = np.cumsum(self.lengths)
        shard = int(np.searchsorted(ends, index, side="right"))
        return f"{self.split}[{index}] in {self.files[shard]}"

    def read(self, index: int) -> bytes:
        try:
            return self.reader[index]
        # The readers raise whatever their C++ layers map a damaged byte to.
        except Exception as error:
            cause = folders.first_line(error)
            raise DataError(
                f"{self.where(index)}: cannot be read ({cause});"
                " delete the folder and prepare the data set again"
            ) from error

    def read_many(self, indices: Sequence[int]) -> list[bytes]:
        try:
            return self.reader.__getitems__(list(indices))
        # Read again one by one: only so is it known which record is damaged.
        except Exception:
            return [self.read(i) for i in indices]


def open_builder(folder):
    """The tfds builder of a prepared folder; DataError where it is damaged."""
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder_from_directory(folder)
        if not builder.info.splits:
            raise ValueError("no split in dataset_info.json")
    # tfds answers damaged files with ParseError, KeyError, JSONDecodeError, ...
    except Exception as error:
        raise folders.damaged(folder, error) from error
    return builder


def open_records(builder, split) -> Records:
    """The reader for the file format of a folder: array_record or TFRecord."""
    import tensorflow_datasets as tfds

    info = builder.info
    files = tuple(os.fspath(path) for path in info.splits[split].filepaths)
    lengths = tuple(info.splits[split].shard_lengths)
    formats = {f.value for f in info.available_file_formats()}
    if "array_record" in formats:
        try:
            reader = builder.as_data_source(
                split,
                deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES,
                file_format="array_record",
            )
        # A missing or empty shard; RuntimeError and others, from C++.
        except Exception as error:
            raise folders.damaged(builder.data_path, error) from error
    elif "tfrecord" in formats:
        reader = TFRecords(files, lengths)
    else:
        raise DataError(
            f"{builder.data_path}: file format {', '.join(sorted(formats))} cannot be"
            " read at random; prepare it again with `tfds build"
            f" {info.name} --file_format=array_record`"
        )
    return Records(split, files, lengths, reader)
