"""Plain nets: one layer after the other, written down as a tuple of records."""

import collections
import dataclasses
import math
from collections.abc import Iterator
from typing import Literal, Protocol, runtime_checkable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.initializers import TORCH_LINEAR
from resnet_jax.models.layers.layers import Layers, LayersSpec, Step, layer_of
from resnet_jax.models.nets.auxiliary_loss import Inside, Relay, every_loss


@runtime_checkable
class Record(Protocol):
    """A layer as frozen data; also any `Pool` of the heads that takes a name (SPP)."""

    def __call__(self, layers: Layers, x: Array, *, name: str) -> Array: ...


@dataclasses.dataclass(frozen=True)
class Conv:
    """A convolution and its steps."""

    features: int | None  # None: one a class
    kernel: int = 3
    strides: int = 1
    padding: int | None = None  # on every side; None: what gives ceil(size / strides)
    steps: tuple[Step, ...] = ("norm", "act")

    def __call__(self, layers: Layers, x: Array, *, name: str) -> Array:
        assert self.features is not None  # `PlainSpec.named` fills it in
        padding = None
        if self.padding is not None:
            _check_fits(x, self.kernel - 2 * self.padding, name=name)
            padding = [(self.padding, self.padding)] * layers.spec.rank
        return layers.conv(
            x, self.features, kernel=self.kernel, strides=self.strides,
            padding=padding, then=self.steps, name=name,
        )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Towers:
    """Convolutions side by side on one map, their outputs joined along channels."""

    towers: tuple[tuple[Conv, ...], ...]

    def __call__(self, layers: Layers, x: Array, *, name: str) -> Array:
        ends = []
        for i, tower in enumerate(self.towers, 1):
            y = x
            for j, conv in enumerate(tower, 1):
                y = conv(layers, y, name=f"{name}_{i}_conv{j}")
            ends.append(y)
        return jnp.concatenate(ends, axis=-1)


@dataclasses.dataclass(frozen=True)
class MaxPool:
    """Maxima of windows; `up` keeps a last window that reaches over the edge.

    Caffe and cuda-convnet round the number of windows up, most others down.
    """

    window: int = 2
    strides: int = 2
    rounding: Literal["down", "up"] = "down"

    def __post_init__(self):
        if self.strides > self.window:
            raise ConfigError(f"{self}: strides must not exceed the window")

    def __call__(self, layers: Layers, x: Array, *, name: str) -> Array:
        _check_fits(x, self.window, name=name)
        high = self.strides - 1 if self.rounding == "up" else 0
        return layers.max_pool(
            x, window=self.window, strides=self.strides, padding=(0, high)
        )


@dataclasses.dataclass(frozen=True)
class LRN:
    """x / (1 + alpha m)^beta, m the mean of x^2 in a window of the channel.

    Caffe's WITHIN_CHANNEL; beyond the edge there are zeros, which count.
    """

    window: int = 3
    alpha: float = 5e-5
    beta: float = 0.75

    def __call__(self, layers: Layers, x: Array, *, name: str) -> Array:
        mean = layers.local_mean(x * x, window=self.window)
        return x / (1 + self.alpha * mean) ** self.beta


@dataclasses.dataclass(frozen=True)
class Drop:
    """Dropout of single numbers (Srivastava et al. 2014)."""

    rate: float

    def __call__(self, layers: Layers, x: Array, *, name: str) -> Array:
        return layers.dropout(x, self.rate, name=name)


@dataclasses.dataclass(frozen=True)
class Mean:
    """Global average pooling."""

    def __call__(self, layers: Layers, x: Array, *, name: str) -> Array:
        return layers.global_mean(x)


@dataclasses.dataclass(frozen=True)
class Flatten:
    """All numbers of a map as one vector, so for one size of images."""

    def __call__(self, layers: Layers, x: Array, *, name: str) -> Array:
        return x.reshape(len(x), -1)


@dataclasses.dataclass(frozen=True)
class FC:
    """A fully connected layer with bias, and its steps."""

    features: int | None  # None: one a class
    steps: tuple[Step, ...] = ("act",)
    std: float | None = None  # of its kernel at first; None: Torch's uniform

    def __call__(self, layers: Layers, x: Array, *, name: str) -> Array:
        assert self.features is not None  # `PlainSpec.named` fills it in
        init = TORCH_LINEAR if self.std is None else nn.initializers.normal(self.std)
        x = layers.dense(x, self.features, init=init, name=name)
        return layers.steps(x, self.steps, name=name)


