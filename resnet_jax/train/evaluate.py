"""Scores of the evaluation splits, and BatchNorm statistics recomputed for them.

Moving averages mix the statistics of earlier parameter values; He et al. computed true
averages after training (deep-residual-networks, README).
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import SupportsFloat, TypeAlias, TypedDict

import jax
import numpy as np
from jaxtyping import PyTree

from resnet_jax.data.pipeline import Pipeline
from resnet_jax.train.program import Program
from resnet_jax.train.state import Sums, Variables
from resnet_jax.train.step import DeviceBatch

Statistics: TypeAlias = dict[str, PyTree]  # modules by name, to {"mean", "var"}
Totals = dict[str, SupportsFloat]  # sums on the host; of several seeds, arrays [seeds]
Scores = dict[str, Totals]  # by split


class Errors(TypedDict):
    """Loss in nats and errors in percent, over n examples."""

    n: int
    loss: float
    top1_err: float
    top5_err: float


def evaluations(
    pipeline: Pipeline, program: Program, data: Mapping[str, DeviceBatch] | None
) -> Callable[[Variables], Scores]:
    """Make evaluate(variables) -> sums of "val" (where there is one) and "test".

    `data` are the resident splits as they lie on the devices, or None.
    """
    place = program.seeds.shared
    batches = {
        split: pipeline.eval_batches(split, place)
        for split in ("val", "test")
        if split in pipeline.splits
    }

    def evaluate(variables: Variables) -> Scores:
        return {
            split: added(
                program.evaluate(variables, data and data[split], batch)
                for batch in batches[split]
            )
            for split in batches
        }

    return evaluate


def added(sums: Iterable[Sums]) -> Totals:
    """Add the sums of all batches in float64, exactly; waits for the device once."""
    batches = jax.device_get(list(sums))
    return {k: sum(np.float64(b[k]) for b in batches) for k in batches[0]}


def errors(sums: Mapping[str, SupportsFloat]) -> Errors:
    """Convert sums over examples to n, loss [nats] and errors [%]."""
    n = float(sums["n"])
    share = {name: float(sums[name]) / n if n else math.nan for name in sums}
    return {
        "n": round(n),
        "loss": share["nll"],
        "top1_err": 100 * share["wrong"],
        "top5_err": 100 * share["wrong5"],
    }


def precise_statistics(
    program: Program,
    variables: Variables,
    data: DeviceBatch | None,
    batches: Iterable[DeviceBatch],
) -> Statistics:
    """Mean and variance of every norm's input over all examples of the batches.

    The variance is the mean variance within batches plus that of the batch means.
    """
    count, first, second = 0, None, None
    for number, batch in enumerate(batches):
        stats = program.statistics(variables, data, batch, number)
        moments = _mean_leaves(stats, lambda mean: mean**2)
        if first is None:
            first, second = stats, moments
        else:
            first = jax.tree.map(jax.numpy.add, first, stats)
            second = jax.tree.map(jax.numpy.add, second, moments)
        count += 1
    average = jax.tree.map(lambda x: x / count, first)
    squares = jax.tree.map(lambda x: x / count, second)
    return _merged(average, squares)


def over_groups(
    statistics: Callable[..., Statistics], *, size: int
) -> Callable[..., Statistics]:
    """`statistics` for nets that normalise each `size` images by themselves.

    As above, the variance is that within groups plus that of the means of the groups.
    """

    def total(variables, images, *, rngs):
        groups = images.reshape(-1, size, *images.shape[1:])
        stats = jax.vmap(lambda group: statistics(variables, group, rngs=rngs))(groups)
        moments = _mean_leaves(stats, lambda mean: mean**2)
        return _merged(*jax.tree.map(lambda x: x.mean(axis=0), (stats, moments)))

    return total


def _mean_leaves(stats: Statistics, function: Callable) -> Statistics:
    """The tree of `mean` leaves alone, each through `function`."""
    if "mean" in stats:
        return {"mean": function(stats["mean"])}
    return {name: _mean_leaves(inner, function) for name, inner in stats.items()}


def _merged(average: Statistics, squares: Statistics) -> Statistics:
    """Statistics whose variance includes that between the parts."""
    if "mean" in average:
        between = squares["mean"] - average["mean"] ** 2
        return average | {"var": average["var"] + between.clip(min=0)}
    return {name: _merged(inner, squares[name]) for name, inner in average.items()}
