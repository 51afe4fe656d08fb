"""Plain nets: a sequence of layers, each a record of frozen data."""

import collections
import dataclasses
import math
from collections.abc import Iterator
from typing import Literal, Protocol, runtime_checkable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.initializers import TORCH_LINEAR, Initializer
from resnet_jax.models.layers.layers import Layers, LayersSpec, Steps, layer_of
from resnet_jax.models.nets.auxiliary_loss import AuxiliaryHead, Relay, all_losses


@runtime_checkable
class Record(Protocol):
    """Layer as frozen data; also SPP, a `Pool` of heads that takes a name."""

    def __call__(self, layers: Layers, x: Array, *, name: str) -> Array: ...


@dataclasses.dataclass(frozen=True)
class Conv:
    """Convolution and its steps."""

    features: int | None  # None: one per class
    kernel: int = 3
    strides: int = 1
    padding: int | None = None  # per side; None: as for ceil(size / strides) outputs
    steps: Steps = ("norm", "act")

    def bias(self) -> Initializer | None:
        """Initializer of a bias ahead of the steps; None: no bias."""
        return None

    def __call__(self, layers: Layers, x: Array, *, name: str) -> Array:
        assert self.features is not None  # `PlainSpec.named` fills it in
        padding = None
        if self.padding is not None:
            _check_fits(x, self.kernel - 2 * self.padding, name=name)
            padding = [(self.padding, self.padding)] * layers.spec.rank
        return layers.conv(
            x, self.features, kernel=self.kernel, strides=self.strides,
            padding=padding, bias=self.bias(), then=self.steps, name=name,
        )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class BiasedConv(Conv):
    """Convolution with a bias that its norm takes out again (torchvision's VGG)."""

    def bias(self) -> Initializer | None:
        return nn.initializers.zeros


@dataclasses.dataclass(frozen=True)
class Towers:
    """Parallel sequences of convolutions, their outputs concatenated."""

    towers: tuple[tuple[Conv, ...], ...]

    def __call__(self, layers: Layers, x: Array, *, name: str) -> Array:
        outputs = []
        for i, tower in enumerate(self.towers, 1):
            y = x
            for j, conv in enumerate(tower, 1):
                y = conv(layers, y, name=f"{name}_{i}_conv{j}")
            outputs.append(y)
        return jnp.concatenate(outputs, axis=-1)


@dataclasses.dataclass(frozen=True)
class MaxPool:
    """Max pooling; `up` includes a last window that crosses the edge.

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
    """Local response normalisation, x / (1 + alpha m)^beta, within channels.

    m is the mean of x^2 in a window, zeros beyond the edge included; Caffe's
    WITHIN_CHANNEL.
    """

    window: int = 3
    alpha: float = 5e-5
    beta: float = 0.75

    def __call__(self, layers: Layers, x: Array, *, name: str) -> Array:
        mean = layers.local_mean(x * x, window=self.window)
        return x / (1 + self.alpha * mean) ** self.beta


@dataclasses.dataclass(frozen=True)
class Drop:
    """Dropout of single features (Srivastava et al. 2014)."""

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
    """Map as one vector, for one size of images."""

    def __call__(self, layers: Layers, x: Array, *, name: str) -> Array:
        return x.reshape(x.shape[0], -1)


@dataclasses.dataclass(frozen=True)
class FC:
    """Fully connected layer with bias, and its steps."""

    features: int | None  # None: one per class
    steps: Steps = ("act",)
    std: float | None = None  # of the initial kernel; None: Torch's uniform

    def __call__(self, layers: Layers, x: Array, *, name: str) -> Array:
        assert self.features is not None  # `PlainSpec.named` fills it in
        init = TORCH_LINEAR if self.std is None else nn.initializers.normal(self.std)
        x = layers.dense(x, self.features, init=init, name=name)
        return layers.steps(x, self.steps, name=name)


Named = tuple[str, Record]
ON_MAPS = (Conv, Towers, MaxPool, LRN)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlainSpec:
    """Net without units, as data."""

    records: tuple[Record, ...]
    layers: LayersSpec = LayersSpec()
    num_classes: int = 10
    relays: tuple[Relay, ...] = ()  # auxiliary losses

    def __post_init__(self):
        # 0 layers on maps, 1 from map to vector, 2 layers on vectors
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
                f"records: features={weighted}; the last must be None, one per class, "
                "and no other"
            )
        all_losses(self)  # raises ConfigError

    @property
    def depths(self) -> tuple[int, ...]:  # records in each stage
        return tuple(map(len, self.parts()[0]))

    def build(self) -> nn.Module:
        return PlainNet(self)

    def parts(self) -> tuple[list[list[Named]], list[Named]]:
        """Stages, which end with pools, and the records from last map to logits."""
        stages, end = [[]], []
        for named, record in zip(self.named(), self.records, strict=True):
            classifier = isinstance(record, Conv) and record.features is None
            if end or classifier or not isinstance(record, (*ON_MAPS, Drop)):
                end.append(named)
            else:
                stages[-1].append(named)
            if isinstance(record, MaxPool):
                stages.append([])
        return [stage for stage in stages if stage] or [[]], end

    def end(self, layers: Layers, x: Array) -> Array:
        """Logits of the last map, by the records after all stages."""
        for name, record in self.parts()[1]:
            x = record(layers, x, name=name)
        return x.astype(jnp.promote_types(x.dtype, jnp.float32))

    def stage_of(self, name: str) -> int | float:
        """Stage of a module by its name; infinity after all stages."""
        stages = enumerate(self.parts()[0], 1)
        known = {layer_of(key): number for number, stage in stages for key, _ in stage}
        return known.get(layer_of(name).split("_")[0], math.inf)

    def named(self) -> Iterator[Named]:
        """Named records: conv1, maxpool1, conv2, ...; the last FC is `head`."""
        count = collections.Counter()
        for record in self.records:
            kind = "conv" if isinstance(record, Conv) else type(record).__name__.lower()
            count[kind] += 1
            name = f"{kind}{count[kind]}"
            if isinstance(record, Conv | FC) and record.features is None:
                name = "head" if isinstance(record, FC) else name
                record = dataclasses.replace(record, features=self.num_classes)
            yield name, record

    def widened(self, k: int | float) -> "PlainSpec":
        """Multiply every width by k."""
        return dataclasses.replace(
            self, records=tuple(_widened(record, k) for record in self.records)
        )


class PlainNet(nn.Module):
    """Sequence of the records; in training, sows logits as relays/relay<k>/logits."""

    spec: PlainSpec

    @nn.compact
    def __call__(
        self, x: Float[Array, "b *hw c"], *, train: bool
    ) -> Float[Array, "b n"]:
        s, layers = self.spec, Layers(self.spec.layers, train)
        for number, stage in enumerate(s.parts()[0], 1):
            for name, record in stage:
                x = record(layers, x, name=name)
            AuxiliaryHead(s, number, name=f"relay{number}")(x, train=train)
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
            f"{name}: needs {extent} pixels per axis, but its map is "
            f"{'x'.join(map(str, size))}; the net is for larger images"
        )
