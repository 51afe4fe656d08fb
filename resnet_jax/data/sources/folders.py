"""Prepared tfds folders: location, and preparation by one process at a time."""

import contextlib
import errno
import fcntl
import io
import logging
import os
import pathlib
import re
from collections.abc import Iterator

from resnet_jax.errors import ConfigError, DataError, StorageError
from resnet_jax.paths import remote

log = logging.getLogger(__name__)

VERSION = re.compile(r"\d+\.\d+\.\d+")
NAME = re.compile(r"(?P<name>\w+)(/(?P<config>[\w.+-]+))?(:(?P<version>[\d.]+))?")


def root(directory: str | os.PathLike | None = None) -> pathlib.Path:
    """Resolve the tfds folder: as given, TFDS_DATA_DIR or ~/tensorflow_datasets.

    ConfigError for a remote address: records are read at random from local files.
    """
    field, default = "data.dir", os.environ.get("TFDS_DATA_DIR")
    if not directory and default:
        field, directory = "TFDS_DATA_DIR", default
    if directory and remote(directory):
        raise ConfigError(
            f"{field}={os.fspath(directory)}: is a remote address, and data are read"
            " from a folder; mount it, for example with gcsfuse or mount-s3, and name"
            " the folder where it is mounted"
        )
    return pathlib.Path(directory or "~/tensorflow_datasets").expanduser().absolute()


def find(name: str, *, directory: pathlib.Path) -> pathlib.Path | None:
    """Find the folder of `name[/config][:version]`, by default the newest version."""
    match = NAME.fullmatch(name)
    if match is None:
        raise ConfigError(
            f"data.name={name!r}: must be NAME, NAME/CONFIG or NAME:VERSION,"
            " for example 'cifar10' or 'imagenet2012:5.1.0'"
        )
    folder = directory / match["name"] / (match["config"] or "")
    if match["version"]:
        versions = [folder / match["version"]]
    else:
        # A killed tfds leaves "1.0.0.incompleteX" behind.
        versions = [v for v in folder.glob("*") if VERSION.fullmatch(v.name)]
    prepared = [v for v in versions if (v / "dataset_info.json").is_file()]
    if prepared:
        return max(prepared, key=_version)
    configs = sorted({p.parts[-3] for p in folder.glob("*/*.*.*/dataset_info.json")})
    if configs and not match["config"]:
        raise ConfigError(
            f"data.name={name!r}: {folder} holds the configs {', '.join(configs)};"
            f" name one, for example '{match['name']}/{configs[0]}'"
        )
    return None


def _version(folder: pathlib.Path) -> tuple[int, ...]:
    return tuple(int(part) for part in folder.name.split("."))


@contextlib.contextmanager
def locked(name: str, *, directory: pathlib.Path) -> Iterator[None]:
    """Let one process at a time prepare `name`, while others wait for its result."""
    path, existed = directory / f".{name}.lock", directory.exists()
    with writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
        lock = open(path, "w")  # noqa: SIM115, closed below
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield
        except DataError:
            if not existed:  # a mistyped folder leaves nothing behind
                path.unlink(missing_ok=True)
                with contextlib.suppress(OSError):
                    directory.rmdir()
            raise


@contextlib.contextmanager
def writing(directory: pathlib.Path) -> Iterator[None]:
    """Turn errors of writing a folder into StorageError."""
    try:
        yield
    except OSError as error:
        room = error.errno in (errno.ENOSPC, errno.EDQUOT)
        way = "free some space, or name" if room else "name"
        raise StorageError(
            f"data.dir={directory}: cannot be written ({error.strerror or error});"
            f" {way} another folder in data.dir"
        ) from error


def prepare(builder) -> pathlib.Path:
    """Prepare a tfds builder as array_record, without network access or output."""
    import tensorflow_datasets as tfds

    folder = pathlib.Path(builder.data_dir)
    log.info("preparing %s in %s", builder.name, folder)
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    # tfds prints to stdout, where commands print their results.
    with contextlib.redirect_stdout(io.StringIO()), writing(folder):
        tfds.disable_progress_bar()
        try:
            builder.download_and_prepare(
                file_format="array_record", download_config=config
            )
        finally:
            tfds.enable_progress_bar()
    return folder


def damaged(folder: pathlib.Path, error: BaseException) -> DataError:
    """Make the error for a prepared folder that tfds cannot read."""
    return DataError(
        f"{folder}: damaged or incomplete ({first_line(error)});"
        " delete the folder and prepare it again"
    )


def first_line(error: BaseException) -> str:
    """Shorten an error of another library to one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return ": ".join([type(error).__name__, *(line[:200] for line in lines[:1])])
