"""The folder of a run: what it holds, and whether a config may go on there."""

import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from resnet_jax.config.migrate import migrated
from resnet_jax.config.schema import VERSION, Config
from resnet_jax.errors import CheckpointError, ConfigError, StorageError

PACKAGES = (
    "resnet_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain",
    "tensorflow-datasets", "array_record", "numpy", "ml-collections",
)  # fmt: skip


def check_writable(folder: pathlib.Path) -> None:
    """ConfigError where a run could not be kept; creates nothing."""
    existing = folder
    while not os.path.exists(existing):  # False as well where it may not be asked
        existing = existing.parent
    if not existing.is_dir():
        raise ConfigError(f"workdir={folder}: {existing} is a file; name a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ConfigError(f"workdir={folder}: {existing} cannot be written")


def read_json(path: pathlib.Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error}); move the folder away"
        ) from error


def write_json(path: pathlib.Path, tree: Mapping[str, Any]) -> None:
    """All of it or nothing."""
    new = path.with_name(f"{path.name}.tmp")
    try:
        new.write_text(json.dumps(tree, indent=1, allow_nan=False) + "\n")
        os.replace(new, path)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror})") from error


class Stored(NamedTuple):
    """What config.json says: the config as a tree of today, and what followed of it.

    unread: complaints about fields of an older version that nothing read.
    """

    tree: dict[str, Any]
    derived: dict[str, Any]
    unread: list[str]


def read_config(folder: pathlib.Path) -> Stored | None:
    """The config of the run in a folder, of any version; None without one."""
    found = read_json(folder / "config.json")
    if found is None:
        return None
    derived = found.pop("derived", {})
    try:
        tree, unread = migrated(found)
    except ConfigError as error:
        raise CheckpointError(f"{folder}/config.json: {error}") from error
    return Stored(tree, derived, unread)


def write_config(
    folder: pathlib.Path, config: Config, derived: Mapping[str, Any]
) -> None:
    """config.json: the fields, and what was derived from them and the data."""
    tree = {"schema": VERSION} | config.to_dict() | {"derived": dict(derived)}
    write_json(folder / "config.json", tree)


def keep_environment(folder: pathlib.Path, devices: Mapping[str, Any]) -> None:
    """env.json: the environment of the first start, and of each that resumed it.

    `devices`: what jax says of platform, devices and processes.
    """
    now, path = environment(devices), folder / "env.json"
    kept = read_json(path)
    if kept is None:
        write_json(path, now | {"resumed": []})
    else:
        write_json(path, kept | {"resumed": [*kept["resumed"], now]})


def environment(devices: Mapping[str, Any]) -> dict[str, Any]:
    """Versions, devices, command: all that one needs to run the same thing again."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return {
        "command": ["python", "-m", "resnet_jax.main", *sys.argv[1:]],
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        **devices,
        "cpu_count": cores or os.cpu_count(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the code, marked where files differ from it."""
    describe = ["git", "describe", "--always", "--dirty", "--abbrev=40"]
    folder = pathlib.Path(__file__).parent
    try:
        done = subprocess.run(
            describe, cwd=folder, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
