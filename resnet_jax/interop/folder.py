"""Run folders of converted networks, which other commands take."""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from resnet_jax.config.resolve import validated
from resnet_jax.config.schema import DataConfig
from resnet_jax.data import crops
from resnet_jax.data.augment.standard import IMAGENET_STATISTICS
from resnet_jax.data.inputs import Inputs
from resnet_jax.errors import CheckpointError, ConfigError, StorageError
from resnet_jax.interop import files
from resnet_jax.interop.nets import lookup
from resnet_jax.interop.weights import Variables, from_torch, to_torch
from resnet_jax.models import complexity, serialize
from resnet_jax.models.nets.spec import NetSpec
from resnet_jax.paths import Tree, flat
from resnet_jax.runs import directory
from resnet_jax.train import checkpoint, loaded, stored
from resnet_jax.train.replicas import Meta, device_facts

SOURCE = "source.json"
# Fields of a spec, with those inside them, that do not change what a net computes at
# test
TRAINING = (
    "depth_mode", "relays", "survival", "head.dropout", "layers.init", "layers.dtype",
    "layers.norm.momentum", "layers.norm.average", "layers.norm.running_var",
    "layers.norm.group", "layers.norm.axis_name", "layers.norm.scale",
    "layers.norm.spec",
)  # fmt: skip


def import_file(name: str, source: pathlib.Path, out: pathlib.Path) -> NetSpec:
    """Convert a file of weights to a new run folder, whose checkpoint is of step 0.

    Nothing is left where that fails. `source.json` in it names the net, and the file
    with its SHA-256.
    """
    net = lookup(name)
    _check_new(out)
    try:
        spec, variables = from_torch(name, files.read(source))
    except CheckpointError as error:
        raise CheckpointError(f"{source}: {error}") from error
    config = net.config(num_classes=spec.num_classes)
    with _new_folder(out) as folder:
        if net.of_spec:
            serialize.write(folder / stored.SPEC, spec)
        run = directory.new_id()
        meta = Meta(wall_s=0.0, best=None, evaluated=0, run=run)
        with checkpoint.Checkpoints(folder / "checkpoints") as checkpoints:
            checkpoints.save(0, stored.begun(config, _float32(variables)), meta=meta)
        origin = {"net": name, "file": str(source), "sha256": files.sha256(source)}
        directory.write_json(folder / SOURCE, origin)
        directory.record_environment(folder, device_facts(), command="convert")
        derived = _derived(spec, net.image_shape)
        directory.write_config(folder, config, derived, run=run)
        if crops.preset(config.data.augment).crop != "none":
            loaded.record(folder, _inputs(config.data, spec, net.image_shape))
    return spec


def export_file(name: str, folder: pathlib.Path, out: pathlib.Path) -> int:
    """Write the network of a run folder as a file of weights; return its arrays.

    ConfigError where the run's network computes another function than the released one.
    """
    net = lookup(name)
    files.check_new(out)
    found = stored.config_in(folder)
    spec = stored.spec_in(folder, found, validated(found.located(folder)))
    released = net.spec(num_classes=spec.num_classes)
    if different := _differences(spec, released):
        raise ConfigError(f"{folder}: its network is not {name}: {different[0]}")
    arrays = to_torch(name, jax.device_get(stored.read(folder).variables))
    files.write(out, arrays)
    return len(arrays)


def _float32(variables: Variables) -> Variables:
    """Variables as a run holds them."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), variables)


def _inputs(data: DataConfig, spec: NetSpec, shape: tuple[int, ...]) -> Inputs:
    """Inputs of images that are cropped; the file has no names of classes."""
    names = tuple(map(str, range(spec.num_classes)))
    return Inputs(data, shape, np.dtype(np.uint8), IMAGENET_STATISTICS, names)


def _derived(spec: NetSpec, image_shape: tuple[int, ...]) -> Tree:
    """Values computed from the net, for config.json."""
    parts, multiply_adds = complexity.counts(spec.build(), image_shape)
    return {
        "image_shape": list(image_shape),
        "num_classes": spec.num_classes,
        "num_params": parts.params,
        "multiply_adds": multiply_adds,
    }


def _differences(spec: NetSpec, released: NetSpec) -> list[str]:
    """Fields in which a net computes another function than the released one."""
    own, wanted = (flat(serialize.to_json(each)) for each in (spec, released))
    return [
        f"{path}={own.get(path)!r}, not {wanted.get(path)!r}"
        for path in {**wanted, **own}
        if own.get(path) != wanted.get(path) and not path.startswith(TRAINING)
    ]


def _check_new(out: pathlib.Path) -> None:
    """ConfigError where a folder could not be made."""
    directory.check_writable(out)
    if out.is_dir() and any(out.iterdir()):
        raise ConfigError(f"--out {out}: holds files already; name a new folder")


@contextlib.contextmanager
def _new_folder(out: pathlib.Path) -> Iterator[pathlib.Path]:
    """Folder that takes its name when it is complete, and goes if that fails."""
    made = out.with_name(f".{out.name}.{directory.new_id()}")
    try:
        made.mkdir(parents=True)
    except OSError as error:
        raise StorageError(f"--out {out}: cannot be made ({error.strerror})") from error
    try:
        yield made
        os.rename(made, out)
    finally:
        shutil.rmtree(made, ignore_errors=True)
