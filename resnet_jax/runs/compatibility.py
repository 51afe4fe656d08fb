"""May the config of today go on in a folder where a run has been?"""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from resnet_jax.config.schema import OPERATIONAL
from resnet_jax.errors import CheckpointError, ConfigError
from resnet_jax.paths import flat_as_json
from resnet_jax.runs.directory import Stored, read_config
from resnet_jax.runs.log import Log, read

DATA_FIELDS = ("data.", "seed", "derived.")
Changes = dict[str, tuple[Any, Any]]


def changed_fields(
    old: Mapping[str, Any], new: Mapping[str, Any], *, allow_data_change: bool = False
) -> Changes:
    """Fields that would change what a run computes: {path: (old, new)}."""
    before, after = flat_as_json(old), flat_as_json(new)
    paths = [p for p in {**before, **after} if before.get(p) != after.get(p)]
    paths = [p for p in paths if p not in OPERATIONAL or not OPERATIONAL[p].on_resume]
    if allow_data_change:
        paths = [p for p in paths if not p.startswith(DATA_FIELDS)]
    return {path: (before.get(path), after.get(path)) for path in paths}


def differences(config: Mapping[str, Any], today: Mapping[str, Any]) -> tuple[str, ...]:
    """Fields in which a run differs from its row, each as `path old, today new`.

    Those that may differ between the runs of a row are left out.
    """
    old, new = flat_as_json(config), flat_as_json(today)
    return tuple(
        f"{path} {old.get(path)!r}, today {new.get(path)!r}"
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
        and not (path in OPERATIONAL and OPERATIONAL[path].between_runs)
    )


def told(changes: Changes) -> str:
    """`optim.learning_rate: 0.1 -> 0.2; seed: 0 -> 1`."""
    return "; ".join(f"{path}: {a!r} -> {b!r}" for path, (a, b) in changes.items())


def refuse_other_config(
    folder: pathlib.Path,
    tree: Mapping[str, Any],
    derived: Mapping[str, Any] | None,
    *,
    allow_data_change: bool,
    consequences: Callable[[Stored], Sequence[str]],
) -> None:
    """CheckpointError naming the fields in which the run in the folder differs.

    `derived` is None ahead of the look at the data; `consequences` tells, a line each,
    what the changes mean for the parameters.
    """
    old = read_config(folder)
    if old is None:
        return
    before, after = dict(old.tree), dict(tree)
    if derived is not None:
        before["derived"], after["derived"] = old.derived, derived
    changes = changed_fields(before, after, allow_data_change=allow_data_change)
    if not changes:
        return
    of_data = all(path.startswith(DATA_FIELDS) for path in changes)
    hint = ", or go on with --allow_data_change" if of_data else ""
    raise CheckpointError(
        f"workdir={folder}: holds a run of another config ({told(changes)}); name "
        f"another --workdir, or move this one away{hint}"
        + "".join(f"\n  {line}" for line in consequences(old))
    )


def refuse_end_behind(log: Log, *, step: int, end: int) -> None:
    """ConfigError where `train.steps` would end a run at a step that it has passed."""
    rows, _ = read(log.path)
    ended = any(row["split"] == "test" and row["step"] == step for row in rows)
    if step >= end and not ended:
        raise ConfigError(
            f"train.steps={end}: the run is at step {step} already; give it more"
        )
