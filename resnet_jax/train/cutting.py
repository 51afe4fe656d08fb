"""Runs that begin with a cut network: `train.prune`.

The network is that of the run in `train.start_from`, cut before the first update. Its
spec is kept in the run's folder as spec.json, what was cut and its error before any
training in cut.json.
"""

import dataclasses
import functools
import pathlib
import sys
import time
from collections.abc import Iterable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from resnet_jax.config.pruning import Slimming
from resnet_jax.config.schema import Config
from resnet_jax.data import crops
from resnet_jax.data.pipeline import Pipeline
from resnet_jax.errors import CheckpointError, ConfigError
from resnet_jax.models import complexity, serialize
from resnet_jax.models.nets.spec import NetSpec
from resnet_jax.paths import Tree, flat_as_json
from resnet_jax.prune import channels, places, slimming
from resnet_jax.runs.directory import CUT, read_json, write_json
from resnet_jax.train import stored
from resnet_jax.train.checkpoint_folder import steps_in
from resnet_jax.train.evaluate import errors, no_check
from resnet_jax.train.experiment import Beginning, Experiment
from resnet_jax.train.replicas import Replica
from resnet_jax.train.running import Run
from resnet_jax.train.state import TrainState, create

BATCH = 100  # images that are sampled at once
# Fields of a model that may be others than those of the network that is cut.
FREE = ("norm.", "init", "depth_mode", "num_classes")


def with_cut(experiment: Experiment, folders: Iterable[pathlib.Path]) -> Experiment:
    """The experiment, where its network is to be cut, with the one of `folders`.

    It is cut now unless they have checkpoints. ConfigError where the run in
    `train.start_from` is not done or has another network, and for what cannot be cut.
    """
    if experiment.config.train.prune is None:
        return experiment
    for folder in folders:  # one, as several seeds have several networks
        if steps_in(folder / "checkpoints"):
            _check_record(folder)
            return experiment.with_net(stored.cut_spec(folder))
    return _cut(experiment)


def _check_record(folder: pathlib.Path) -> None:
    """CheckpointError where cut.json of a run is gone or not whole."""
    found = read_json(folder / CUT) or {}
    if not {"multiply_adds", "params", "errors"} <= found.keys():
        raise CheckpointError(
            f"{folder / CUT}: is gone or not whole, which says what was cut; put it "
            "back, or name another folder"
        )


def _cut(experiment: Experiment) -> Experiment:
    """The experiment with the network cut, and its variables to begin with."""
    config, pipeline = experiment.config, experiment.pipeline
    assert config.start_from is not None and config.train.prune is not None
    if jax.process_count() > 1:
        raise ConfigError("train.prune: one process cuts; start the run with one first")
    found = _origin(config, experiment.net.num_classes, pipeline.image_shape)
    parts, before = complexity.counts(found.spec.build(), pipeline.image_shape)
    method, started = config.train.prune, time.perf_counter()
    variables = jax.device_get(found.variables)
    try:
        if isinstance(method, Slimming):
            whole, variables = slimming.prepared(found.spec, variables)
            ranked = slimming.scales(whole, variables)
            masks = slimming.kept(ranked, share=method.share, cap=method.cap)
            layers = slimming.layers(masks)
            spec, left = places.cut(whole, variables, masks)
        else:
            count = min(method.images, len(pipeline.splits["train"]))
            images = _sampled(pipeline, count, seed=config.seed)
            spec, left, fitted = channels.pruned(
                found.spec, variables, functools.partial(_inputs, pipeline, images),
                speedup=method.speedup, select=method.name, ratios=method.ratios,
                points=method.points, seed=config.seed, progress=_Lines(),
            )  # fmt: skip
            layers = [layer._asdict() for layer in fitted]
    except ConfigError as error:
        raise ConfigError(f"train.prune={method.name}: {error}") from None
    left_parts, after = complexity.counts(spec.build(), pipeline.image_shape)
    record = {
        "start_from": config.start_from,
        "step": found.step,
        "multiply_adds": [before, after],
        "params": [parts.params, left_parts.params],
        "layers": layers,
        "seconds": round(time.perf_counter() - started, 1),
    }
    return experiment.with_net(spec, Beginning(left, record))


def write_spec(replicas: Iterable[Replica], spec: NetSpec) -> None:
    """Keep the cut network in the folder of its run."""
    for replica in replicas:
        serialize.write(replica.folder / stored.SPEC, spec)


