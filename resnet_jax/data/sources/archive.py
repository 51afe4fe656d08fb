"""Original archive of a data set: a verified local copy or download."""

import dataclasses
import hashlib
import http.client
import logging
import os
import pathlib
import tarfile
import threading
import urllib.request
from collections.abc import Iterator, Mapping

import tqdm

from resnet_jax.data.sources import folders
from resnet_jax.errors import DataError

log = logging.getLogger(__name__)

TIMEOUT = 5.0  # seconds to connect, and between two chunks
CHUNK = 1 << 20


@dataclasses.dataclass(frozen=True)
class Archive:
    """File on the web with its size and checksum."""

    url: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[-1]

    def places(self, directory: pathlib.Path) -> list[pathlib.Path]:
        """List the paths searched for a copy; a download goes to the first."""
        downloads = directory / "downloads"
        folder = [downloads, directory, downloads / "manual"]
        return [place / self.name for place in folder]

    def obtain(self, directory: pathlib.Path) -> pathlib.Path:
        """Find a local copy or download one, and verify it."""
        for place in self.places(directory):
            if place.is_file():
                self.verify(place)
                return place
        return self._download(directory)

    def verify(self, path: pathlib.Path) -> None:
        """Compare size and SHA-256 of a file; DataError where they differ."""
        size = path.stat().st_size
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if (size, digest) != (self.size, self.sha256):
            raise DataError(
                f"{path}: {size} bytes with sha256 {digest}, must be {self.size} bytes"
                f" with sha256 {self.sha256}; delete it and get it again"
            )

    def _download(self, directory: pathlib.Path) -> pathlib.Path:
        target = self.places(directory)[0]
        part = target.with_name(f"{target.name}.{os.getpid()}.part")
        response = self._connect(directory)
        with folders.writing(directory):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._receive(response, part, directory)
                self.verify(part)
                os.replace(part, target)
            finally:
                part.unlink(missing_ok=True)
        return target

    def _connect(self, directory: pathlib.Path) -> http.client.HTTPResponse:
        """Open the URL on a thread, as name resolution has no timeout."""
        answer: list[http.client.HTTPResponse | Exception] = []

        def ask():
            try:
                answer.append(urllib.request.urlopen(self.url, timeout=TIMEOUT))
            except (OSError, http.client.HTTPException) as error:
                answer.append(error)

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(2 * TIMEOUT)
        if not answer or isinstance(answer[0], Exception):
            raise self._missing(directory, answer[0] if answer else "no answer")
        return answer[0]

    def _receive(self, response, part: pathlib.Path, directory: pathlib.Path) -> None:
        log.info("downloading %s", self.url)
        bar = tqdm.tqdm(
            total=self.size, desc=self.name, unit="B", unit_scale=True, disable=None
        )
        received = 0
        with response, open(part, "wb") as file, bar:
            # At most one chunk beyond the size: a server is not trusted to stop.
            while received <= self.size:
                try:
                    chunk = response.read(CHUNK)
                except (OSError, http.client.HTTPException) as error:
                    raise self._missing(directory, error) from error
                if not chunk:
                    break
                file.write(chunk)
                received += len(chunk)
                bar.update(len(chunk))

    def _missing(self, directory: pathlib.Path, cause: object) -> DataError:
        return DataError(
            f"data.dir={directory}: holds neither the data set nor {self.name}, and"
            f" {self.url} cannot be read ({cause}); place the archive in"
            f" {self.places(directory)[0].parent}, or set data.dir to a tfds folder"
            " that holds the prepared data set"
        )


def members(
    path: pathlib.Path, sizes: Mapping[str, int]
) -> Iterator[tuple[str, bytes]]:
    """Read named regular files of a tar.gz into memory, in the archive's order.

    Nothing is unpacked, so that a hostile path or link can write nowhere. `sizes`: the
    size of each file in bytes, or 0 to accept up to 64 KiB.
    """
    seen = set()
    try:
        with tarfile.open(path, "r:gz") as tar:
            for member in tar:
                if member.name not in sizes or not member.isfile():
                    continue
                size = sizes[member.name]
                if member.size != size and not (size == 0 and member.size <= 1 << 16):
                    raise DataError(
                        f"{path}: {member.name} has {member.size} bytes, must be {size}"
                    )
                file = tar.extractfile(member)
                assert file is not None  # of a regular file
                seen.add(member.name)
                yield member.name, file.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f"{path}: no readable tar.gz ({error})") from error
    if missing := sorted(set(sizes) - seen):
        raise DataError(f"{path}: holds no {missing[0]}")
