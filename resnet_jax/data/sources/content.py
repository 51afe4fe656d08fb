"""Content of a prepared data set: its shards on disk, and a digest of them."""

import dataclasses
import hashlib
import os
from collections.abc import Sequence

from resnet_jax.errors import DataError

WHOLE = 2**28  # bytes of a data set whose shards are read whole for the digest
EDGE = 2**16  # bytes read at each end of a shard of a larger data set
DIGITS = 16  # hexadecimal digits of a digest


@dataclasses.dataclass(frozen=True)
class Content:
    """Features of a data set and the shards of the splits that are read."""

    features: str
    files: tuple[str, ...]

    def digest(self) -> str:
        """Digest of the features and shards, in hexadecimal.

        dataset_info.json has lengths, but no checksum, so the shards themselves are
        read: whole up to WHOLE bytes together, otherwise EDGE bytes at both ends of
        each, besides its size. A change inside a large shard that keeps its size is not
        noticed. The bytes depend on the versions of the libraries that wrote them: a
        data set that is prepared again may have another digest.
        """
        sizes = [os.path.getsize(path) for path in self.files]
        edge = None if sum(sizes) <= WHOLE else EDGE
        digest = hashlib.sha256(self.features.encode())
        for path, size in zip(self.files, sizes, strict=True):
            digest.update(f"\n{os.path.basename(path)} {size}\n".encode())
            digest.update(_checksum(path, size=size, edge=edge))
        return digest.hexdigest()[:DIGITS]


def _checksum(path: str, *, size: int, edge: int | None) -> bytes:
    """SHA-256 of a file, or of the bytes at its two ends."""
    with open(path, "rb") as file:
        if edge is None or size <= 2 * edge:
            return hashlib.file_digest(file, "sha256").digest()
        first = file.read(edge)
        file.seek(size - edge)
        return hashlib.sha256(first + file.read(edge)).digest()


def check_shards(split: str, files: Sequence[str], lengths: Sequence[int]) -> None:
    """DataError where a shard of a split is missing or empty."""
    for path, length in zip(files, lengths, strict=True):
        try:
            problem = "is empty" if length and not os.path.getsize(path) else None
        except OSError as error:
            problem = f"cannot be read ({error.strerror})"
        if problem:
            raise DataError(
                f"{path}: shard of split {split!r} {problem}; restore the file, or"
                f" delete {os.path.dirname(path)} and prepare the data set again"
            )
