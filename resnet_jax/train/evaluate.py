"""Scores of the evaluation splits, and BatchNorm statistics recomputed for them.

Moving averages mix the statistics of earlier parameter values; He et al. computed true
averages after training (deep-residual-networks, README).
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import SupportsFloat, TypeAlias, TypedDict

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from resnet_jax.data.pipeline import Pipeline
from resnet_jax.train.program import Program
from resnet_jax.train.state import Sums, Variables
from resnet_jax.train.step import DeviceBatch

Statistics: TypeAlias = dict[str, PyTree]  # modules by name, to {"mean", "var"}
Totals = dict[str, SupportsFloat]  # sums on the host; of several seeds, arrays [seeds]
Scores = dict[str, Totals]  # by split
Check: TypeAlias = Callable[[], None]  # called between batches; may raise
AHEAD = 2  # batches of an evaluation that the host may be ahead of the device


class Errors(TypedDict):
    """Loss in nats and errors in percent, over n examples.

    top5_err: None where there are no more than five classes
    """

    n: int
    loss: float
    top1_err: float
    top5_err: float | None


def no_check() -> None:
    """Let an evaluation go on."""


def evaluations(
    pipeline: Pipeline, program: Program, data: Mapping[str, DeviceBatch] | None
) -> Callable[[Variables, Check], Scores]:
    """Make evaluate(variables, check) -> sums of "val" (if there is one) and "test".

    `data`: resident splits on the devices, or None.
    """
    place = program.seeds.place_common
    batches = {
        split: pipeline.eval_batches(split, place)
        for split in ("val", "test")
        if split in pipeline.splits
    }

    def evaluate(variables: Variables, check: Check) -> Scores:
        return {
            split: added(
                (
                    program.evaluate(variables, data and data[split], batch)
                    for batch in batches[split]
                ),
                check,
            )
            for split in batches
        }

    return evaluate


def added(sums: Iterable[Sums], check: Check = no_check) -> Totals:
    """Add the sums of all batches in float64, with a check after each batch.

    The host is not far ahead of the device, so that a check can end an evaluation soon.
    """
    total: dict[str, np.float64] = {}
    waiting: deque[Sums] = deque()

    def add(batch: Sums) -> None:
        for name, value in jax.device_get(batch).items():
            total[name] = np.float64(value) + total.get(name, np.float64(0))

    for batch in sums:
        waiting.append(batch)
        if len(waiting) > AHEAD:
            add(waiting.popleft())
        check()
    for batch in waiting:
        add(batch)
    return dict(total)


def errors(sums: Mapping[str, SupportsFloat], *, top5: bool) -> Errors:
    """Convert sums over examples to n, loss [nats] and errors [%]."""
    n = float(sums["n"])
    share = {name: float(sums[name]) / n if n else math.nan for name in sums}
    return {
        "n": round(n),
        "loss": share["nll"],
        "top1_err": 100 * share["wrong"],
        "top5_err": 100 * share["wrong5"] if top5 else None,
    }


def precise_statistics(
    program: Program,
    variables: Variables,
    data: DeviceBatch | None,
    batches: Iterable[DeviceBatch],
    check: Check = no_check,
) -> Statistics:
    """Mean and variance of every norm's input over all examples of the batches.

    The variance is the mean variance within batches plus that of the batch means.
    """
    count, total = 0, None
    for number, batch in enumerate(batches):
        stats = program.statistics(variables, data, batch, number)
        moments = (stats, _squared_means(stats))
        total = moments if total is None else jax.tree.map(jnp.add, total, moments)
        count += 1
        jax.block_until_ready(total)
        check()
    return _merged(*jax.tree.map(lambda x: x / count, total))


def over_groups(
    statistics: Callable[..., Statistics], *, size: int
) -> Callable[..., Statistics]:
    """Make `statistics` for norms over groups of `size` images.

    The variance is the mean variance within groups plus that of the group means.
    """

    def grouped(variables, images, *, rngs):
        groups = images.reshape(-1, size, *images.shape[1:])
        stats = jax.vmap(lambda group: statistics(variables, group, rngs=rngs))(groups)
        moments = (stats, _squared_means(stats))
        return _merged(*jax.tree.map(lambda x: x.mean(axis=0), moments))

    return grouped


def _squared_means(stats: Statistics) -> Statistics:
    """Tree of the squares of all `mean` leaves."""
    if "mean" in stats:
        return {"mean": stats["mean"] ** 2}
    return {name: _squared_means(inner) for name, inner in stats.items()}


def _merged(average: Statistics, squares: Statistics) -> Statistics:
    """Statistics with the variance between parts added to that within them."""
    if "mean" in average:
        between = squares["mean"] - average["mean"] ** 2
        return average | {"var": average["var"] + between.clip(min=0)}
    return {name: _merged(inner, squares[name]) for name, inner in average.items()}
