"""Records of a prepared tfds folder, array_record or TFRecord, without TensorFlow."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from resnet_jax.data.sources import folders
from resnet_jax.data.sources.tfrecord import TFRecords
from resnet_jax.errors import DataError


@runtime_checkable
class Reader(Protocol):
    """Random access to the serialised records of a split."""

    def __getitem__(self, index: int, /) -> bytes: ...
    def __getitems__(self, indices: Sequence[int], /) -> Sequence[bytes]: ...


@dataclasses.dataclass(frozen=True)
class Records:
    """Serialised `tf.train.Example`s of one tfds split and its shards."""

    split: str
    files: tuple[str, ...]
    lengths: tuple[int, ...]  # records per file
    reader: Reader = dataclasses.field(repr=False, compare=False)

    def where(self, index: int) -> str:
        """Describe the location of a record: `train[123] in FILE`."""
        ends = np.cumsum(self.lengths)
        shard = int(np.searchsorted(ends, index, side="right"))
        return f"{self.split}[{index}] in {self.files[shard]}"

    def read(self, index: int) -> bytes:
        """Read one record; DataError with its location where it is damaged."""
        try:
            return self.reader[index]
        # The C++ layers of the readers map damaged bytes to many kinds of exception.
        except Exception as error:
            cause = folders.first_line(error)
            raise DataError(
                f"{self.where(index)}: cannot be read ({cause});"
                " delete the folder and prepare the data set again"
            ) from error

    def read_many(self, indices: Sequence[int]) -> Sequence[bytes]:
        """Read many records in one call, which is faster."""
        try:
            return self.reader.__getitems__(list(indices))
        # Read them one by one to find the damaged record.
        except Exception:
            return [self.read(i) for i in indices]


def open_builder(folder: pathlib.Path):
    """Open the tfds builder of a prepared folder; DataError where it is damaged."""
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder_from_directory(folder)
        if not builder.info.splits:
            raise ValueError("no split in dataset_info.json")
    # On damaged files tfds raises ParseError, KeyError, JSONDecodeError and others.
    except Exception as error:
        raise folders.damaged(folder, error) from error
    return builder


def open_records(builder, split: str) -> Records:
    """Open a split in its file format: array_record or TFRecord."""
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
        # A missing or empty shard raises RuntimeError and others, from C++.
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