def state(experiment: Experiment) -> TrainState:
    """The state that a cut network begins with.

    Not by `init`, whose random numbers take minutes to compile for units of as many
    shapes as a cut net has.
    """
    assert experiment.begin is not None
    return jax.device_put(
        create(
            jax.tree.map(
                lambda leaf: leaf.astype(np.promote_types(leaf.dtype, np.float32)),
                experiment.begin.variables,
            ),
            experiment.optim.build(),
            seed=jnp.asarray(experiment.config.seed, jnp.uint32),
            ema=experiment.config.train.ema,
        ),
        experiment.devices.replicated,
    )


def begin(run: Run, experiment: Experiment, state: TrainState) -> None:
    """Score a network as it was cut, and save it as step 0."""
    assert experiment.begin is not None
    (replica,), top5 = run.replicas, experiment.loop.top5
    scores = run.evaluate(state.eval_variables, no_check)
    found = {split: errors(sums, top5=top5) for split, sums in scores.items()}
    write_json(replica.folder / CUT, experiment.begin.record | {"errors": found})
    replica.checkpoints.save(0, state, meta=replica.meta_after(0.0))


@dataclasses.dataclass(frozen=True)
class _Origin:
    """The network that is cut."""

    folder: pathlib.Path
    spec: NetSpec
    variables: stored.Variables
    step: int


def _origin(config: Config, classes: int, images: tuple[int, ...]) -> _Origin:
    """The trained network of `train.start_from`."""
    folder = pathlib.Path(str(config.start_from)).expanduser().absolute()
    field = f"train.start_from={folder}"
    if not (folder / "config.json").exists():
        raise ConfigError(f"{field}: holds no config.json, so no run; name its folder")
    if (folder / "metrics.jsonl").exists() and not (folder / "DONE").exists():
        raise ConfigError(f"{field}: is not done; train it first")
    known = stored.config_in(folder)
    found = stored.read(folder)
    _check_same_model(field, config, known.located(folder)["model"])
    if found.spec.num_classes != classes:
        raise ConfigError(
            f"{field}: has {found.spec.num_classes} classes, but data.name="
            f"{config.data.name} has {classes}; a head is cut with its network"
        )
    there = tuple(known.derived["image_shape"])
    if len(there) != len(images) or there[-1] != images[-1]:
        raise ConfigError(
            f"{field}: takes images of {there}, but data.name={config.data.name} has "
            f"{images}; a network is cut for such images as it takes"
        )
    return _Origin(folder, found.spec, found.variables, found.step)


def _check_same_model(field: str, config: Config, there: Tree) -> None:
    """ConfigError where fields of the model would be read by nothing."""
    own, other = flat_as_json(config.to_dict()["model"]), flat_as_json(there)
    for path in {**own, **other}:
        if own.get(path) != other.get(path) and not path.startswith(FREE):
            raise ConfigError(
                f"model.{path}={own.get(path)!r}: is {other.get(path)!r} of the network"
                f" that is cut, in {field}; they must be equal"
            )


def _sampled(pipeline: Pipeline, count: int, *, seed: int) -> np.ndarray:
    """Training images at random, as an evaluation crops them, [count *hw c]."""
    source, crop = pipeline.splits["train"], crops.preset(pipeline.config.data.augment)
    drawn = np.random.default_rng(seed).choice(len(source), count, replace=False)
    if pipeline.resident:
        return pipeline.resident["train"]["image"][np.sort(drawn)]
    return np.stack([crop.eval(source[int(i)]["image"]) for i in np.sort(drawn)])


def _inputs(pipeline: Pipeline, images: np.ndarray) -> Iterator[np.ndarray]:
    """Batches of inputs of the network."""
    for start in range(0, len(images), BATCH):
        batch = {"image": images[start : start + BATCH]}
        yield np.asarray(pipeline.preprocess(None, batch, train=False))


class _Lines:
    """A line for every layer that is cut, with the time that is left."""

    def __init__(self):
        self.done, self.started = 0, time.perf_counter()

    def __call__(self, layer: channels.Layer, layers: int) -> None:
        self.done += 1
        spent = time.perf_counter() - self.started
        left = spent / self.done * (layers - self.done)
        print(
            f"cut {self.done}/{layers} {layer.name}: {layer.channels} -> {layer.kept} "
            f"channels, error of its outputs {100 * layer.error_before:.1f} -> "
            f"{100 * layer.error:.1f} %, {left:.0f} s left",
            file=sys.stderr,
        )
