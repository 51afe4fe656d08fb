"""Checkpoints that restore bit for bit, or raise an error.

Orbax writes `<directory>/<step>/{state,meta}` in the background and renames it into
place when it is complete. This module adds a CRC32 of every leaf, compared on every
restore; shapes and dtypes compared by name before anything is read; and a fallback to
the newest intact checkpoint.
"""

import contextlib
import gc
import logging
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from jaxtyping import PyTree
from orbax.checkpoint.checkpoint_managers import preservation_policy

from resnet_jax.errors import CheckpointError, StorageError, UserError
from resnet_jax.paths import Tree
from resnet_jax.runs.directory import RESTART
from resnet_jax.train import manifest, orbax_logging
from resnet_jax.train.checkpoint_folder import (
    damage,
    make_writable,
    quarantine,
    room,
    steps_in,
    storage_cause,
)
from resnet_jax.train.state import TrainState

_log = logging.getLogger(__name__)
Refusal: TypeAlias = Callable[[int, Tree], str | None]


class _Manager(ocp.CheckpointManager):
    """Orbax's manager, which leaves preemption to `train.preemption`.

    Its own questions would count as calls of JAX's preemption service, whose calls must
    be numbered one after another.
    """

    def reached_preemption(self, step: int) -> bool:
        return False


class Checkpoints:
    """The newest `keep` checkpoints of a run in one folder, with a single writer.

    Leaving its `with` waits for the step that is still being written. With several
    processes, every process makes every call.
    """

    def __init__(self, directory: str | os.PathLike[str], *, keep: int = 2):
        self.directory = pathlib.Path(os.path.abspath(directory))
        self._pending: tuple[int, int] | None = None  # (step, bytes)
        make_writable(self.directory)
        orbax_logging.silence_orbax()
        options = ocp.CheckpointManagerOptions(
            preservation_policy=preservation_policy.LatestN(keep),
            cleanup_tmp_directories=True,
            save_root_metadata=False,
        )
        self._manager = _Manager(self.directory, options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind, error, traceback) -> None:
        try:
            self.wait()
        except StorageError as failure:
            if error is None:
                raise
            _log.error("%s", failure)  # the first error is the one raised
        finally:
            with contextlib.suppress(Exception):  # `wait` has raised it already
                self._manager.close()

    def save(self, step: int, state: PyTree, *, meta: Mapping[str, object]) -> None:
        """Start to write `state`; return as soon as it may be changed or donated.

        An existing step is not written again. Waits for the previous step. StorageError
        where the disk is full or broken, for either step.
        """
        step = int(step)
        if step == self._manager.latest_step():
            return
        size = sum(getattr(leaf, "nbytes", 8) for leaf in jax.tree.leaves(state))
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            meta=ocp.args.JsonSave(manifest.seal(meta, state)),
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
        """Wait until the last step is on disk; StorageError if writing it failed."""
        if self._pending is None:
            return
        with self._storage_errors():
            self._manager.wait_until_finished()
        self._pending = None

    def restore(
        self, abstract_state: PyTree, *, refuse: Refusal | None = None
    ) -> tuple[PyTree, Tree] | None:
        """Restore as the function `restore`; rename damaged steps `corrupt-<step>`.

        Else Orbax would not write later saves, as older than a damaged step.
        `refuse(step, meta)` gives the reason why a step cannot be used, or None.
        """
        self.wait()
        found, damaged = _newest_intact(self.directory, abstract_state, refuse)
        if damaged:
            if jax.process_index() == 0:
                for step, cause in damaged.items():
                    quarantine(self.directory, step, cause)
            multihost_utils.sync_global_devices("damaged checkpoints renamed")
            self._manager.reload()
        return found

    def discard_after(self, step: int) -> None:
        """Remove later steps, which a run resumed at `step` will write again."""
        self.wait()
        later = [other for other in steps_in(self.directory) if other > step]
        multihost_utils.sync_global_devices("later checkpoints listed")
        for other in later:
            self._manager.delete(other)

    def latest_step(self) -> int | None:
        """Newest finished step in the folder, intact or not."""
        return max(steps_in(self.directory), default=None)

    @contextlib.contextmanager
    def _storage_errors(self) -> Iterator[None]:
        """Turn a failed write into StorageError.

        Its files go when the folder is next opened, as orbax may write until then.
        """
        try:
            yield
        except Exception as error:
            assert self._pending is not None  # a step is being written
            step, size = self._pending
            self._pending = None
            if (cause := storage_cause(error)) is None:
                raise
            orbax_logging.silence_stderr_at_exit()
            if not self.directory.exists():
                raise StorageError(
                    f"checkpoints={self.directory}: was removed while the run wrote "
                    f"step {step}; run the same command again to begin anew"
                ) from error
            raise StorageError(
                f"checkpoints={self.directory}: step {step} could not be written "
                f"({cause}; {room(self.directory, size)}); "
                f"last good step: {self.latest_step()}; make room and run the same "
                "command again"
            ) from error


