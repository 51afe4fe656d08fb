"""Records of a prepared tfds folder, array_record or TFRecord, without TensorFlow."""

import dataclasses
import itertools
import os
import pathlib
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from resnet_jax.data.sources import features, folders
from resnet_jax.data.sources.content import check_shards
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

    def ends(self, start: int, stop: int, *, most: int) -> list[int]:
        """List the first and last records of at most so many shards in a range."""
        ends = np.cumsum(self.lengths)
        bounds = [start, *(int(end) for end in ends if start < end < stop), stop]
        shards = list(itertools.pairwise(bounds))
        step = -(-len(shards) // most)
        chosen = [*shards[::step], shards[-1]]
        return sorted({i for first, end in chosen for i in (first, end - 1)})

    def read(self, index: int) -> bytes:
        """Read one record; DataError with its location where it is damaged."""
        try:
            return self.reader[index]
        # The C++ layers of the readers map damaged bytes to many kinds of exception.
        except Exception as error:
            cause = folders.first_line(error)
            raise DataError(
                f"{self.where(index)}: cannot be read ({cause});"
                " restore the file, or delete the folder and prepare the data set again"
            ) from error

    def read_many(self, indices: Sequence[int]) -> Sequence[bytes]:
        """Read many records in one call, which is faster."""
        try:
            return self.reader.__getitems__(list(indices))
        # Read them one by one to find the damaged record.
        except Exception:
            return [self.read(i) for i in indices]


def open_builder(folder: pathlib.Path):
    """Open the tfds builder of a prepared folder; DataError where it is not whole."""
    import tensorflow_datasets as tfds

    features.check_whole(folder)
    try:
        builder = tfds.builder_from_directory(folder)
        if not builder.info.splits:
            raise ValueError("no split in dataset_info.json")
    # On damaged files tfds raises ParseError, KeyError, JSONDecodeError and others.
    except Exception as error:
        raise features.unreadable(folder, error) from error
    return builder


def open_records(builder, split: str) -> Records:
    """Open a split, array_record or TFRecord; DataError where a shard is missing."""
    info = builder.info
    files = tuple(os.fspath(path) for path in info.splits[split].filepaths)
    lengths = tuple(info.splits[split].shard_lengths)
    formats = {f.value for f in info.available_file_formats()}
    if not formats & {"array_record", "tfrecord"}:
        raise DataError(
            f"{builder.data_path}: file format {', '.join(sorted(formats))} cannot be"
            " read at random; prepare it again with `tfds build"
            f" {info.name} --file_format=array_record`"
        )
    check_shards(split, files, lengths)
    if "array_record" in formats:
        _check_counts(files, lengths)
        return Records(split, files, lengths, _array_records(builder, split))
    return Records(split, files, lengths, TFRecords(files, lengths))


def _check_counts(files: Sequence[str], lengths: Sequence[int]) -> None:
    """DataError where an array_record file holds another number of records."""
    # A module of C++, which type checkers do not see
    from array_record.python import array_record_module  # type: ignore

    for path, length in zip(files, lengths, strict=True):
        try:
            reader = array_record_module.ArrayRecordReader(path)
            count = reader.num_records()
            reader.close()
        except Exception as error:
            raise folders.damaged(pathlib.Path(path), error) from error
        if count != length:
            raise DataError(
                f"{path}: holds {count} records, dataset_info.json says {length};"
                f" restore the file, or delete {os.path.dirname(path)} and prepare the"
                " data set again"
            )


def _array_records(builder, split: str) -> Reader:
    """Open the array_record files of a split; DataError where they are damaged."""
    import tensorflow_datasets as tfds

    try:
        return builder.as_data_source(
            split,
            deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES,
            file_format="array_record",
        )
    # A damaged shard raises RuntimeError and others, from C++.
    except Exception as error:
        raise folders.damaged(builder.data_path, error) from error
