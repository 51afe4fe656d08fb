"""Checkpoints: what was saved is what comes back, bit for bit, or an error says why.

Orbax writes `<directory>/<step>/{state,meta}` in the background and renames it into
place when it is complete. Around it stand the promises that it does not make: a CRC32
of every leaf, compared on every restore; shapes and dtypes compared by name before
anything is read; and a way back to the newest checkpoint that is whole.
"""

import contextlib
import gc
import importlib.metadata
import json
import logging
import os
import pathlib
import re
import shutil
import sys
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from orbax.checkpoint.checkpoint_managers import preservation_policy

from resnet_jax.errors import CheckpointError, StorageError, UserError

PyTree = Any
Names = dict[str, str]  # of leaves: {path: shape and dtype} or {path: digest}

_log = logging.getLogger(__name__)
_PACKAGES = ("jax", "flax", "optax", "orbax-checkpoint")


class _Damaged(Exception):
    """This step cannot be read, or is not what was written."""


class Checkpoints:
    """The newest `keep` states of a run in a folder of its own: one writer at a time.

    Use it in a `with`: leaving it waits for the step that is still being written.
    With several processes, every process makes every call.
    """

    def __init__(self, directory: str | os.PathLike[str], *, keep: int = 2):
        self.directory = pathlib.Path(os.path.abspath(directory))
        self._pending: tuple[int, int] | None = None  # (step, bytes)
        _make_writable(self.directory)
        _quiet_orbax()
        options = ocp.CheckpointManagerOptions(
            preservation_policy=preservation_policy.LatestN(keep),
            cleanup_tmp_directories=True,
            save_root_metadata=False,
        )
        self._manager = ocp.CheckpointManager(self.directory, options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind, error, traceback) -> None:
        try:
            self.wait()
        except StorageError as failure:
            if error is None:
                raise
            _log.error("%s", failure)  # the first error is the one to be raised
        finally:
            with contextlib.suppress(Exception):  # wait has told of it already
                self._manager.close()

    def save(self, step: int, state: PyTree, *, meta: dict[str, Any]) -> None:
        """Starts to write `state`; returns as soon as it may be changed or donated.

        A step that is already there is left alone. StorageError where the disk is full
        or broken, of this step or of the one before it, which ends here.
        """
        step = int(step)
        if step == self._manager.latest_step():
            return
        size = sum(getattr(leaf, "nbytes", 8) for leaf in jax.tree.leaves(state))
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            meta=ocp.args.JsonSave(_seal(meta, state)),
        )
        self.wait()
        self._pending = (step, size)
        with self._storage_errors():
            started = self._manager.save(step, args=args)
        if not started:
            self._pending = None
            raise CheckpointError(
                f"checkpoints={self.directory}: step {step} was not written, because "
                f"step {self._manager.latest_step()} there is newer; move that one away"
            )

    def wait(self) -> None:
        """Returns when the last step is on disk; StorageError if it never will be."""
        if self._pending is None:
            return
        with self._storage_errors():
            self._manager.wait_until_finished()
        self._pending = None

    def restore(self, abstract_state: PyTree) -> tuple[PyTree, dict[str, Any]] | None:
        """As `restore`; damaged steps above the one found become `corrupt-<step>`.

        Orbax would take every later save for an old one and not write it.
        """
        self.wait()
        found, damaged = _newest_whole(self.directory, abstract_state)
        if damaged:
            if jax.process_index() == 0:
                for step, cause in damaged.items():
                    _quarantine(self.directory, step, cause)
            multihost_utils.sync_global_devices("damaged checkpoints renamed")
            self._manager.reload()
        return found

    def discard_after(self, step: int) -> None:
        """Removes later steps, which a run resumed at `step` will write again."""
        self.wait()
        later = [other for other in _steps(self.directory) if other > step]
        multihost_utils.sync_global_devices("later checkpoints listed")
        for other in later:
            self._manager.delete(other)

    def latest_step(self) -> int | None:
        """Newest finished step in the folder; `restore` tells whether it is whole."""
        return max(_steps(self.directory), default=None)

    def reached_preemption(self, step: int) -> bool:
        """Whether the processes of a distributed run agreed to stop at this step.

        Always False for a run of one process, which handles SIGTERM itself.
        """
        return self._manager.reached_preemption(step)

    @contextlib.contextmanager
    def _storage_errors(self) -> Iterator[None]:
        """Tells a failed write as a StorageError.

        What it left is removed when the folder is opened again: until the process ends,
        threads of orbax may still be writing it.
        """
        try:
            yield
        except Exception as error:
            step, size = self._pending
            self._pending = None
            if (cause := _storage_cause(error)) is None:
                raise
            free = shutil.disk_usage(self.directory).free / 2**20
            raise StorageError(
                f"checkpoints={self.directory}: step {step} could not be written "
                f"({cause}; about {size / 2**20:.1f} MiB needed, {free:.1f} MiB free); "
                f"last good step: {self.latest_step()}; make room and run the same "
                "command again"
            ) from error


