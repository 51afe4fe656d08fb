"""Writer of metrics.jsonl: one strict JSON object per line; lock of a run directory."""

import contextlib
import fcntl
import json
import logging
import math
import os
import pathlib
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from resnet_jax.errors import ConfigError, StorageError
from resnet_jax.runs.reader import LogFile, Path, read
from resnet_jax.runs.row import LogRow, Split, parse
from resnet_jax.runs.trackers import Tracker

_log = logging.getLogger(__name__)

Row = Mapping[str, object]  # Python, NumPy or JAX numbers, and text


class Log:
    """Append-only log that survives a kill at any instant; one writer at a time.

    Opening it takes out lines that are no rows of the run `run`: a torn last line is
    moved to `<name>.torn-<ns>`; for others the whole old log is kept as
    `<name>.damaged-<ns>`. `trackers` get the rows as well, and are closed with the log.
    """

    def __init__(
        self, path: Path, *, run: str | None = None, trackers: Sequence[Tracker] = ()
    ):
        self.path, self._run, self._trackers = pathlib.Path(path), run, trackers
        with _storage_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = _open(self.path)
            self._repair()

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def write(self, row: Row) -> None:
        """Append one line by one os.write; a non-finite value is null, and named.

        {"loss": nan} -> {"loss": null, "nonfinite": {"loss": "nan"}}
        """
        named = {**row, "run": self._run} if self._run else row
        line = f"{_dumps(named)}\n".encode()
        with _storage_errors(self.path):
            written = os.write(self._file, line)
        if written < len(line):
            raise StorageError(f"log={self.path}: a row was cut short; make room on it")
        for tracker in self._trackers:
            tracker.write(json.loads(_dumps(row)))

    def rows(self) -> list[LogRow]:
        """Read all rows written so far."""
        return read(self.path)[0]

    def steps(self, split: Split) -> list[int]:
        """List the steps of the rows of a split."""
        return LogFile(self.path).steps(split)

    def cut(self, step: int, *, evaluated: bool = True) -> None:
        """Drop the rows after `step`; a run resumed there writes them again.

        The evaluation of `step` itself is dropped as well if it is not `evaluated`.
        """
        lines = LogFile(self.path).good_lines()
        with _storage_errors(self.path):
            self._keep(
                line for line in lines if _kept(parse(line), step, evaluated=evaluated)
            )
        for tracker in self._trackers:
            tracker.cut(step)

    def close(self) -> None:
        os.close(self._file)
        for tracker in self._trackers:
            tracker.close()

    def _repair(self) -> None:
        """Take out lines that are no rows of this run."""
        log = LogFile(self.path, run=self._run)
        list(log.rows())  # finds all problems
        if torn := log.torn:
            tail = self.path.read_bytes().split(b"\n")[torn.line - 1]
            self._aside("torn").write_bytes(tail)
        if others := sorted(p for p in log.problems if p != torn):
            aside = self._aside("damaged")
            shutil.copyfile(self.path, aside)
            _log.warning(
                "log=%s: %s; lines taken out: %d, the old log is kept as %s",
                self.path, others[0], len(others), aside.name,
            )  # fmt: skip
        self._keep(log.good_lines())

    def _aside(self, kind: str) -> pathlib.Path:
        return self.path.with_name(f"{self.path.name}.{kind}-{time.time_ns()}")

    def _keep(self, lines: Iterable[bytes]) -> None:
        """Replace the log by these lines if it differs."""
        new = b"".join(line + b"\n" for line in lines)
        if new != self.path.read_bytes():
            _replace(self.path, new)
            os.close(self._file)
            self._file = _open(self.path)


@contextlib.contextmanager
def lock(workdir: Path) -> Iterator[None]:
    """Exclusive lock on a run directory; the kernel frees it when the process ends."""
    folder = pathlib.Path(workdir)
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        if os.fstat(file).st_size == 0:
            os.pwrite(file, b"\n", 0)  # where the disk is full, before anything is made
    except OSError as error:
        with contextlib.suppress(OSError):
            if made:
                (folder / ".lock").unlink(missing_ok=True)
            for place in made:
                place.rmdir()
        raise ConfigError(
            f"workdir={folder}: cannot be written ({error.strerror}); "
            "make room there, or name a folder that can"
        ) from error
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(file, 32).decode(errors="replace").strip()
            raise ConfigError(
                f"workdir={folder}: another run is writing here (process {owner}); "
                "wait for it, or name another workdir"
            ) from None
        with contextlib.suppress(OSError):  # only a help to others
            os.ftruncate(file, 0)
            os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(file)


def _dumps(row: Row) -> str:
    """Strict JSON of a row in one line."""
    nonfinite: dict[str, str] = {}
    finite = {k: _json_value(k, value, nonfinite) for k, value in row.items()}
    return json.dumps(
        {**finite, "nonfinite": nonfinite} if nonfinite else finite, allow_nan=False
    )


def _json_value(name: str, value: Any, nonfinite: dict[str, str]) -> Any:
    """A value for JSON; a non-finite number is None, and added to `nonfinite`."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {k: _json_value(f"{name}.{k}", v, nonfinite) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(f"{name}.{i}", v, nonfinite) for i, v in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        nonfinite[name] = str(value)
        return None
    return value


def _kept(row: LogRow, step: int, *, evaluated: bool) -> bool:
    """Tell whether a row belongs to a state of `step`; an event is no evaluation."""
    if row["step"] == step:
        return evaluated or "event" in row
    return row["step"] < step


def _open(path: pathlib.Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def _replace(path: pathlib.Path, data: bytes) -> None:
    """Replace a file atomically, and sync it to the disk."""
    new = path.with_name(f"{path.name}.tmp")
    with open(new, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def _storage_errors(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"log={path}: cannot be written ({error.strerror}); make room, or name a "
            "folder that can be"
        ) from error
