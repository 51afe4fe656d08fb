"""Channel pruning: layer by layer, channels are chosen and weights fitted anew.

He, Zhang & Sun 2017. Of the channels that a convolution reads, the LASSO chooses some;
least squares give its kernel, and an offset, such that it gives what it gave before any
layer was cut. What it reads is that of the network as it is cut so far, so that errors
do not add up (Sec. 3.2). The last convolution of a residual branch makes good the error
of its shortcut as well, and the first one reads some channels of the map that the
shortcut reads whole (Sec. 3.3).

As in the released code (ethanhe42/channel-pruning), and not as in the text: the LASSO
takes kernels as they are, of any length; both steps have an offset, and come once,
without turns. As in the text, and not as in the code: lambda grows until no more than
the channels asked for are left (the code stops at up to a tenth more), and all samples
count (in the code 400 places). Points are drawn for each image (the code has the same
ones for ten).
"""

from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import numpy as np
from jaxtyping import Float
from threadpoolctl import threadpool_limits

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.layers import layer_of
from resnet_jax.models.nets.spec import NetSpec
from resnet_jax.prune import budget, places, regression
from resnet_jax.prune.place import Place, at, width
from resnet_jax.prune.seen import seen
from resnet_jax.prune.separate import Variables

Select: TypeAlias = Literal["lasso", "first", "response"]
Batches: TypeAlias = Iterable[Float[np.ndarray, "b *hw c"]]


class Layer(NamedTuple):
    """A layer that was cut: channels, and errors relative to its outputs' spread."""

    name: str
    kept: int
    channels: int
    error_before: float  # with the chosen channels and the weights as they were
    error: float  # with those of least squares


@threadpool_limits.wrap(limits=regression.THREADS)
def pruned(
    spec: NetSpec,
    variables: Variables,
    images: Callable[[], Batches],
    *,
    speedup: float,
    select: Select = "lasso",
    ratios: budget.Ratios = (),
    points: int = 10,
    seed: int = 0,
    progress: Callable[[Layer, int], object] | None = None,
) -> tuple[NetSpec, Variables, tuple[Layer, ...]]:
    """A network of 1 / speedup of the multiply-adds: (spec, variables, its layers).

    `spec` and `variables` are those of a trained network and are not changed. `images`
    is a function that gives batches [b h w c] of inputs of the network, the same each
    time; `points` are drawn in each image, by `seed`. `select`: "lasso", or the
    baselines of Fig. 4: "first" channels, or those of largest absolute weights
    ("response"; Li et al. 2017). `ratios` are relative shares of channels that stay, by
    layer, (("conv8", 1.5),), 0 for all. `progress(layer, layers)` is called after each
    of them.

    ConfigError for networks without a rule, for a speed-up that cannot be reached, and
    for fewer samples than least squares need.
    """
    spec, variables = places.prepared(spec, variables)
    shape = next(iter(images())).shape[1:]
    original, variables = variables, jax.tree.map(np.copy, variables)
    may = convolutions(spec, variables)
    asked = budget.widths(spec, shape, may, speedup=speedup, ratios=ratios)
    cut = {place: keep for place, keep in asked.items() if keep < may[place]}
    masks, layers = {}, []
    for place, keep in cut.items():
        samples = _samples(spec, place, original, variables, images(), points, seed)
        layer, masks[place.reader] = _cut(place, keep, select, samples, variables)
        layers.append(layer)
        if progress:
            progress(layer, len(cut))
    return *places.cut(spec, variables, masks), tuple(layers)


def _cut(
    place: Place, keep: int, select: Select, samples: regression.Samples,
    variables: Variables,
) -> tuple[Layer, np.ndarray]:  # fmt: skip
    """Give a layer new weights for the channels that are chosen: (record, mask)."""
    kernel = _matrix(variables, place)
    if samples.count <= (unknowns := len(kernel) * keep):
        raise ConfigError(
            f"{place.reader}: {samples.count} sampled points are too few for "
            f"{unknowns} weights of each output; take more images or points"
        )
    shifted = _offset(variables, place) is not None
    if select == "lasso":
        mask = regression.selected(samples, kernel, keep, shifted=shifted)
    else:
        mask = np.zeros(kernel.shape[1], bool)
        order = _order(select, kernel, place, variables)
        mask[order[:keep]] = True
    new, offset = regression.reconstructed(samples, mask, kernel.shape, shifted=shifted)
    old = np.where(mask[:, None], kernel, 0.0)
    before, after = (
        regression.relative_error(samples, weights, added)
        for weights, added in ((old, 0 * offset), (new, offset))
    )
    _write(variables, place, new, offset)
    return Layer(budget.name(place), keep, len(mask), before, after), mask