def restore(
    directory: str | os.PathLike[str], abstract_state: PyTree
) -> tuple[PyTree, dict[str, Any]] | None:
    """Newest whole (state, meta) of a folder that is only read; None if it has none.

    `abstract_state`: jax.ShapeDtypeStruct leaves with the shardings wanted (any number
    of devices, whatever wrote it), plain numbers where the state holds plain numbers.
    CheckpointError: names every leaf that differs; or there are steps, but none whole.
    """
    _quiet_orbax()
    directory = pathlib.Path(os.path.abspath(directory))
    found, damaged = _newest_whole(directory, abstract_state)
    for step, cause in damaged.items():
        _log.warning("%s; an older step is read", _told(directory, step, cause))
    return found


def _newest_whole(directory, abstract_state):
    """((state, meta) or None, {damaged step above it: cause}); changes nothing."""
    target = jax.tree.map(_placed, abstract_state)
    damaged = {}
    for step in sorted(_steps(directory), reverse=True):
        try:
            return _read(directory / str(step), target), damaged
        except _Damaged as error:
            damaged[step] = str(error)
    if damaged or list(directory.glob("corrupt-*")):
        causes = "; ".join(f"step {step}: {cause}" for step, cause in damaged.items())
        raise CheckpointError(
            f"checkpoints={directory}: none of the checkpoints can be used "
            f"({causes or 'all were found damaged before'}); put a good one back, or "
            "remove the folder to start from step 0"
        )
    return None, damaged


def _read(path: pathlib.Path, target: PyTree) -> tuple[PyTree, dict[str, Any]]:
    """(state, meta) of one step, every leaf verified; _Damaged, or CheckpointError."""
    args = ocp.args
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as reader:
        asked = args.Composite(meta=args.JsonRestore())
        sealed = _together(lambda: _unseal(reader.restore(path, args=asked).meta))
        _check_same(path, sealed["kinds"], _kinds(target))
        asked = args.Composite(state=args.StandardRestore(target))
        state = _together(lambda: reader.restore(path, args=asked).state)
    _together(lambda: _check_digests(sealed["crc32"], _digests(state)))
    if (then := sealed["versions"]) != (now := _versions()):
        _log.warning(
            "checkpoints=%s: written with %s; now %s: later steps may differ in bits",
            path,
            ", ".join(f"{name} {then[name]}" for name in then),
            ", ".join(f"{name} {now[name]}" for name in now),
        )
    return state, sealed["meta"]


def _check_same(path: pathlib.Path, stored: Names, wanted: Names) -> None:
    """CheckpointError that lists every leaf whose presence, shape or dtype differs."""
    differing = [
        f"{name}: checkpoint {stored.get(name, 'absent')}, "
        f"model {wanted.get(name, 'absent')}"
        for name in sorted(stored.keys() | wanted.keys())
        if stored.get(name) != wanted.get(name)
    ]
    if differing:
        raise CheckpointError(
            f"checkpoints={path}: not the state of this config, {len(differing)} "
            f"leaves differ: {'; '.join(differing)}; use the config that wrote it, or "
            "another workdir"
        )


def _check_digests(stored: Names, read: Names) -> None:
    wrong = [name for name in stored if stored[name] != read[name]]
    if wrong:
        raise _Damaged(f"CRC32 differs in {', '.join(wrong)}")