def restore(
    directory: str | os.PathLike[str], abstract_state: PyTree
) -> tuple[PyTree, Tree] | None:
    """Restore the newest intact (state, meta), read-only; None without checkpoints.

    `abstract_state`: jax.ShapeDtypeStruct leaves with the target shardings, which need
    not be those that were saved, and plain numbers where the state holds plain numbers.
    CheckpointError where leaves differ, naming each, or where all steps are damaged.
    """
    orbax_logging.silence_orbax()
    directory = pathlib.Path(os.path.abspath(directory))
    found, damaged = _newest_intact(directory, abstract_state, None)
    for step, cause in damaged.items():
        _log.warning("%s; an older step is read", damage(directory, step, cause))
    return found


def _newest_intact(directory, abstract_state, refuse):
    """Find ((state, meta) or None, {newer damaged step: cause}); read-only."""
    target = jax.tree.map(_with_sharding, abstract_state)
    damaged, refused = {}, {}
    for step in sorted(steps_in(directory), reverse=True):
        try:
            found = _read(directory / str(step), target)
        except manifest.Damaged as error:
            damaged[step] = str(error)
            continue
        reason = _reason(refuse and refuse(step, found[1]))
        if reason is None:
            for step, reason in refused.items():
                _log.warning("%s; an older checkpoint than %d is used", reason, step)
            return found, damaged
        refused[step] = reason
    if refused:
        raise CheckpointError(
            f"{next(iter(refused.values()))}, but checkpoint {max(refused)} is there; "
            f"put the log back, or {RESTART}"
        )
    if damaged or list(directory.glob("corrupt-*")):
        causes = "; ".join(f"step {step}: {cause}" for step, cause in damaged.items())
        raise CheckpointError(
            f"checkpoints={directory}: none of the checkpoints can be used "
            f"({causes or 'all were found damaged before'}); put a good one back, or "
            "remove the folder to start from step 0"
        )
    return None, damaged


def _reason(reason: str | None) -> str | None:
    """The reason of the first process, on which all processes agree."""
    if jax.process_count() == 1:
        return reason
    refused = multihost_utils.broadcast_one_to_all(np.array(reason is not None))
    return (reason or "refused by the first process") if refused else None


def _read(path: pathlib.Path, target: PyTree) -> tuple[PyTree, Tree]:
    """Read (state, meta) of one step and verify it; Damaged, or CheckpointError."""
    args, agree = ocp.args, _on_all_processes
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as reader:
        items = args.Composite(meta=args.JsonRestore())
        sealed = agree(lambda: manifest.unseal(reader.restore(path, args=items).meta))
        if isinstance(target, TrainState):
            target = target.as_stored(sealed["kinds"])
        manifest.check_same(path, sealed["kinds"], manifest.kinds(target))
        items = args.Composite(state=args.StandardRestore(target))
        state = agree(lambda: reader.restore(path, args=items).state)
    agree(lambda: manifest.check_digests(sealed["crc32"], manifest.digests(state)))
    then, now = sealed["versions"], manifest.versions()
    if changed := [name for name in then if then[name] != now.get(name)]:
        _log.warning(
            "checkpoints=%s: written with %s; now %s: later steps may differ in bits",
            path,
            ", ".join(f"{name} {then[name]}" for name in changed),
            ", ".join(f"{name} {now.get(name)}" for name in changed),
        )
    state = state.completed() if isinstance(state, TrainState) else state
    return state, sealed["meta"]


def _on_all_processes(read: Callable[[], PyTree]) -> PyTree:
    """Return `read()` if it succeeds on all processes, else raise Damaged on all.

    No process may go on to the next collective call while another has failed.
    """
    found, cause = [], ""
    with orbax_logging.asyncio_silenced():
        try:
            found.append(read())
        except (UserError, MemoryError, jax.errors.JaxRuntimeError):
            raise  # not caused by the files
        except Exception as error:
            cause = _one_line(error)
        if cause:
            gc.collect()  # asyncio reports abandoned tasks when they are collected
    intact = bool(found)
    if jax.process_count() > 1:
        intact = bool(multihost_utils.process_allgather(np.array(intact)).all())
    if not intact:
        raise manifest.Damaged(cause or "unreadable on another process")
    return found[0]


def _with_sharding(leaf):
    """Give an abstract leaf a sharding; raise where the shape does not fit it."""
    if not hasattr(leaf, "dtype"):
        return leaf
    sharding = getattr(leaf, "sharding", None)
    if sharding is None:
        sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    sharding.shard_shape(leaf.shape)  # raises before a file could seem damaged
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else f"{text[:157]}..."