def _order(
    select: Select, kernel: np.ndarray, place: Place, variables: Variables
) -> np.ndarray:
    """Channels in the order in which a baseline keeps them."""
    if select == "first":
        return np.arange(kernel.shape[1])
    sums = np.abs(kernel).sum((0, 2))
    if place.writers:  # the filters that make them
        made = at(variables["params"], place.writers[0])["kernel"]
        sums = np.abs(made).sum(tuple(range(made.ndim - 1)))
    return np.argsort(-sums, kind="stable")


def convolutions(spec: NetSpec, variables: Variables) -> dict[Place, int]:
    """Convolutions of a prepared network that may be cut, and what they read."""
    return {
        place: width(place, variables)
        for place in places.places(spec)
        if at(variables["params"], place.reader)["kernel"].ndim > 2
    }


def _matrix(variables: Variables, place: Place) -> Float[np.ndarray, "places c n"]:
    """The kernel of a reader."""
    kernel = at(variables["params"], place.reader)["kernel"]
    return kernel.astype(np.float64).reshape(-1, *kernel.shape[-2:])


def _samples(
    spec: NetSpec, place: Place, original: Variables, variables: Variables,
    images: Batches, points: int, seed: int,
) -> regression.Samples:  # fmt: skip
    """What a layer reads as the network is cut so far, and what it should give."""
    under, channels, _ = _matrix(variables, place).shape
    samples, net = regression.Samples(under * channels), spec.build()
    gain, random = _gain(spec, original, place), np.random.default_rng(seed)
    for batch in images:
        where = random.random((len(batch), points, batch.ndim - 2), np.float32)
        old, new = (
            jax.device_get(seen(net, place, tree, batch, where))
            for tree in (original, variables)
        )
        wanted = np.array(old.outputs, np.float64)
        if gain is not None:  # what the shortcut lacks
            error = np.asarray(old.shortcut, np.float64) - new.shortcut
            wanted += np.divide(error, gain, out=np.zeros_like(error), where=gain != 0)
        samples.add(np.reshape(new.inputs, (len(wanted), -1)), wanted)
    return samples


# --- a layer and the norm behind it


def _behind(place: Place) -> str:
    """Path of the norm behind a reader, which may be a bias, or missing."""
    *above, layer = place.reader.split("/")
    return "/".join([*above, f"norm_{layer_of(layer)}"])


def _gain(spec: NetSpec, variables: Variables, place: Place) -> np.ndarray | None:
    """What a norm behind the last convolution of a branch multiplies its output by.

    None where the output is not added to a shortcut.
    """
    if place.unit is None:
        return None
    params, stats = variables["params"], variables.get("batch_stats", {})
    try:
        norm, moments = at(params, _behind(place)), at(stats, _behind(place))
    except KeyError:
        return np.ones(at(params, place.reader)["kernel"].shape[-1])
    assert spec.layers.norm is not None
    var = moments["var"].astype(np.float64)
    return norm["scale"] / np.sqrt(var + spec.layers.norm.epsilon)


def _offset(variables: Variables, place: Place) -> tuple[dict[str, Any], str] | None:
    """Where an offset of a layer's outputs goes: (a module's leaves, name), if any.

    A norm behind it takes its mean off, so that the offset is taken from the mean.
    """
    try:
        norm = at(variables["params"], _behind(place))
    except KeyError:
        return None
    if "scale" in norm:
        return at(variables["batch_stats"], _behind(place)), "mean"
    return norm, "bias"


def _write(
    variables: Variables, place: Place, kernel: np.ndarray, offset: np.ndarray
) -> None:
    """Put new weights into the variables."""
    leaves = at(variables["params"], place.reader)
    leaves["kernel"][...] = kernel.reshape(leaves["kernel"].shape)
    if target := _offset(variables, place):
        module, name = target
        module[name] += -offset if name == "mean" else offset