def _together(read: Callable[[], Any]) -> Any:
    """What `read` gives, if it succeeds on all processes; else _Damaged on all.

    No process may go on to the next collective call while another has given up.
    """
    cause = None
    with _hushed():
        try:
            value = read()
        except (UserError, MemoryError, jax.errors.JaxRuntimeError):
            raise  # says nothing about the files
        except Exception as error:
            cause = _one_line(error)
        if cause:
            gc.collect()  # which is when asyncio tells it
    whole = cause is None
    if jax.process_count() > 1:
        whole = bool(multihost_utils.process_allgather(np.array(whole)).all())
    if not whole:
        raise _Damaged(cause or "unreadable on another process")
    return value


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Hides what asyncio says of the tasks that orbax abandons when a read fails."""
    log = logging.getLogger("asyncio")
    before = log.disabled, sys.unraisablehook
    log.disabled, sys.unraisablehook = True, lambda unraisable: None
    try:
        with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
            yield
    finally:
        log.disabled, sys.unraisablehook = before


def _named(tree: PyTree) -> dict[str, Any]:
    """{"params/stage1/first/branch/conv1/kernel": leaf, ...}"""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def _kinds(tree: PyTree) -> dict[str, str]:
    """What every leaf is: "(3, 3, 16, 16) float32", or "int" for a plain number."""

    def kind(leaf):
        if not hasattr(leaf, "dtype"):
            return type(leaf).__name__
        return f"{tuple(leaf.shape)} {leaf.dtype}"

    return {name: kind(leaf) for name, leaf in _named(tree).items()}


def _digests(tree: PyTree) -> dict[str, str]:
    """CRC32 of the bytes of every leaf, whatever devices and processes hold it."""
    values = jax.device_get({name: _whole(x) for name, x in _named(tree).items()})
    return {name: _crc32(np.asarray(value)) for name, value in values.items()}


def _whole(leaf: Any) -> Any:
    """The leaf as this process can read it; a collective call if others hold a part."""
    if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable:
        return leaf
    if leaf.is_fully_replicated:
        return leaf.addressable_data(0)
    return multihost_utils.process_allgather(leaf, tiled=True)


def _crc32(value: np.ndarray) -> str:
    # viewed as bytes, because bfloat16 has no buffer of its own
    return f"{zlib.crc32(np.ascontiguousarray(value).reshape(-1).view(np.uint8)):08x}"


def _seal(meta: dict[str, Any], state: PyTree) -> dict[str, Any]:
    """What is stored beside the state, with a CRC32 of its own."""
    sealed = {
        "meta": json.loads(json.dumps(meta, allow_nan=False)),
        "kinds": _kinds(state),
        "crc32": _digests(state),
        "versions": _versions(),
    }
    return {**sealed, "seal": _seal_of(sealed)}


def _unseal(stored: dict[str, Any]) -> dict[str, Any]:
    """What `_seal` made; _Damaged where a bit of it has changed."""
    sealed = {name: value for name, value in stored.items() if name != "seal"}
    if stored.get("seal") != _seal_of(sealed):
        raise _Damaged("CRC32 differs in meta")
    return sealed


def _seal_of(sealed: dict[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(sealed, sort_keys=True).encode()):08x}"


def _placed(leaf: Any) -> Any:
    """An abstract leaf with a sharding; refuses one that cannot hold the shape."""
    if not hasattr(leaf, "dtype"):
        return leaf
    sharding = getattr(leaf, "sharding", None)
    if sharding is None:
        sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    sharding.shard_shape(leaf.shape)  # before a file could be blamed for it
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _steps(directory: pathlib.Path) -> list[int]:
    """Steps that orbax finished, sorted; it renames a folder only when complete."""
    if not directory.is_dir():
        return []
    names = (path.name for path in directory.iterdir() if path.is_dir())
    return sorted(int(name) for name in names if re.fullmatch(r"0|[1-9]\d*", name))


def _told(directory: pathlib.Path, step: int, cause: str) -> str:
    return f"checkpoints={directory}: STEP {step} IS DAMAGED ({cause})"


def _quarantine(directory: pathlib.Path, step: int, cause: str) -> None:
    name = f"corrupt-{step}"
    if (directory / name).exists():
        name = f"{name}.{time.time_ns()}"
    os.rename(directory / str(step), directory / name)
    _log.warning("%s: renamed to %s", _told(directory, step, cause), name)


def _make_writable(directory: pathlib.Path) -> None:
    """Makes the folder now: a run must not learn at its first save that it cannot."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
    except OSError as error:
        raise StorageError(
            f"checkpoints={directory}: cannot be written ({error.strerror}); "
            "name a folder that can"
        ) from error


def _storage_cause(error: BaseException | None) -> str | None:
    """What the system said of a failed write; None where it was no matter of storage.

    TensorStore tells it in words only: "... [os_error_code='28']".
    """
    while error is not None:
        code = re.search(r"os_error_code='(\d+)'", str(error))
        if code:
            return os.strerror(int(code[1]))
        if isinstance(error, OSError) and error.errno:
            return os.strerror(error.errno)
        error = error.__cause__
    return None


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else f"{text[:157]}..."


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in _PACKAGES}


def _not_orbax(record: logging.LogRecord) -> bool:
    return "orbax" not in pathlib.PurePath(record.pathname).parts


def _quiet_orbax() -> None:
    """Hides orbax's own log: whatever matters of it is raised, or said here once."""
    logging.getLogger("absl").addFilter(_not_orbax)
