"""Run folders of converted networks, which other commands take."""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from resnet_jax.config.resolve import validated
from resnet_jax.config.schema import Config
from resnet_jax.errors import CheckpointError, ConfigError, StorageError
from resnet_jax.interop import files
from resnet_jax.interop.nets import lookup
from resnet_jax.interop.weights import Variables, from_torch, to_torch
from resnet_jax.models import complexity, serialize
from resnet_jax.models.nets.spec import NetSpec
from resnet_jax.models.network import network
from resnet_jax.paths import Tree, flat
from resnet_jax.runs import directory
from resnet_jax.train import checkpoint, state
from resnet_jax.train.optim import optimizer
from resnet_jax.train.replicas import Meta, device_facts

MOST_STEPS = 2**31 - 1  # where the data tell the length, which changes no state
SPEC, SOURCE = "spec.json", "source.json"
# Fields of a spec, with those inside them, that do not change what a net computes at
# test
TRAINING = (
    "depth_mode", "relays", "survival", "head.dropout", "layers.init", "layers.dtype",
    "layers.norm.momentum", "layers.norm.average", "layers.norm.running_var",
    "layers.norm.group", "layers.norm.axis_name",
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
            serialize.write(folder / SPEC, spec)
        run = directory.new_id()
        meta = Meta(wall_s=0.0, best=None, evaluated=0, run=run)
        with checkpoint.Checkpoints(folder / "checkpoints") as checkpoints:
            checkpoints.save(0, begun(config, _float32(variables)), meta=meta)
        origin = {"net": name, "file": str(source), "sha256": files.sha256(source)}
        directory.write_json(folder / SOURCE, origin)
        directory.record_environment(folder, device_facts(), command="convert")
        derived = _derived(spec, net.image_shape)
        directory.write_config(folder, config, derived, run=run)
    return spec


def export_file(name: str, folder: pathlib.Path, out: pathlib.Path) -> int:
    """Write the network of a run folder as a file of weights; return its arrays.

    ConfigError where the run's network computes another function than the released one.
    """
    net = lookup(name)
    files.check_new(out)
    stored = directory.read_config(folder)
    if stored is None:
        raise ConfigError(f"{folder}: holds no config.json, so no run")
    config = validated(stored.located(folder))
    classes = config.model.num_classes or stored.derived.get("num_classes", 1000)
    spec = network(config, num_classes=classes, devices=1)
    if different := _differences(spec, net.spec(num_classes=classes)):
        raise ConfigError(f"{folder}: its network is not {name}: {different[0]}")
    shapes = net.shapes(num_classes=classes)
    abstract = jax.eval_shape(lambda: begun(config, _zeros(shapes)))
    found = checkpoint.restore(folder / "checkpoints", abstract)
    if found is None:
        raise CheckpointError(f"{folder}/checkpoints: no checkpoint yet; train first")
    arrays = to_torch(name, jax.device_get(found[0].eval_variables))
    files.write(out, arrays)
    return len(arrays)


def begun(config: Config, variables: Variables) -> state.TrainState:
    """State of a run before its first step, with given variables."""
    steps = config.train.iterations or MOST_STEPS
    tx = optimizer(config, total_steps=steps).build()
    seed = jnp.asarray(config.seed, jnp.uint32)
    return state.create(variables, tx, seed=seed, ema=config.train.ema)


def _float32(variables: Variables) -> Variables:
    """Variables as a run holds them."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), variables)


def _zeros(shapes: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


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
