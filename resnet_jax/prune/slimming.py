"""Network slimming: channels whose BatchNorm scale is small are cut (Liu et al. 2017).

Training with `optim.scale_l1` pushes scales to zero (Eq. 1). All scales of a network
are ranked together, and the channels of the smallest ones leave it (Sec. 3.2): with
them the filters that make them and the weights that read them. What the shift of a
channel gave to the next layer is dropped, as in the released code, and not moved into
its bias. Where a shortcut needs the whole width (pre-activation units, concatenating
nets) the norm stays whole, and the convolution behind it reads the channels that are
kept (Sec. 3.3).
"""

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import jax
import numpy as np

from resnet_jax.errors import ConfigError
from resnet_jax.models.nets.densenet import CutBlock, CutTransition, DenseNetSpec
from resnet_jax.models.nets.plain import (
    FC,
    Conv,
    Drop,
    Flatten,
    MaxPool,
    Mean,
    PlainSpec,
)
from resnet_jax.models.nets.resnet import ResNetSpec
from resnet_jax.models.nets.spec import NetSpec
from resnet_jax.models.nets.stem_head import CutHead, GlobalMean, Head
from resnet_jax.models.units.branch import B
from resnet_jax.models.units.cut import Cut
from resnet_jax.models.units.unit import FULL_PRE, UnitSpec
from resnet_jax.paths import Tree
from resnet_jax.prune.separate import NO_RULE, Variables, separated

T = TypeVar("T", CutBlock, CutHead, CutTransition)
Masks = Mapping[str, np.ndarray]  # of a norm, by its path: the channels that are kept


@dataclasses.dataclass(frozen=True)
class Place:
    """A norm with channels that may be cut, and the modules around it, by path."""

    norm: str
    readers: tuple[str, ...]  # whose weights lose inputs
    writers: tuple[str, ...] = ()  # that lose outputs; (): the norm stays whole
    channels: tuple[int, ...] | None = None  # of the norm, that are read; None: all


def slimmed(
    spec: NetSpec, variables: Variables, *, share: float, cap: float = 1.0
) -> tuple[NetSpec, Variables]:
    """A network without the channels of the smallest scales, and what is left of them.

    `share` of all channels behind a norm is cut, of no layer more than `cap` (the paper
    has 0.5 where it slims in several passes). ConfigError where a layer would lose all
    of its channels, and for networks that no rule is known for.
    """
    spec, variables = prepared(spec, variables)
    masks = kept(scales(spec, variables), share=share, cap=cap)
    return without(spec, masks), sliced(spec, variables, masks)


def prepared(spec: NetSpec, variables: Variables) -> tuple[NetSpec, Variables]:
    """The same network in the form that is cut; ConfigError if there is no rule."""
    if spec.layers.norm is None:
        raise ConfigError("model.norm: slimming ranks the scales of BatchNorm")
    if spec.layers.operator is not None:
        raise ConfigError("model.operator: slimming knows plain convolutions only")
    if isinstance(spec, ResNetSpec):
        spec, variables = separated(spec, variables)
    list(places(spec))  # raises ConfigError
    return spec, jax.tree.map(np.asarray, variables)


def scales(spec: NetSpec, variables: Variables) -> dict[str, np.ndarray]:
    """|scale| of every channel that is read, by the path of its norm."""
    found = {}
    for place in places(spec):
        scale = np.abs(_at(variables["params"], place.norm)["scale"])
        read = slice(None) if place.channels is None else [*place.channels]
        found[place.norm] = scale[read]
    return found


