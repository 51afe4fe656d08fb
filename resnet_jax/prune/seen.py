"""What a layer reads and gives at random places of its maps."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.convolution import Convolution
from resnet_jax.models.layers.layers import Layers, Steps
from resnet_jax.models.units.unit import ResidualUnit
from resnet_jax.prune.place import Place


class Seen(NamedTuple):
    """Samples of a convolution: one row for each image and point."""

    inputs: Float[Array, "rows places c"]  # under the kernel, zeros beyond the edge
    outputs: Float[Array, "rows n"]  # before its norm
    # That its branch is added to, over its probability of survival, which scales it
    shortcut: Float[Array, "rows n"] | None


@dataclasses.dataclass(frozen=True)
class Silent:
    """A branch of zeros: its unit is the shortcut alone."""

    kernels: tuple[int, ...] = ()

    def __call__(
        self, layers: Layers, x: Array, features: int, strides: int, end: Steps
    ) -> Array:
        sides = (-(-side // strides) for side in x.shape[1:-1])
        return jnp.zeros((len(x), *sides, features), x.dtype)


@functools.partial(jax.jit, static_argnums=(0, 1))
def seen(
    net: nn.Module,
    place: Place,
    variables: PyTree,
    images: Float[Array, "b *hw c"],
    points: Float[Array, "b points axes"],
) -> Seen:
    """Samples of the reader of a place; `points` in [0, 1) of each axis of its map.

    Layers behind the reader are not computed.
    """
    found = {}

    def record(method, args, kwargs, context):
        result, module = method(*args, **kwargs), context.module
        if context.method_name == "__call__":
            path = "/".join(module.path)
            if path == place.reader:
                found["reader"] = module, args[0], result
            if path == place.unit:
                h, survival = _shortcut(module, args[0]), args[1]
                found["shortcut"] = h if survival is None else h / survival
        return result

    with nn.intercept_methods(record):
        net.apply(variables, images, train=False)
    reader, x, y = found["reader"]
    if not isinstance(reader, Convolution):
        raise ConfigError(f"{place.reader}: is no convolution")
    where = [  # each axis by itself
        jnp.minimum((points[..., axis] * side).astype(jnp.int32), side - 1)
        for axis, side in enumerate(y.shape[1:-1])
    ]
    h = found.get("shortcut")
    rows = _windows(reader, x, where)
    return Seen(
        rows.reshape(-1, *rows.shape[2:]),
        _pixels(y, where),
        None if h is None else _pixels(h, where),
    )


def _shortcut(unit: ResidualUnit, x: Array) -> Array:
    """h(x) of a unit, without what follows the addition."""
    order = dataclasses.replace(unit.unit.order, after=())
    slots = dataclasses.replace(unit.unit, branch=Silent(), order=order)
    alone = ResidualUnit(slots, unit.layers, unit.features, unit.strides, parent=None)
    y = alone.apply(unit.variables, x, None, train=False)
    assert isinstance(y, Array)
    return y


def _pixels(x: Array, where: Sequence[Array]) -> Array:
    """Pixels of a map [b *hw c] at indices [b points] of each axis, as rows."""
    return x[jnp.arange(len(x))[:, None], *where].reshape(-1, x.shape[-1])


def _windows(conv: Convolution, x: Array, where: Sequence[Array]) -> Array:
    """What the kernel sees for such outputs: [b points places c]."""
    rank = len(conv.kernel)
    each = conv.strides
    strides = (each,) * rank if isinstance(each, int) else each
    x = jnp.pad(x, [(0, 0), *conv.padding, (0, 0)])
    index = []
    for axis, (side, stride) in enumerate(zip(conv.kernel, strides, strict=True)):
        shape = [1] * rank
        shape[axis] = side
        first = (where[axis] * stride).reshape(*where[axis].shape, *[1] * rank)
        index.append(first + jnp.arange(side).reshape(1, 1, *shape))
    rows = jnp.arange(len(x)).reshape(-1, 1, *[1] * rank)
    found = x[rows, *index]
    return found.reshape(*where[0].shape, -1, x.shape[-1])
