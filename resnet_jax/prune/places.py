"""Where channels of a network may be cut, and what is left of it without them.

A convolution reads channels. Where nothing else reads them, the layers that make them
lose them too. Where a shortcut or a concatenation needs the whole map, the convolution
reads the channels that are kept, and the map stays whole: the channel selection of Liu
et al. 2017, Sec. 3.3, and the sampler of He et al. 2017, Sec. 3.3.
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any, TypeVar

import jax
import numpy as np

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.layers import layer_of
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
from resnet_jax.models.units.separable import CutSeparableConvs, SeparableConvs
from resnet_jax.models.units.shortcut import Add
from resnet_jax.models.units.unit import FULL_PRE, UnitSpec
from resnet_jax.paths import Tree
from resnet_jax.prune.place import Masks, Place, of_pixels, width
from resnet_jax.prune.separate import NO_RULE, Variables, separated

T = TypeVar("T", CutBlock, CutHead, CutTransition)


def prepared(spec: NetSpec, variables: Variables) -> tuple[NetSpec, Variables]:
    """The same network in the form that is cut; ConfigError if there is no rule."""
    if spec.layers.operator is not None:
        raise ConfigError("model.operator: pruning knows plain convolutions only")
    if isinstance(spec, ResNetSpec):
        spec, variables = separated(spec, variables)
    list(places(spec))  # raises ConfigError
    return spec, jax.tree.map(np.asarray, variables)


def cut(spec: NetSpec, variables: Variables, masks: Masks) -> tuple[NetSpec, Variables]:
    """A prepared network without the channels that are not kept."""
    masks = filled(spec, variables, masks)
    return without(spec, masks), sliced(spec, variables, masks)


def sliced(spec: NetSpec, variables: Variables, masks: Masks) -> Variables:
    """Variables of a prepared network without the channels that are not kept."""
    inputs, outputs = {}, {}
    for place in places(spec):
        inputs[place.reader] = masks[place.reader]
        outputs |= dict.fromkeys(place.inside, masks[place.reader])

    def rest(path, leaf):
        keys = [key.key for key in path]
        module = "/".join(keys[1:-1])  # below params, batch_stats
        if module in inputs and keys[-1] == "kernel":
            leaf = leaf[..., of_pixels(inputs[module], leaf), :]
        if module in outputs and leaf.shape[-1:] == outputs[module].shape:
            leaf = leaf[..., outputs[module]]
        return leaf

    return jax.tree_util.tree_map_with_path(rest, variables)


def filled(spec: NetSpec, variables: Variables, masks: Masks) -> Masks:
    """Masks of all places; those that are missing keep every channel."""
    return {
        place.reader: masks[place.reader]
        if place.reader in masks
        else np.ones(width(place, variables), bool)
        for place in places(spec)
    }


@functools.singledispatch
def places(spec: NetSpec) -> Iterator[Place]:
    """Layers whose input channels may be cut, from the stem on; ConfigError."""
    raise ConfigError(f"{type(spec).__name__}: {NO_RULE}")


@functools.singledispatch
def without(spec: NetSpec, masks: Masks) -> NetSpec:
    """The spec of a prepared network without the channels that are not kept."""
    raise ConfigError(f"{type(spec).__name__}: {NO_RULE}")


@places.register
def _(spec: ResNetSpec) -> Iterator[Place]:
    for number, unit in enumerate(spec.firsts, 1):
        path = f"stage{number}/first"
        before = f"{path}/norm_before" if "norm" in unit.order.before else None
        if number == 1 and spec.stem.steps and unit.order.before:
            before = "norm_stem" if "norm" in spec.stem.steps else None
        strides = spec.stage_strides[number - 1]
        yield from _of_unit(unit, path, before, resized=strides != 1)
    yield from _of_head(spec.head, spec.end_steps)


@without.register
def _(spec: ResNetSpec, masks: Masks) -> NetSpec:
    found, units = iter(places(spec)), []
    for unit in spec.firsts:
        own = [next(found) for _ in unit.branch.kernels]
        units.append(_cut_unit(unit, own, masks))
    head = _cut_head(spec.head, found, masks)
    return dataclasses.replace(spec, firsts=tuple(units), head=head)


@places.register
def _(spec: DenseNetSpec) -> Iterator[Place]:
    for number, block in enumerate(spec.blocks, 1):
        for layer in range(1, block.layers + 1):
            path, unit = f"block{number}/layer{layer}", block.unit_of(layer)
            norm = f"{path}/norm_before" if "norm" in unit.order.before else None
            yield from _of_unit(unit, path, norm)
        if block.transition:
            path = f"block{number}/transition"
            if block.transition.order != FULL_PRE:
                raise ConfigError(f"{path}: {NO_RULE}")
            read = getattr(block.transition, "channels", None)
            reader = f"{path}/branch/conv1"
            yield Place(reader, f"{path}/norm_before", channels=read)
    yield from _of_head(spec.head, spec.head_steps)


@without.register
def _(spec: DenseNetSpec, masks: Masks) -> NetSpec:
    found, blocks = iter(places(spec)), []
    for block in spec.blocks:
        units = []
        for layer in range(1, block.layers + 1):
            unit = block.unit_of(layer)
            own = [next(found) for _ in unit.branch.kernels]
            units.append(_cut_unit(unit, own, masks))
        transition = block.transition
        if transition:
            read = _read(next(found), masks)
            transition = _turned(transition, CutTransition, channels=read)
        blocks.append(
            _turned(block, CutBlock, units=tuple(units), transition=transition)
        )
    head = _cut_head(spec.head, found, masks)
    return dataclasses.replace(spec, blocks=tuple(blocks), head=head)


@places.register
def _(spec: PlainSpec) -> Iterator[Place]:
    norm, writers = None, ()
    for name, record in spec.named():
        if type(record) not in (Conv, FC, MaxPool, Drop, Mean, Flatten) or spec.relays:
            raise ConfigError(f"{name}: {NO_RULE}")
        if isinstance(record, Conv | FC):
            if writers:
                yield Place(name, norm, writers)
            number = layer_of(name)
            norm = f"norm_{number}" if "norm" in record.steps else None
            maps = isinstance(record, Conv)
            writers = (name, f"norm_{number}", f"act_{number}") if maps else ()


@without.register
def _(spec: PlainSpec, masks: Masks) -> NetSpec:
    widths = {p.writers[0]: int(masks[p.reader].sum()) for p in places(spec)}
    records = (
        dataclasses.replace(record, features=widths[name])
        if isinstance(record, Conv) and name in widths
        else record
        for (name, _), record in zip(spec.named(), spec.records, strict=True)
    )
    return dataclasses.replace(spec, records=tuple(records))


def _of_unit(
    unit: UnitSpec, path: str, before: str | None, *, resized: bool = False
) -> Iterator[Place]:
    branch = unit.branch
    plain = isinstance(branch, B) and branch.cardinality == 1 and not branch.noise
    known = plain or isinstance(branch, Cut | SeparableConvs)
    if not known or unit.gate or unit.join != Add():
        raise ConfigError(
            f"{path}: pruning knows units of plain convolutions that are added to their"
            " shortcuts, without gates or noise"
        )
    inside, last = f"{path}/branch", len(branch.kernels)
    # What an activation does to the branch is not linear.
    linear = unit.shortcut != "none" and "act" not in unit.order.end
    added = path if linear else None
    if isinstance(branch, SeparableConvs):
        # What a pool does to the last map is not linear.
        added = None if resized and branch.pool else added
        yield from _of_separable(branch, inside, added)
        return
    yield Place(
        f"{inside}/conv1",
        before,
        channels=getattr(branch, "channels", None),
        unit=added if last == 1 else None,
    )
    for i in range(1, last):
        norm = f"{inside}/norm_{i}"
        writers = (f"{inside}/conv{i}", norm, f"{inside}/act_{i}")
        unit_of = added if i + 1 == last else None
        yield Place(f"{inside}/conv{i + 1}", norm, writers, unit=unit_of)


def _of_separable(
    branch: SeparableConvs, inside: str, added: str | None
) -> Iterator[Place]:
    """Pointwise convolutions, as in He et al. 2017, Sec. 4.3."""
    last = len(branch.kernels)
    for i in range(1, last + 1):
        before = f"{i - 1}_pointwise"
        layers = (f"conv{before}", f"norm_{before}", f"act_{before}")
        yield Place(
            f"{inside}/conv{i}_pointwise",
            None,
            tuple(f"{inside}/{layer}" for layer in layers) if i > 1 else (),
            f"{inside}/conv{i}_depthwise",
            getattr(branch, "channels", None) if i == 1 else None,
            added if i == last else None,
        )


def _cut_unit(unit: UnitSpec, own: list[Place], masks: Masks) -> UnitSpec:
    first, *inner = own
    widths = tuple(int(masks[place.reader].sum()) for place in inner)
    read, old = _read(first, masks), unit.branch
    if isinstance(old, SeparableConvs):
        new = CutSeparableConvs(old.kernels, widths, old.pool, read)
    else:
        assert isinstance(old, B | Cut)  # as `_of_unit` sees to
        new = Cut(old.kernels, widths, old.stride_at, read)
    return dataclasses.replace(unit, branch=new)


def _of_head(head: Head, steps: tuple[str, ...]) -> Iterator[Place]:
    """The classifier, where it reads the mean of a map."""
    simple = type(head) in (Head, CutHead) and not head.hidden
    if simple and isinstance(head.pool, GlobalMean):
        norm = "norm_head" if "norm" in steps else None
        yield Place("head", norm, channels=getattr(head, "channels", None))


def _cut_head(head: Head, found: Iterator[Place], masks: Masks) -> Head:
    """The head without the channels that are not kept; `found`: its place, if any."""
    for place in found:
        head = _turned(head, CutHead, channels=_read(place, masks))
    return head


def _read(place: Place, masks: Masks) -> tuple[int, ...] | None:
    """Channels of a map that are read from now on."""
    mask = masks[place.reader]
    if place.channels is None and mask.all():
        return None
    channels = range(len(mask)) if place.channels is None else place.channels
    return tuple(c for c, stays in zip(channels, mask, strict=True) if stays)


def _turned(part: Any, cls: type[T], **changes: Any) -> T:
    """The part of a cut net with the fields of a part, and those that are changed."""
    fields: Tree = {f.name: getattr(part, f.name) for f in dataclasses.fields(part)}
    return cls(**(fields | changes))
