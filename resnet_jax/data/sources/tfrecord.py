"""TFRecord files with random access, without TensorFlow.

A record is: length uint64, masked CRC32C of the length, data, masked CRC32C of the
data, all little endian (tensorflow/core/lib/io/record_writer.h).
"""

import bisect
import dataclasses
import functools
import itertools
import os
import pathlib
import struct
from collections.abc import Sequence

import google_crc32c
import numpy as np

HEADER = struct.Struct("<QI")
FOOTER = struct.Struct("<I")


class DamagedRecord(Exception):
    """Corrupt bytes, or a wrong number of records, in a TFRecord file."""


def masked_crc(data: bytes) -> int:
    """Compute TFRecord's masked CRC32C: rotated right by 15 bits, plus a constant."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@dataclasses.dataclass(frozen=True)
class TFRecords:
    """Random access to the shards `files`, which hold `lengths` records.

    A shard is indexed when one of its records is first read. Files are opened for each
    read, so that threads and worker processes share no file position.
    """

    files: tuple[str, ...]
    lengths: tuple[int, ...]
    index: dict[str, np.ndarray] = dataclasses.field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @functools.cached_property
    def _ends(self) -> list[int]:
        return list(itertools.accumulate(self.lengths))

    def __len__(self) -> int:
        return sum(self.lengths)

    def __getitem__(self, index: int) -> bytes:
        shard = bisect.bisect_right(self._ends, index)
        local = index - (self._ends[shard] - self.lengths[shard])
        offsets = self._offsets(shard)
        with open(self.files[shard], "rb") as file:
            file.seek(offsets[local] + HEADER.size)
            data = file.read(offsets[local + 1] - offsets[local] - HEADER.size)
        data, crc = data[: -FOOTER.size], data[-FOOTER.size :]
        if FOOTER.pack(masked_crc(data)) != crc:
            raise DamagedRecord("checksum of the data differs")
        return data

    def __getitems__(self, indices: Sequence[int]) -> list[bytes]:
        return [self[i] for i in indices]

    def _offsets(self, shard):
        path, length = self.files[shard], self.lengths[shard]
        if path not in self.index:
            offsets = record_offsets(path)
            if len(offsets) - 1 != length:
                raise DamagedRecord(
                    f"holds {len(offsets) - 1} records, dataset_info.json says {length}"
                )
            self.index[path] = offsets
        return self.index[path]


def record_offsets(path: str) -> np.ndarray:
    """Find the offset of every record, and the end of the file, from the headers."""
    size = os.path.getsize(path)
    offsets = [0]
    with pathlib.Path(path).open("rb", buffering=0) as file:
        while offsets[-1] < size:
            file.seek(offsets[-1])
            header = file.read(HEADER.size)
            if len(header) < HEADER.size:
                raise DamagedRecord("file ends inside a header")
            length, crc = HEADER.unpack(header)
            if masked_crc(header[:8]) != crc:
                raise DamagedRecord(f"checksum of the header at byte {offsets[-1]}")
            offsets.append(offsets[-1] + HEADER.size + length + FOOTER.size)
    if offsets[-1] != size:
        raise DamagedRecord("file ends inside a record")
    return np.array(offsets)
