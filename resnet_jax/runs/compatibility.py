"""Compatibility of a config with the run that a folder already holds."""

import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from resnet_jax.config.schema import OPERATIONAL
from resnet_jax.errors import CheckpointError, ConfigError
from resnet_jax.paths import flat_as_json
from resnet_jax.runs.directory import RESTART, StoredConfig, read_config
from resnet_jax.runs.log import Log

DATA_FIELDS = ("data.", "seed", "derived.")
Changes = dict[str, tuple[Any, Any]]


def changed_fields(
    old: Mapping[str, Any], new: Mapping[str, Any], *, allow_data_change: bool = False
) -> Changes:
    """Fields that would change what a run computes: {path: (old, new)}."""
    return {
        path: values
        for path, values in _unequal(old, new).items()
        if not (path in OPERATIONAL and OPERATIONAL[path].on_resume)
        and not (allow_data_change and path.startswith(DATA_FIELDS))
    }


def differences(config: Mapping[str, Any], today: Mapping[str, Any]) -> tuple[str, ...]:
    """Differences of a run's config from its row's, each as `path old, today new`.

    Fields that may differ between the runs of a row are left out.
    """
    return tuple(
        f"{path} {old!r}, today {new!r}"
        for path, (old, new) in sorted(_unequal(config, today).items())
        if not (path in OPERATIONAL and OPERATIONAL[path].between_runs)
    )


def _unequal(old: Mapping[str, Any], new: Mapping[str, Any]) -> Changes:
    """All fields that are not equal in JSON; None for a missing one."""
    before, after = flat_as_json(old), flat_as_json(new)
    pairs = {p: (before.get(p), after.get(p)) for p in {**before, **after}}
    return {path: (a, b) for path, (a, b) in pairs.items() if a != b}


def described(changes: Changes) -> str:
    """`optim.learning_rate: 0.1 -> 0.2; seed: 0 -> 1`."""
    return "; ".join(f"{path}: {a!r} -> {b!r}" for path, (a, b) in changes.items())


def check_same_config(
    folder: pathlib.Path,
    tree: Mapping[str, Any],
    derived: Mapping[str, Any] | None,
    *,
    allow_data_change: bool,
    consequences: Callable[[StoredConfig], Sequence[str]],
) -> None:
    """CheckpointError naming the fields in which the run in the folder differs.

    `derived` is None before the data are opened; `consequences` gives lines that
    explain what the changes mean for the parameters.
    """
    old = read_config(folder)
    if old is None:
        _check_no_remains(folder)
        return
    before, after = dict(old.tree), dict(tree)
    if derived is not None:
        before["derived"], after["derived"] = old.derived, dict(derived)
        if _content_unknown(old.derived.get("data"), derived.get("data")):
            after["derived"]["data"] = old.derived["data"]
    changes = changed_fields(before, after, allow_data_change=allow_data_change)
    if not changes:
        return
    only_data = all(path.startswith(DATA_FIELDS) for path in changes)
    hint = ", or go on with --allow_data_change" if only_data else ""
    raise CheckpointError(
        f"workdir={folder}: holds a run of another config ({described(changes)}); name "
        f"another --workdir, or move this one away{hint}"
        + "".join(f"\n  {line}" for line in consequences(old))
    )


def check_seed(folder: pathlib.Path, seed: int) -> None:
    """ConfigError where a folder is named after another seed."""
    named = re.fullmatch(r"seed(\d+)", folder.name)
    if named and named[1] != str(seed):
        raise ConfigError(
            f"workdir={folder}: is named after seed {named[1]}, but seed={seed}; set "
            f"seed={named[1]}, or name another folder"
        )


def _check_no_remains(folder: pathlib.Path) -> None:
    """CheckpointError where a folder without config.json holds the rest of a run."""
    log = folder / "metrics.jsonl"
    logged = log.is_file() and log.stat().st_size
    saved = any(p.name.isdecimal() for p in (folder / "checkpoints").glob("*"))
    if logged or saved:
        raise CheckpointError(
            f"workdir={folder}: holds {'a log' if logged else 'checkpoints'} but no "
            "config.json, so what was run is not known; put it back, name another "
            f"folder, or {RESTART}"
        )


def _content_unknown(old: object, new: object) -> bool:
    """Tell whether a fingerprint of version 0.1 is that of the data but for its digest.

    It was name:version:split:length; today a digest of the content follows.
    """
    return isinstance(old, str) and isinstance(new, str) and new.startswith(f"{old}:")


def check_not_past_end(log: Log, *, step: int, end: int) -> None:
    """ConfigError where `train.steps` would end a run at a step that it has passed."""
    ended = any(row["split"] == "test" and row["step"] == step for row in log.rows())
    if step > end and not ended:
        raise ConfigError(
            f"train.steps={end}: the run is at step {step} already; give it more"
        )
