"""Folder of checkpoints: its steps, and damaged ones."""

import logging
import os
import pathlib
import re
import tempfile
import time

from resnet_jax.errors import StorageError

_log = logging.getLogger(__name__)


def steps_in(directory: pathlib.Path) -> list[int]:
    """List the finished steps in order; orbax renames a folder only when complete."""
    if not directory.is_dir():
        return []
    names = (path.name for path in directory.iterdir() if path.is_dir())
    return sorted(int(name) for name in names if re.fullmatch(r"0|[1-9]\d*", name))


def damage(directory: pathlib.Path, step: int, cause: str) -> str:
    return f"checkpoints={directory}: STEP {step} IS DAMAGED ({cause})"


def quarantine(directory: pathlib.Path, step: int, cause: str) -> None:
    name = f"corrupt-{step}"
    if (directory / name).exists():
        name = f"{name}.{time.time_ns()}"
    os.rename(directory / str(step), directory / name)
    _log.warning("%s: renamed to %s", damage(directory, step, cause), name)


def make_writable(directory: pathlib.Path) -> None:
    """Create the folder and test it, so that a run does not fail at its first save."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
    except OSError as error:
        raise StorageError(
            f"checkpoints={directory}: cannot be written ({error.strerror}); "
            "name a folder that can"
        ) from error


def storage_cause(error: BaseException | None) -> str | None:
    """System's message for a failed write; None where storage did not fail.

    TensorStore reports the code in its message only: "... [os_error_code='28']".
    """
    while error is not None:
        code = re.search(r"os_error_code='(\d+)'", str(error))
        if code:
            return os.strerror(int(code[1]))
        if isinstance(error, OSError) and error.errno:
            return os.strerror(error.errno)
        error = error.__cause__
    return None


def room(directory: pathlib.Path, size: int) -> str:
    """Room on the disk of a folder, beside the bytes that are needed."""
    disk = os.statvfs(directory)
    free = disk.f_frsize * disk.f_bavail / 2**20
    if disk.f_files and not disk.f_favail:
        return "no inodes are free: there are too many files"
    return f"about {size / 2**20:.1f} MiB needed, {free:.1f} MiB free"
