"""Trained parameters of another run as the beginning of a run."""

import dataclasses
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jaxtyping import PyTree

from resnet_jax.errors import CheckpointError, ConfigError
from resnet_jax.models import complexity
from resnet_jax.paths import shortened
from resnet_jax.runs.directory import read_config, write_json
from resnet_jax.train import manifest, orbax_logging, stored
from resnet_jax.train.checkpoint_folder import steps_in
from resnet_jax.train.experiment import Experiment
from resnet_jax.train.state import TrainState

HEAD = "head"  # layer that is drawn anew where the classes differ
LISTED = 5  # leaves that an error message names


class Origin(NamedTuple):
    """Newest checkpoint of a run, and the manifest of its leaves."""

    folder: pathlib.Path
    path: pathlib.Path
    sealed: Mapping[str, Any]

    @property
    def prefix(self) -> str:
        """Beginning of the names of the leaves: averages, where there are any."""
        names = self.sealed["kinds"]
        return "ema/" if any(n.startswith("ema/params/") for n in names) else ""

    def kinds(self) -> dict[str, str]:
        """Shape and dtype of the parameters and statistics, by path."""
        return {
            name.removeprefix(self.prefix): kind
            for name, kind in self.sealed["kinds"].items()
            if name.startswith((f"{self.prefix}params/", f"{self.prefix}batch_stats/"))
        }


def find(experiment: Experiment) -> Origin | None:
    """The run that one begins with, if any; ConfigError where it does not fit."""
    folder = experiment.config.start_from
    if folder is None or experiment.config.train.prune:  # `cutting` reads it
        return None
    found = origin(folder)
    net, shape = experiment.net.build(), experiment.pipeline.image_shape
    check(found, complexity.shapes(net, shape))
    return found


def check_new(experiment: Experiment, resumed: Iterable[pathlib.Path]) -> None:
    """ConfigError where runs cannot begin as asked, unless all have checkpoints."""
    folders = list(resumed)
    if not folders or not all(steps_in(place / "checkpoints") for place in folders):
        find(experiment)


def origin(folder: str) -> Origin:
    """The newest checkpoint of a run; ConfigError or CheckpointError without one."""
    place = pathlib.Path(folder).expanduser().absolute()
    field = f"train.start_from={folder}"
    if read_config(place) is None:
        raise ConfigError(f"{field}: holds no config.json, so no run; name its folder")
    steps = steps_in(place / "checkpoints")
    if not steps:
        raise CheckpointError(f"{field}: holds no checkpoint; train it first")
    path = place / "checkpoints" / str(steps[-1])
    orbax_logging.silence_orbax()
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as reader:
        items = ocp.args.Composite(meta=ocp.args.JsonRestore())
        meta = _intact(path, lambda: reader.restore(path, items).meta)
        sealed = _intact(path, lambda: manifest.unseal(meta))
    return Origin(place, path, sealed)


def check(start: Origin, variables: PyTree) -> None:
    """ConfigError unless a net's variables, but for its head, are those of a run."""
    found, wanted = start.kinds(), manifest.kinds(variables)
    differing = [
        f"{name}: there {found.get(name, 'absent')}, here {wanted.get(name, 'absent')}"
        for name in sorted(found.keys() | wanted.keys())
        if found.get(name) != wanted.get(name) and not _in_head(name)
    ]
    if differing:
        shown = "; ".join(shortened(differing, most=LISTED))
        raise ConfigError(
            f"train.start_from={start.folder}: is of another network ({shown}); only "
            f"the head may differ{_of_file(start.folder)}"
        )


def _of_file(folder: pathlib.Path) -> str:
    """Advice where no config describes the network of a run."""
    spec = folder / stored.SPEC
    if not spec.is_file():
        return ""
    return f"; for its own network set model.name=spec and model.file={spec}"


def started(start: Origin, state: TrainState) -> TrainState:
    """The state of one seed with the parameters and statistics of a run.

    Leaves of the head whose shapes differ keep the values that were drawn.
    """
    read = _read(start)

    def chosen(path, leaf):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        value = read.get(f"{start.prefix}{name}")
        if value is None or value.shape != leaf.shape:
            return leaf
        return jax.device_put(value.astype(leaf.dtype), leaf.sharding)

    variables = jax.tree_util.tree_map_with_path(chosen, state.variables)
    ema = None if state.ema is None else jax.tree.map(jnp.copy, variables)
    return dataclasses.replace(state, **variables, ema=ema)


def record(start: Origin, folder: pathlib.Path) -> None:
    """Write start_from.json: run, step and folder that a run began with."""
    meta = start.sealed["meta"]
    known = {"folder": str(start.folder), "run": meta.get("run")}
    write_json(folder / "start_from.json", known | {"step": int(start.path.name)})


def _in_head(name: str) -> bool:
    return name.split("/")[1:2] == [HEAD]


def _read(start: Origin) -> dict[str, np.ndarray]:
    """Read and verify all leaves of a checkpoint, without its network."""
    with ocp.PyTreeCheckpointer() as reader, orbax_logging.asyncio_silenced():
        place = start.path / "state"

        def restored():
            tree = reader.metadata(place).item_metadata.tree
            asked = ocp.RestoreArgs(restore_type=np.ndarray)
            asked = jax.tree.map(lambda _: asked, tree)
            return reader.restore(place, restore_args=asked)

        tree = _intact(start.path, restored)
    leaves = {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
    digests = _intact(start.path, lambda: manifest.digests(leaves))
    _intact(start.path, lambda: manifest.check_digests(start.sealed["crc32"], digests))
    return leaves


def _intact(path: pathlib.Path, read):
    """Return `read()`; CheckpointError where the files are damaged."""
    try:
        return read()
    except Exception as error:
        cause = " ".join(str(error).split())[:160] or type(error).__name__
        raise CheckpointError(
            f"train.start_from={path.parents[1]}: step {path.name} is damaged ({cause})"
            "; put it back, or remove it so that an older one is read"
        ) from error