def kept(found: Mapping[str, np.ndarray], *, share: float, cap: float = 1.0) -> Masks:
    """The channels that stay: those above the percentile, and the largest of a layer.

    Of n channels the smallest floor(share n) are cut, as in the Torch release, with all
    that equal the last of them; of no layer more than floor(cap of its channels).
    """
    if not 0 < share < 1 or not 0 < cap <= 1:
        raise ConfigError(f"share={share}, cap={cap}: must be above 0, share below 1")
    every = np.sort(np.concatenate([*found.values()]))
    number = math.floor(len(every) * share)
    threshold = every[number - 1] if number else -np.inf
    masks = {}
    for norm, scale in found.items():
        stays = scale > threshold
        least = len(scale) - math.floor(cap * len(scale))
        if stays.sum() < least:
            stays = np.zeros(len(scale), bool)
            stays[np.argsort(scale, kind="stable")[len(scale) - least :]] = True
        if not stays.any():
            raise ConfigError(
                f"share={share}: would leave {norm} without channels; a share of "
                f"{_largest(found):.4f} does not"
            )
        masks[norm] = stays
    return masks


def _largest(found: Mapping[str, np.ndarray]) -> float:
    """The largest share, rounded down to 4 digits, that empties no layer."""
    every = np.concatenate([*found.values()])
    below = (every < min(scale.max() for scale in found.values())).sum()
    return math.floor(1e4 * below / len(every)) / 1e4