Named = tuple[str, Record]
ON_MAPS = (Conv, Towers, MaxPool, LRN)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlainSpec:
    """A net without shortcuts, as data."""

    records: tuple[Record, ...]
    layers: LayersSpec = LayersSpec()
    num_classes: int = 10
    relays: tuple[Relay, ...] = ()  # losses inside the net, in training

    def __post_init__(self):
        # 0 layers on maps, 1 what makes a vector of a map, 2 layers on vectors
        places = [
            0 if isinstance(record, ON_MAPS) else 2 if isinstance(record, FC) else 1
            for record in self.records
            if not isinstance(record, Drop)
        ]
        if places != sorted(places) or places.count(1) != 1:
            raise ConfigError(
                "records: layers on maps, then one Mean, Flatten or SPP, then FC; got "
                + ", ".join(type(record).__name__ for record in self.records)
            )
        weighted = [r.features for r in self.records if isinstance(r, Conv | FC)]
        if weighted.count(None) != 1 or weighted[-1] is not None:
            raise ConfigError(
                f"records: features={weighted}; the last must be None, one a class, "
                "and no other"
            )
        every_loss(self)  # its errors

    @property
    def depths(self) -> tuple[int, ...]:  # records in each stage
        return tuple(map(len, self.parts()[0]))

    def build(self) -> nn.Module:
        return PlainNet(self)

    def parts(self) -> tuple[list[list[Named]], list[Named]]:
        """The stages, which end with pools, and what makes logits of the last map."""
        stages, end = [[]], []
        for named, record in zip(self.named(), self.records, strict=True):
            scores = isinstance(record, Conv) and record.features is None
            if end or scores or not isinstance(record, (*ON_MAPS, Drop)):
                end.append(named)
            else:
                stages[-1].append(named)
            if isinstance(record, MaxPool):
                stages.append([])
        return [stage for stage in stages if stage] or [[]], end

    def end(self, layers: Layers, x: Array) -> Array:
        """Logits of a map, by the records behind all stages."""
        for name, record in self.parts()[1]:
            x = record(layers, x, name=name)
        return x.astype(jnp.promote_types(x.dtype, jnp.float32))

    def stage_of(self, name: str) -> int | float:
        """The stage of a module of the net, by its name; the end is behind all."""
        stages = enumerate(self.parts()[0], 1)
        of = {layer_of(key): number for number, stage in stages for key, _ in stage}
        return of.get(layer_of(name).split("_")[0], math.inf)

    def named(self) -> Iterator[Named]:
        """conv1, maxpool1, conv2, ..., each kind counted; the last FC is `head`."""
        count = collections.Counter()
        for record in self.records:
            kind = type(record).__name__.lower()
            count[kind] += 1
            name = f"{kind}{count[kind]}"
            if isinstance(record, Conv | FC) and record.features is None:
                name = "head" if isinstance(record, FC) else name
                record = dataclasses.replace(record, features=self.num_classes)
            yield name, record

    def widened(self, k: int | float) -> "PlainSpec":
        """The net with every width times k."""
        return dataclasses.replace(
            self, records=tuple(_widened(record, k) for record in self.records)
        )


class PlainNet(nn.Module):
    """The records, one after the other.

    In training, logits of `relays` are sown as relays/relay<k>; at test there are none.
    """

    spec: PlainSpec

    @nn.compact
    def __call__(
        self, x: Float[Array, "b *hw c"], *, train: bool
    ) -> Float[Array, "b n"]:
        s, layers = self.spec, Layers(self.spec.layers, train)
        for number, stage in enumerate(s.parts()[0], 1):
            for name, record in stage:
                x = record(layers, x, name=name)
            Inside(s, number, name=f"relay{number}")(x, train=train)
        return s.end(layers, x)


def _widened(record, k):
    if isinstance(record, Towers):
        towers = (tuple(_widened(conv, k) for conv in tower) for tower in record.towers)
        return Towers(tuple(towers))
    if not isinstance(record, Conv | FC) or record.features is None:
        return record
    wide = record.features * k
    if k <= 0 or wide != round(wide):
        raise ConfigError(
            f"model.width={k}: times {record.features} must be whole and positive"
        )
    return dataclasses.replace(record, features=round(wide))


def _check_fits(x: Array, extent: int, *, name: str) -> None:
    size = x.shape[1:-1]
    if min(size) < extent:
        raise ConfigError(
            f"{name}: needs {extent} pixels an axis, but its map is "
            f"{'x'.join(map(str, size))}; the net is for larger images"
        )
