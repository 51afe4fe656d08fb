"""Intermediate maps of a net, by the names of its layers."""

import functools
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
from jaxtyping import Array, Shaped

from resnet_jax.errors import ConfigError
from resnet_jax.models.inspect import Path, listed, named_inside
from resnet_jax.models.nets.auxiliary_loss import AuxiliaryHead
from resnet_jax.paths import did_you_mean

Images = Shaped[Array | np.ndarray, "b *hw c"]
COLLECTION = "intermediates"  # which loops over units stack


def features(
    net: nn.Module,
    variables: Mapping[str, Any],
    images: Images,
    *,
    at: str | Sequence[str],
) -> dict[str, Array]:
    """Outputs of named layers in one forward pass, as at test (`train=False`).

    `images` [b h w c] (clips: [b t h w c]) are the net's input; `variables` those of
    `net.init` or of a run. Returns {name: array} in the order of `at`, of the dtype in
    which the net computes; maps are [b h w c].

    Names are paths of parameters: `stem_conv`, `stage2`, `stage4/first/branch/conv1`,
    `block1/layer3`, `head`. Units in a loop are numbered from 0, `stage4/rest/3`, and
    so are their layers, `stage4/rest/3/branch/conv1`; `stage4/rest` are the outputs of
    all of its units, [units b h w c]. `:input` after a name gives the input in place of
    the output: `head:input` [b c] is what the classifier of a residual or dense net
    reads. Of a layer that runs several times per pass (Runge-Kutta stages), the last.

    All modes of `depth_mode` have the same names and values. May be called inside
    `jax.jit` and `jax.grad`; layers that no name needs are not computed.

    ConfigError for a name that the net does not have, with those that it has.
    """
    names = (at,) if isinstance(at, str) else tuple(at)
    return outputs(net, variables, images, names, field="at")


def outputs(
    net: nn.Module,
    variables: Mapping[str, Any],
    images: Images,
    names: tuple[str, ...],
    *,
    field: str,
) -> dict[str, Array]:
    """Outputs as those of `features`; `field` is what an error says is wrong."""
    net = named_inside(net)
    try:
        found = _captured(net, dict(variables), images, names, field)
    except ConfigError as error:  # to which jax has added a note on its own frames
        raise ConfigError(*error.args) from None
    return dict(zip(names, found, strict=True))


def is_stacked(name: str) -> bool:
    """Tell whether a name is of all units of a loop, whose outputs are stacked."""
    place = _Place.of(name)
    return "rest" in place.path and place.unit is None


class _Place(NamedTuple):
    """Layer, its unit in a loop, and the side of it that is wanted."""

    path: Path
    unit: int | None
    side: str

    @classmethod
    def of(cls, name: str) -> "_Place":
        text, _, side = name.partition(":")
        parts = re.sub(r"\[(\d+)\]", r"/\1", text).split("/")  # rest[3], as in reports
        for i, (before, part) in enumerate(itertools.pairwise(parts), 1):
            if before == "rest" and part.isdecimal():
                return cls((*parts[:i], *parts[i + 1 :]), int(part), side or "output")
        return cls(tuple(parts), None, side or "output")


@functools.partial(jax.jit, static_argnums=(0, 3, 4))
def _captured(net, variables, images, names, field) -> tuple[Array, ...]:
    places = [_Place.of(name) for name in names]
    wanted = {place.path for place in places}

    def record(method, args, kwargs, context):
        result, module = method(*args, **kwargs), context.module
        if context.method_name == "__call__" and module.path in wanted:
            module.sow(COLLECTION, "layer_input", args[0])
            module.sow(COLLECTION, "layer_output", result)
        return result

    with nn.intercept_methods(record):
        _, sown = net.apply(variables, images, train=False, mutable=[COLLECTION])
    found = []
    for name, place in zip(names, places, strict=True):
        tree = sown.get(COLLECTION, {})
        for part in place.path:
            tree = tree.get(part, {})
        value = tree.get(f"layer_{place.side}", (None,))[-1]
        if value is None or (place.unit is not None and place.unit >= len(value)):
            raise ConfigError(_complaint(net, variables, images, name, field))
        found.append(value if place.unit is None else value[place.unit])
    return tuple(found)


def _complaint(net, variables, images, name: str, field: str) -> str:
    """One line on a name that is not there: the names beside it, and a close one."""
    place = _Place.of(name)
    if place.side not in ("input", "output"):
        return f"{field}={name}: a name may end with :input or :output"
    forward = functools.partial(net.apply, train=False)
    call = functools.partial(jax.eval_shape, forward, variables, images)
    known = [path for path in listed(call, wanted=_has_output) if path]
    if place.unit is not None and (loop := _loop(place.path)) in known:
        last = len(jax.tree.leaves(_at(variables["params"], loop))[0]) - 1
        if place.unit > last:
            where = "/".join(loop)
            return f"{field}={name}: no such unit; {where} has units 0 to {last}"
    inner = next(
        path
        for length in range(len(place.path), -1, -1)
        if not (path := place.path[:length]) or path in known
    )
    below = dict.fromkeys(path[len(inner)] for path in _under(known, inner))
    where = "/".join(inner) or "the net"
    choices = ", ".join(below) if below else "no layers in it"
    unit = "rest" if place.unit is None else f"rest/{place.unit}"
    texts = ["/".join(unit if p == "rest" else p for p in path) for path in known]
    return (
        f"{field}={name}: no such layer; {where} has {choices}"
        f"{did_you_mean(name.partition(':')[0], texts)}"
    )


def _has_output(module: nn.Module) -> bool:
    """Tell whether a layer gives an output at test; auxiliary heads give none."""
    return not isinstance(module, AuxiliaryHead)


def _under(paths: Sequence[Path], inner: Path) -> Iterator[Path]:
    """Paths inside that of a module."""
    return (p for p in paths if len(p) > len(inner) and p[: len(inner)] == inner)


def _loop(path: Path) -> Path:
    """Path of the loop that a layer is in."""
    return path[: path.index("rest") + 1]


def _at(tree, path: Path):
    """Subtree at a path."""
    return functools.reduce(lambda inner, part: inner[part], path, tree)