def sliced(spec: NetSpec, variables: Variables, masks: Masks) -> Variables:
    """Variables of a prepared network without the channels that are not kept."""
    inputs, outputs = {}, {}
    for place in places(spec):
        inputs |= dict.fromkeys(place.readers, masks[place.norm])
        outputs |= dict.fromkeys(place.writers, masks[place.norm])

    def rest(path, leaf):
        keys = [key.key for key in path]
        module = "/".join(keys[1:-1])  # below params, batch_stats
        if module in inputs and keys[-1] == "kernel":
            mask = inputs[module]  # of each pixel, where the map was flattened
            leaf = leaf[..., np.tile(mask, leaf.shape[-2] // len(mask)), :]
        if module in outputs and leaf.shape[-1:] == outputs[module].shape:
            leaf = leaf[..., outputs[module]]
        return leaf

    return jax.tree_util.tree_map_with_path(rest, variables)


def _at(tree: Mapping, path: str) -> Mapping:
    for name in path.split("/"):
        tree = tree[name]
    return tree


# --- what is known of each kind of network


@functools.singledispatch
def places(spec: NetSpec) -> Iterator[Place]:
    """The norms whose channels may be cut, from the stem on; ConfigError."""
    raise ConfigError(f"{type(spec).__name__}: {NO_RULE}")


@functools.singledispatch
def without(spec: NetSpec, masks: Masks) -> NetSpec:
    """The spec of a prepared network without the channels that are not kept."""
    raise ConfigError(f"{type(spec).__name__}: {NO_RULE}")


@places.register
def _(spec: ResNetSpec) -> Iterator[Place]:
    for number, unit in enumerate(spec.firsts, 1):
        at = f"stage{number}/first"
        of_stem = number == 1 and "norm" in spec.stem.steps
        yield from _of_unit(unit, at, "norm_stem" if of_stem else f"{at}/norm_before")
    yield _of_head(spec.head, spec.end_steps)


@without.register
def _(spec: ResNetSpec, masks: Masks) -> NetSpec:
    *of_units, last = places(spec)
    units, after = [], iter(of_units)
    for unit in spec.firsts:
        own = [next(after) for _ in unit.branch.kernels]
        units.append(_cut_unit(unit, own, masks))
    return dataclasses.replace(
        spec, firsts=tuple(units), head=_cut_head(spec.head, last, masks)
    )


@places.register
def _(spec: DenseNetSpec) -> Iterator[Place]:
    for number, block in enumerate(spec.blocks, 1):
        for layer in range(1, block.layers + 1):
            at = f"block{number}/layer{layer}"
            yield from _of_unit(block.unit_of(layer), at, f"{at}/norm_before")
        if block.transition:
            at = f"block{number}/transition"
            if block.transition.order != FULL_PRE:
                raise ConfigError(f"{at}: {NO_RULE}")
            read = getattr(block.transition, "channels", None)
            reader = f"{at}/branch/conv1"
            yield Place(f"{at}/norm_before", (reader,), channels=read)
    yield _of_head(spec.head, spec.head_steps)


@without.register
def _(spec: DenseNetSpec, masks: Masks) -> NetSpec:
    *of_layers, last = places(spec)
    blocks, after = [], iter(of_layers)
    for block in spec.blocks:
        units = []
        for layer in range(1, block.layers + 1):
            unit = block.unit_of(layer)
            own = [next(after) for _ in unit.branch.kernels]
            units.append(_cut_unit(unit, own, masks))
        transition = block.transition
        if transition:
            read = _read(next(after), masks)
            transition = _turned(transition, CutTransition, channels=read)
        blocks.append(
            _turned(block, CutBlock, units=tuple(units), transition=transition)
        )
    head = _cut_head(spec.head, last, masks)
    return dataclasses.replace(spec, blocks=tuple(blocks), head=head)


@places.register
def _(spec: PlainSpec) -> Iterator[Place]:
    norm, writers = None, ()
    for name, record in spec.named():
        if type(record) not in (Conv, FC, MaxPool, Drop, Mean, Flatten) or spec.relays:
            raise ConfigError(f"{name}: {NO_RULE}")
        if isinstance(record, Conv | FC):
            if norm:
                yield Place(norm, (name,), writers)
            steps = () if isinstance(record, FC) else record.steps
            number = name.removeprefix("conv")
            norm = f"norm_{number}" if "norm" in steps else None
            writers = (name, f"norm_{number}", f"act_{number}")


@without.register
def _(spec: PlainSpec, masks: Masks) -> NetSpec:
    widths = {place.writers[0]: int(masks[place.norm].sum()) for place in places(spec)}
    records = (
        dataclasses.replace(record, features=widths[name])
        if isinstance(record, Conv) and name in widths
        else record
        for (name, _), record in zip(spec.named(), spec.records, strict=True)
    )
    return dataclasses.replace(spec, records=tuple(records))


def _of_unit(unit: UnitSpec, at: str, before: str) -> Iterator[Place]:
    branch = unit.branch
    plain = isinstance(branch, B) and branch.cardinality == 1 and not branch.noise
    if not (plain or isinstance(branch, Cut)) or unit.order != FULL_PRE or unit.gate:
        raise ConfigError(
            f"{at}: slimming knows pre-activation units of plain convolutions, without "
            "gates or noise"
        )
    at = f"{at}/branch"
    yield Place(before, (f"{at}/conv1",), channels=getattr(branch, "channels", None))
    for i in range(1, len(branch.kernels)):
        writers = (f"{at}/conv{i}", f"{at}/norm_{i}", f"{at}/act_{i}")
        yield Place(f"{at}/norm_{i}", (f"{at}/conv{i + 1}",), writers)


def _cut_unit(unit: UnitSpec, own: list[Place], masks: Masks) -> UnitSpec:
    before, *inner = own
    assert isinstance(unit.branch, B | Cut)  # as `_of_unit` sees to
    branch = Cut(
        unit.branch.kernels,
        tuple(int(masks[place.norm].sum()) for place in inner),
        unit.branch.stride_at,
        _read(before, masks),
    )
    return dataclasses.replace(unit, branch=branch)


def _of_head(head: Head, steps: tuple[str, ...]) -> Place:
    if "norm" not in steps or head.hidden or not isinstance(head.pool, GlobalMean):
        raise ConfigError("head: slimming knows a norm, a global mean and one layer")
    return Place("norm_head", ("head",), channels=getattr(head, "channels", None))


def _cut_head(head: Head, place: Place, masks: Masks) -> CutHead:
    return _turned(head, CutHead, channels=_read(place, masks))


def _read(place: Place, masks: Masks) -> tuple[int, ...] | None:
    """Channels of a norm that are read from now on."""
    mask = masks[place.norm]
    if place.channels is None and mask.all():
        return None
    channels = range(len(mask)) if place.channels is None else place.channels
    return tuple(c for c, stays in zip(channels, mask, strict=True) if stays)


def _turned(part: Any, cls: type[T], **changes: Any) -> T:
    """The part of a cut net with the fields of a part, and those that are changed."""
    fields: Tree = {f.name: getattr(part, f.name) for f in dataclasses.fields(part)}
    return cls(**(fields | changes))
