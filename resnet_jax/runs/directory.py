"""Run directory: config.json, env.json, and a check that it can be written."""

import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import secrets
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


RESTART = "begin again with --restart, which keeps the old files aside"
CUT = "cut.json"  # of a run that began with a cut network: what was cut
ASIDE = "before-"  # start of the name of a folder with the files of an earlier run


def check_writable(folder: pathlib.Path) -> None:
    """ConfigError where a run could not be saved; creates nothing."""
    existing = folder
    while not os.path.exists(existing):  # False without permission, too
        if os.path.islink(existing):
            raise ConfigError(
                f"workdir={folder}: {existing} is a link to {os.readlink(existing)}, "
                "which is not there; make that folder, or name another"
            )
        existing = existing.parent
    if not existing.is_dir():
        raise ConfigError(f"workdir={folder}: {existing} is a file; name a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ConfigError(f"workdir={folder}: {existing} cannot be written")


def read_json(path: pathlib.Path) -> dict[str, Any] | None:
    """The object in a file; None without the file, else CheckpointError."""
    try:
        content = json.loads(path.read_text())
        if not isinstance(content, dict):
            raise ValueError("not a JSON object")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error}); put it back, or {RESTART}"
        ) from error
    return content


def write_json(
    path: pathlib.Path, tree: Mapping[str, Any], *, indent: int | None = 1
) -> None:
    """Write a file atomically; StorageError where it cannot be written."""
    new = path.with_name(f"{path.name}.tmp")
    try:
        new.write_text(json.dumps(tree, indent=indent, allow_nan=False) + "\n")
        os.replace(new, path)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror})") from error


class StoredConfig(NamedTuple):
    """Content of config.json in today's schema, and what was derived from it.

    `unread`: complaints about fields of an older version that nothing read. `run`: the
    id of the run; older versions gave none.
    """

    tree: dict[str, Any]
    derived: dict[str, Any]
    unread: list[str]
    run: str | None = None

    def located(self, folder: pathlib.Path) -> dict[str, Any]:
        """The tree, its `model.file` that of the run's folder where it is there."""
        model = self.tree["model"]
        if not (folder / model.get("file", "")).is_file():
            return self.tree
        return self.tree | {"model": model | {"file": str(folder / model["file"])}}


def read_config(folder: pathlib.Path) -> StoredConfig | None:
    """The config of the run in a folder, of any schema version; None without one."""
    found = read_json(folder / "config.json")
    if found is None:
        return None
    derived, run = found.pop("derived", {}), found.pop("run", None)
    try:
        tree, unread = migrated(found)
    except ConfigError as error:
        raise CheckpointError(f"{folder}/config.json: {error}") from error
    return StoredConfig(tree, derived, unread, run)


def write_config(
    folder: pathlib.Path, config: Config, derived: Mapping[str, Any], *, run: str
) -> None:
    """config.json: id of the run, fields, and what was derived from them and the data.

    The id is in every row of the log and in every checkpoint as well.
    """
    tree = {"schema": VERSION, "run": run} | config.to_dict()
    write_json(folder / "config.json", tree | {"derived": dict(derived)})


def new_id() -> str:
    """A random id of a run, 16 hexadecimal digits."""
    return secrets.token_hex(8)


def set_aside(folder: pathlib.Path) -> pathlib.Path | None:
    """Move all that a folder holds to a new folder in it; None if it holds nothing.

    The lock stays, which this process holds.
    """
    found = folder.iterdir() if folder.is_dir() else ()
    held = [path for path in found if not path.name.startswith((".lock", ASIDE))]
    if not held:
        return None
    now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S")
    aside = folder / f"{ASIDE}{now}"
    try:
        aside.mkdir()
        for path in held:
            path.rename(aside / path.name)
    except OSError as error:
        raise StorageError(f"{aside}: cannot be written ({error.strerror})") from error
    return aside


def record_environment(
    folder: pathlib.Path, devices: Mapping[str, Any], *, command: str = "main"
) -> None:
    """Write the environment to env.json, under `resumed` for a resumed run.

    `devices`: platform, devices and processes as jax reports them.
    """
    now, path = environment(devices, command=command), folder / "env.json"
    first = read_json(path)
    resumed = [] if first is None else [*first.get("resumed", ()), now]
    write_json(path, (first or now) | {"resumed": resumed})


def environment(devices: Mapping[str, Any], *, command: str = "main") -> dict[str, Any]:
    """Command, commit, versions and devices, from which a run can be repeated."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return {
        "command": ["python", "-m", f"resnet_jax.{command}", *sys.argv[1:]],
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
    """The commit of the code, marked dirty where files differ; None without git."""
    describe = ["git", "describe", "--always", "--dirty", "--abbrev=40"]
    folder = pathlib.Path(__file__).parent
    try:
        done = subprocess.run(
            describe, cwd=folder, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
