"""Channel pruning: layer by layer, channels are chosen and weights fitted anew.

He, Zhang & Sun 2017. Of the channels that a convolution reads, the LASSO chooses some;
least squares give its kernel, and an offset, such that it gives what it gave before any
layer was cut. What it reads is that of the network as it is cut so far, so that errors
do not add up (Sec. 3.2). The last convolution of a residual branch makes good the error
of its shortcut as well, and the first one reads some channels of the map that the
shortcut reads whole (Sec. 3.3).

Where text and released code (ethanhe42/channel-pruning) differ: kernels have length 1
per channel in the LASSO (Sec. 3.1; the code takes them as they are); lambda grows until
exactly the channels asked for are left (the code stops at up to a tenth more); the
LASSO sees all samples (the code 400 places); points are drawn for each image (the code
has the same for ten). As in the code, and not in the text, least squares have an
offset; kernels are chosen once, without turns of both steps.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import numpy as np
from jaxtyping import Float

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.layers import layer_of
from resnet_jax.models.nets.spec import NetSpec
from resnet_jax.prune import budget, regression
from resnet_jax.prune.places import (
    Place,
    at,
    filled,
    places,
    prepared,
    sliced,
    width,
    without,
)
from resnet_jax.prune.seen import Seen, seen
from resnet_jax.prune.separate import Variables

Select: TypeAlias = Literal["lasso", "first", "response"]
Batches: TypeAlias = Iterable[Float[np.ndarray, "b *hw c"]]
ROWS = 2048  # samples that are added at once, at least; fewer are slow


class Layer(NamedTuple):
    """A layer that was cut: channels, and errors relative to its outputs' spread."""

    name: str
    kept: int
    channels: int
    error_before: float  # with the chosen channels and the weights as they were
    error: float  # with those of least squares


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
    """A network of 1 / speedup of the multiply-adds, its variables, and its layers.

    `images()` gives batches of inputs of the network, the same each time; `points` are
    drawn in each. `select`: "lasso", or the baselines of Fig. 4: "first" channels, or
    those of largest absolute weights ("response"; Li et al. 2017). `ratios` as in
    `budget.widths`. `progress(layer, layers)` is called after each of them.

    ConfigError for networks without a rule, for a speed-up that cannot be reached, and
    for fewer samples than least squares need.
    """
    spec, variables = prepared(spec, variables)
    shape = next(iter(images())).shape[1:]
    original, net = variables, spec.build()
    variables = jax.tree.map(np.copy, variables)
    may = {p: width(p, variables) for p in places(spec) if _convolves(p, variables)}
    asked = budget.widths(spec, shape, may, speedup=speedup, ratios=ratios)
    cut = {place: keep for place, keep in asked.items() if keep < may[place]}
    masks, layers = {}, []
    for place, keep in cut.items():
        kernel = _as_matrix(at(variables["params"], place.reader)["kernel"])
        gain = _gain(spec, original, place)
        shifted = _offset(variables, place) is not None
        samples = regression.Samples(kernel.shape[0] * kernel.shape[1])
        pairs = _pairs(net, place, original, variables, images(), points, seed)
        for x, y in _rows(pairs, gain, least=max(ROWS, samples.inputs)):
            samples.add(x, y)
        _check_enough(place, samples, kernel.shape[0] * keep)
        mask = _chosen(select, samples, kernel, keep, place, variables, shifted)
        masks[place.reader] = mask
        new, offset = regression.reconstructed(
            samples, mask, kernel.shape, shifted=shifted
        )
        layers.append(_layer(place, samples, mask, kernel, new, offset))
        _write(variables, place, new, offset)
        if progress:
            progress(layers[-1], len(cut))
    masks = filled(spec, variables, masks)
    return without(spec, masks), sliced(spec, variables, masks), tuple(layers)


def _convolves(place: Place, variables: Variables) -> bool:
    return at(variables["params"], place.reader)["kernel"].ndim > 2


def _as_matrix(kernel: np.ndarray) -> Float[np.ndarray, "places c n"]:
    return kernel.astype(np.float64).reshape(-1, *kernel.shape[-2:])


def _layer(place, samples, mask, kernel, new, offset) -> Layer:
    """The record of a layer."""
    old = np.where(mask[:, None], kernel, 0.0)
    error = functools.partial(regression.relative_error, samples)
    kept, channels = int(mask.sum()), len(mask)
    before = error(old, np.zeros(len(offset)))
    return Layer(budget.name(place), kept, channels, before, error(new, offset))


def _check_enough(place: Place, samples: regression.Samples, unknowns: int) -> None:
    if samples.count <= unknowns:
        raise ConfigError(
            f"{place.reader}: {samples.count} sampled points are too few for "
            f"{unknowns} weights for each output; take more images or points"
        )


# --- samples


def _pairs(
    net, place: Place, original: Variables, variables: Variables, images: Batches,
    points: int, seed: int,
) -> Iterator[tuple[Seen, Seen]]:  # fmt: skip
    """Samples of the network as it was, and as it is cut so far."""
    random = np.random.default_rng(seed)
    for batch in images:
        where = random.random((len(batch), points, batch.ndim - 2), np.float32)
        old, new = (seen(net, place, v, batch, where) for v in (original, variables))
        yield jax.device_get(old), jax.device_get(new)


def _rows(
    pairs: Iterable[tuple[Seen, Seen]], gain: np.ndarray | None, *, least: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Inputs of the cut network, and the outputs that its layer should give.

    `gain`: of outputs, on their way to the sum with the shortcut; None: no sum.
    """
    waiting: list[tuple[np.ndarray, np.ndarray]] = []
    for old, new in pairs:
        wanted = old.outputs.astype(np.float64)
        if gain is not None and old.shortcut is not None and new.shortcut is not None:
            error = old.shortcut.astype(np.float64) - new.shortcut
            wanted += np.divide(error, gain, out=np.zeros_like(error), where=gain != 0)
        waiting.append((new.inputs.reshape(len(wanted), -1), wanted))
        if sum(len(y) for _, y in waiting) >= least:
            yield _joined(waiting)
            waiting = []
    if waiting:
        yield _joined(waiting)


def _joined(rows: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    x, y = zip(*rows, strict=True)
    return np.concatenate(x), np.concatenate(y)


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


# --- which channels


def _chosen(
    select: Select, samples: regression.Samples, kernel: np.ndarray, keep: int,
    place: Place, variables: Variables, shifted: bool,
) -> np.ndarray:  # fmt: skip
    """Mask of the channels that stay."""
    if select == "lasso":
        return regression.selected(samples, kernel, keep, shifted=shifted)
    mask = np.zeros(kernel.shape[1], bool)
    if select == "first":
        mask[:keep] = True
        return mask
    sums = np.abs(kernel).sum((0, 2))
    if place.writers:
        made = at(variables["params"], place.writers[0])["kernel"]
        sums = np.abs(made).sum(tuple(range(made.ndim - 1)))
    mask[np.argsort(-sums, kind="stable")[:keep]] = True
    return mask
