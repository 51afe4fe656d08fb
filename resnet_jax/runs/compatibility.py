"""Whether the config of today may go on in a folder where a run has been."""

import pathlib
from typing import Any

from resnet_jax.config import build
from resnet_jax.config.resolve import validated
from resnet_jax.config.schema import Config
from resnet_jax.errors import CheckpointError, ConfigError
from resnet_jax.models import complexity as cost
from resnet_jax.paths import flat
from resnet_jax.runs import directory as workdir
from resnet_jax.runs.log import Log, read

Folder = pathlib.Path


def refuse_other_config(
    folder: Folder, new: dict[str, Any], *, allow_data_change: bool
) -> None:
    """CheckpointError naming the fields in which the run in the folder differs."""
    old = workdir.read_json(folder / "config.json")
    if old is None:
        return
    if "derived" not in new:
        old = {name: value for name, value in old.items() if name != "derived"}
    changed = workdir.changed_fields(old, new, allow_data_change=allow_data_change)
    if not changed:
        return
    fields = "; ".join(f"{p}: {a!r} -> {b!r}" for p, (a, b) in changed.items())
    of_data = all(path.startswith(workdir.DATA_FIELDS) for path in changed)
    hint = ", or go on with --allow_data_change" if of_data else ""
    raise CheckpointError(
        f"workdir={folder}: holds a run of another config ({fields}); name another "
        f"--workdir, or move this one away{hint}"
        + "".join(f"\n  {line}" for line in parameter_changes(folder, new))
    )


def parameter_changes(folder: Folder, new: dict[str, Any]) -> list[str]:
    """Every parameter whose shape or dtype a changed config changes."""
    old = workdir.read_json(folder / "config.json")
    derived = old.pop("derived")
    before = parameters(validated(old), derived)
    derived = new.get("derived", derived)
    new = {name: value for name, value in new.items() if name != "derived"}
    after = parameters(validated(new), derived)
    return [
        f"{path}: checkpoint {before.get(path)} vs model {after.get(path)}"
        for path in sorted({**before, **after})
        if before.get(path) != after.get(path)
    ]


def parameters(config: Config, derived: dict[str, Any]) -> dict[str, str]:
    """Path -> shape and dtype, on the data that `derived` was computed from."""
    classes = config.model.num_classes or derived["num_classes"]
    net = build.network(config, num_classes=classes, devices=1).build()
    leaves = flat(cost.shapes(net, tuple(derived["image_shape"]))["params"])
    return {
        path.replace(".", "/"): f"{leaf.shape} {leaf.dtype}"
        for path, leaf in leaves.items()
    }


def refuse_end_behind(log: Log, *, step: int, end: int) -> None:
    """ConfigError where `train.steps` would end a run at a step that it has passed."""
    rows, _ = read(log.path)
    ended = any(row["split"] == "test" and row["step"] == step for row in rows)
    if step >= end and not ended:
        raise ConfigError(
            f"train.steps={end}: the run is at step {step} already; give it more"
        )
