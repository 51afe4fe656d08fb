"""The layers of a net in the order in which it calls them, stacked ones unrolled."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import flax.linen as nn

Path = tuple[str, ...]


def listed(
    call: Callable[[], Any], *, wanted: Callable[[nn.Module], Any]
) -> dict[Path, nn.Module]:
    """The wanted modules that `call` runs through, by path, in that order."""
    found: dict[Path, nn.Module] = {}

    def noted(method, args, kwargs, context):
        result = method(*args, **kwargs)
        if wanted(context.module):
            found[context.module.path] = context.module
        return result

    with nn.intercept_methods(noted):
        call()
    return found


def unrolled(
    units: Mapping[Path, int | None],
) -> Iterator[tuple[Path, int | None]]:
    """(path, unit) in forward order; layers in a loop once for each of its units.

    `units` has the number of units that are stacked in a layer, None outside a loop.
    """

    def loop(path: Path) -> Path | None:
        return None if units[path] is None else path[: path.index("rest")]

    for _, inside in itertools.groupby(units, loop):
        inside = list(inside)
        count = units[inside[0]]
        for unit in [None] if count is None else range(count):
            yield from ((path, unit) for path in inside)


def named(path: Path, unit: int | None) -> str:
    """`stage1/rest[0]/branch/conv1`: one layer of one unit."""
    stacked = "rest" if unit is None else f"rest[{unit}]"
    return "/".join(stacked if part == "rest" else part for part in path)
