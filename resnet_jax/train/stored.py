"""Trained net as the folder of its run holds it, without the run's data set."""

import dataclasses
import functools
import pathlib
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from resnet_jax.config.resolve import validated
from resnet_jax.config.schema import Config
from resnet_jax.errors import CheckpointError, ConfigError
from resnet_jax.models import complexity, serialize
from resnet_jax.models.nets.spec import NetSpec
from resnet_jax.models.network import network
from resnet_jax.paths import Tree, flat, shortened
from resnet_jax.runs.directory import StoredConfig, read_config
from resnet_jax.train import agreement, checkpoint, state
from resnet_jax.train.optim import optimizer
from resnet_jax.train.state import TrainState, Variables

Which = Literal["last", "best"]
SPEC = "spec.json"  # in the folder of a run whose network no config describes
LISTED = 5  # parameters that an error message names
MOST_STEPS = 2**31 - 1  # where only the data tell the length, which changes no state


class Stored(NamedTuple):
    """Config and net of a run, and its variables after `step` updates."""

    config: Config
    spec: NetSpec
    variables: Variables
    step: int


def config_in(folder: pathlib.Path) -> StoredConfig:
    """config.json of a run; ConfigError without it."""
    if folder.is_file():
        raise ConfigError(f"workdir={folder}: is a file; name the folder of a run")
    found = read_config(folder)
    if found is None:
        raise ConfigError(f"workdir={folder}: holds no config.json, so no run")
    return found


def spec_in(folder: pathlib.Path, stored: StoredConfig, config: Config) -> NetSpec:
    """The net of a run, on one device."""
    classes = config.model.num_classes or stored.derived["num_classes"]
    spec = network(config, num_classes=classes, devices=1)
    if config.train.prune:
        return dataclasses.replace(cut_spec(folder), layers=spec.layers)
    return spec


def cut_spec(folder: pathlib.Path) -> NetSpec:
    """The net of a run that began with a cut one; CheckpointError without it."""
    if not (folder / SPEC).is_file():
        raise CheckpointError(
            f"{folder / SPEC}: is gone, which describes the cut network; put it back, "
            "or name another folder"
        )
    return serialize.read(folder / SPEC)


def read(folder: pathlib.Path, which: Which = "last") -> Stored:
    """Read the net of a run, finished or not: averages where it has `train.ema`.

    ConfigError where the folder holds no run, CheckpointError where it holds no usable
    checkpoint.
    """
    stored = config_in(folder)
    config = validated(stored.located(folder))
    spec = spec_in(folder, stored, config)
    shapes = complexity.shapes(spec.build(), tuple(stored.derived["image_shape"]))
    abstract = jax.eval_shape(functools.partial(begun, config), shapes)
    found, meta, place = restored(folder, which, abstract)
    agreement.check_id(place, int(found.step), meta, run=stored.run)
    variables = jax.device_put(found.eval_variables)
    return Stored(config, spec, variables, int(found.step))


def restored(folder: pathlib.Path, which: Which, abstract: TrainState):
    """State and metadata of the newest intact checkpoint, and where it lies."""
    place = folder / ("checkpoints" if which == "last" else "best")
    found = checkpoint.restore(place, abstract)
    if found is None:
        raise CheckpointError(f"{place}: no checkpoint yet; train first")
    return *found, place


def begun(config: Config, variables: Variables) -> TrainState:
    """State of a run before its first step, with given variables."""
    steps = config.train.iterations or MOST_STEPS
    tx = optimizer(config, total_steps=steps).build()
    seed = jnp.asarray(config.seed, jnp.uint32)
    return state.create(variables, tx, seed=seed, ema=config.train.ema)


def parameter_changes(new: Config, old: StoredConfig) -> list[str]:
    """List the first parameters whose shape or dtype differs under a changed config."""
    before = _parameters(validated(old.tree), old.derived)
    after = _parameters(new, old.derived)
    changed = [
        f"{path}: checkpoint {before.get(path)} vs model {after.get(path)}"
        for path in sorted({**before, **after})
        if before.get(path) != after.get(path)
    ]
    return shortened(changed, most=LISTED)


def _parameters(config: Config, derived: Tree) -> dict[str, str]:
    """Shape and dtype of every parameter by path, for the data of `derived`."""
    if config.train.prune:  # of which the config tells no shapes
        return {}
    classes = config.model.num_classes or derived["num_classes"]
    net = network(config, num_classes=classes, devices=1).build()
    leaves = flat(complexity.shapes(net, tuple(derived["image_shape"]))["params"])
    return {
        path.replace(".", "/"): f"{leaf.shape} {leaf.dtype}"
        for path, leaf in leaves.items()
    }
