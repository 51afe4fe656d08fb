"""BatchNorm statistics recomputed after training, over many training batches.

Moving averages mix the statistics of networks that are no more; He et al. computed
true averages after training (deep-residual-networks, README).
"""

from collections.abc import Callable, Iterable
from typing import Any

import jax

from resnet_jax.train.program import Program

Tree = dict[str, Any]


def precise_statistics(
    program: Program, variables: Tree, data: Any, feeds: Iterable[Any]
) -> Tree:
    """Mean and variance of every norm's input over all examples of the batches.

    The variance is the mean variance within batches plus that of the batch means.
    """
    count, first, second = 0, None, None
    for number, feed in enumerate(feeds):
        stats = program.statistics(variables, data, feed, number)
        moments = _mean_leaves(stats, lambda mean: mean**2)
        if first is None:
            first, second = stats, moments
        else:
            add = jax.numpy.add
            first = jax.tree.map(add, first, stats)
            second = jax.tree.map(add, second, moments)
        count += 1
    average = jax.tree.map(lambda x: x / count, first)
    squares = jax.tree.map(lambda x: x / count, second)
    return _merged(average, squares)


def over_groups(statistics: Callable[..., Tree], *, size: int) -> Callable[..., Tree]:
    """`statistics` for nets that normalise each `size` images by themselves.

    As above, the variance is that within groups plus that of the means of the groups.
    """

    def total(variables, images, *, rngs):
        groups = images.reshape(-1, size, *images.shape[1:])
        stats = jax.vmap(lambda group: statistics(variables, group, rngs=rngs))(groups)
        moments = _mean_leaves(stats, lambda mean: mean**2)
        return _merged(*jax.tree.map(lambda x: x.mean(axis=0), (stats, moments)))

    return total


def _mean_leaves(stats, function):
    """The tree of `mean` leaves alone, each through `function`."""
    if "mean" in stats:
        return {"mean": function(stats["mean"])}
    return {name: _mean_leaves(inner, function) for name, inner in stats.items()}


def _merged(average, squares):
    if "mean" in average:
        between = squares["mean"] - average["mean"] ** 2
        return average | {"var": average["var"] + between.clip(min=0)}
    return {name: _merged(inner, squares[name]) for name, inner in average.items()}
