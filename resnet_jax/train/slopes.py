"""What the slopes of a net came to, layer by layer (as He et al. 2015, Table 1)."""

import functools
import math
import pathlib
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from flax.traverse_util import flatten_dict

from resnet_jax.models import complexity as cost
from resnet_jax.models import inspect as calls
from resnet_jax.report.slopes_table import FILE
from resnet_jax.runs import directory as workdir
from resnet_jax.train import loop
from resnet_jax.train.state import TrainState


def slopes(
    net: nn.Module, params: Any, *, image_shape: tuple[int, ...]
) -> list[dict[str, Any]]:
    """A summary of every rectifier's learned slopes, in the order of their calls.

    {"layer": path, "number": slopes, "mean", "std", "min", "max": over the channels};
    where `number` is 1, the one that a layer shares. Units of a stacked stage have an
    entry each; [] for a net without learned slopes.
    """
    learned = {
        path[:-1]: np.asarray(leaf, np.float64)
        for path, leaf in flatten_dict(params).items()
        if path[-1] == "slope"
    }
    if not learned:
        return []
    called = calls.listed(
        functools.partial(cost.shapes, net, image_shape),
        wanted=lambda module: module.path in learned,
    )
    units = {path: len(learned[path]) if "rest" in path else None for path in called}
    return [
        {"layer": calls.named(path, unit)}
        | _summary(learned[path] if unit is None else learned[path][unit])
        for path, unit in calls.unrolled(units)
    ]


def _summary(slope: np.ndarray) -> dict[str, int | float | None]:
    """Null where a number is not finite, as in the log."""
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        mean, std = float(slope.mean()), float(slope.std())
    numbers = {"mean": mean, "std": std}
    numbers |= {"min": float(slope.min()), "max": float(slope.max())}
    finite = {k: v if math.isfinite(v) else None for k, v in numbers.items()}
    return {"number": slope.size} | finite


def write(folder: pathlib.Path, layers: list[dict[str, Any]], *, step: int) -> None:
    """Writes slopes.json; nothing for a net without learned slopes."""
    if layers:
        workdir.write_json(folder / FILE, {"step": step, "layers": layers})


def keep(
    run: loop.Run, state: TrainState, *, net: nn.Module, image_shape: tuple[int, ...]
) -> None:
    """Leaves slopes.json beside the log of every run, of the parameters it is tested
    with."""
    if jax.process_index() == 0:
        step, params = loop.at_step(state), loop.variables_of(state)["params"]
        for replica, own in run.slices(jax.device_get(params)):
            layers = slopes(net, own, image_shape=image_shape)
            write(replica.log.path.parent, layers, step=step)
