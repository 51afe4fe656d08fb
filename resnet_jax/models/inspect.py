"""Modules of a net in call order, and its learned slopes."""

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import flax.linen as nn
import numpy as np
from flax.traverse_util import flatten_dict

from resnet_jax.models import complexity
from resnet_jax.paths import replaced

Path = tuple[str, ...]


def named_inside(net: nn.Module) -> nn.Module:
    """The net in a mode in which units have names: loops over segments have none.

    All modes have the same parameters and compute the same.
    """
    spec = getattr(net, "spec", None)
    mode = getattr(spec, "depth_mode", ())
    if spec is not None and "sqrt" in ((mode,) if isinstance(mode, str) else mode):
        return replaced(spec, {"depth_mode": "scan"}).build()
    return net


def listed(
    call: Callable[[], Any], *, wanted: Callable[[nn.Module], Any]
) -> dict[Path, nn.Module]:
    """Wanted modules that `call` runs, by path, in call order."""
    found: dict[Path, nn.Module] = {}

    def record(method, args, kwargs, context):
        result = method(*args, **kwargs)
        if wanted(context.module):
            found[context.module.path] = context.module
        return result

    with nn.intercept_methods(record):
        call()
    return found


def unrolled(
    units: Mapping[Path, int | None],
) -> Iterator[tuple[Path, int | None]]:
    """(path, unit) in forward order; a layer in a loop once per unit.

    `units` is the number of stacked units of each layer, None outside a loop.
    """

    def loop(path: Path) -> Path | None:
        return None if units[path] is None else path[: path.index("rest")]

    for _, inside in itertools.groupby(units, loop):
        inside = list(inside)
        count = units[inside[0]]
        for unit in [None] if count is None else range(count):
            yield from ((path, unit) for path in inside)


def named(path: Path, unit: int | None) -> str:
    """Name of a layer of one unit: `stage1/rest[0]/branch/conv1`."""
    stacked = "rest" if unit is None else f"rest[{unit}]"
    return "/".join(stacked if part == "rest" else part for part in path)


def learned_slopes(
    net: nn.Module, params: Any, *, image_shape: tuple[int, ...]
) -> dict[str, list[float]]:
    """Learned slopes of every rectifier, by name, in call order.

    One per channel, or one that all channels share.
    """
    learned = {
        path[:-1]: np.asarray(leaf, np.float64)
        for path, leaf in flatten_dict(params).items()
        if path[-1] == "slope"
    }
    if not learned:  # spares a trace of the net
        return {}
    called = listed(
        functools.partial(complexity.shapes, net, image_shape),
        wanted=lambda module: module.path in learned,
    )
    units = {path: len(learned[path]) if "rest" in path else None for path in called}
    return {
        named(path, unit): np.ravel(
            learned[path] if unit is None else learned[path][unit]
        ).tolist()
        for path, unit in unrolled(units)
    }
