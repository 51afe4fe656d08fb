"""Ghost bottlenecks, RegNetX units, and stages with ghosts of a whole stage.

C-Ghost saves within a layer (Han et al. 2020), G-Ghost over a stage (Han et al. 2022).
"""

import dataclasses

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.layers import Layers, Steps
from resnet_jax.models.layers.operators import Ghost
from resnet_jax.models.units.branch import B
from resnet_jax.models.units.gate import SE
from resnet_jax.models.units.stage import Stage, scan_units
from resnet_jax.models.units.unit import Order, ResidualUnit, UnitSpec

LINEAR = Order(end=("norm",))  # GhostNet: no activation after the addition


@dataclasses.dataclass(frozen=True)
class GhostBottleneck:
    """Ghost module, depthwise k x k where it subsamples, gate, Ghost module.

    Han et al. 2020, Fig. 3; the gate's place is that of the released code.
    """

    hidden: int  # channels between the two modules
    kernel: int = 3  # k of the depthwise convolution
    gate: SE | None = None
    ghost: Ghost = Ghost()

    @property
    def kernels(self) -> tuple[int, ...]:
        """Kernel sizes of both Ghost modules and of the convolution between them."""
        return (1, self.kernel, 1)

    def __call__(
        self, layers: Layers, x: Array, features: int, strides: int, end: Steps
    ) -> Array:
        spec = dataclasses.replace(layers.spec, operator=self.ghost)
        layers = Layers(spec, layers.train)
        x = layers.conv(x, self.hidden, kernel=1, then=("norm", "act"), name="conv1")
        if strides > 1:
            x = layers.conv(
                x, self.hidden, kernel=self.kernel, strides=strides,
                groups=self.hidden, then=("norm",), name="conv_depthwise",
            )  # fmt: skip
        x = self.gate(layers, x) if self.gate else x
        return layers.conv(x, features, kernel=1, then=end, name="conv2")


@dataclasses.dataclass(frozen=True)
class XUnit:
    """1x1, grouped 3x3, 1x1, all of one width  (RegNetX: Radosavovic et al. 2020)."""

    group_width: int
    kernels = (1, 3, 1)

    def __call__(
        self, layers: Layers, x: Array, features: int, strides: int, end: Steps
    ) -> Array:
        groups = max(1, features // self.group_width)
        branch = B(self.kernels, cardinality=groups, stride_at=1)
        return branch(layers, x, features, strides, end)


@dataclasses.dataclass(frozen=True)
class GGhost:
    """Split of a stage of more than two units into intrinsic and ghost channels."""

    share: float = 0.5  # lambda: ghosts / channels
    multiple: int = 1  # intrinsic channels are rounded down to it
    unit: UnitSpec | None = None  # of the intrinsic path; None: that of the net

    def __post_init__(self):
        if not 0 < self.share < 1:
            raise ConfigError(f"model.ghost_share={self.share}: must be in (0, 1)")

    def intrinsic(self, features: int) -> int:
        """Intrinsic channels of a stage."""
        whole = int(round(features * (1 - self.share), 6))
        raw = whole // self.multiple * self.multiple
        if not 0 < raw < features:
            raise ConfigError(
                f"model.ghost_share={self.share}: leaves {raw} intrinsic of {features} "
                "channels"
            )
        return raw


class GhostStage(Stage):
    """G-Ghost stage: [intrinsic, ghosts] between a first and a last unit.

    Han et al. 2022 and released code (g_ghost_regnet.py): n - 2 narrow units work on
    the intrinsic channels of the first unit's output; ghosts are a 1x1 convolution of
    its other channels, plus two of the means of all maps. The units' `order.after`
    follows that addition, too. Variables of the narrow units are stacked as `rest`.
    Mode sqrt is remat here.
    """

    ghost: GGhost = GGhost()

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b *hw c"],
        survival: Float[Array, " units"] | None,
        *,
        train: bool,
    ) -> Float[Array, "b *hw2 features"]:
        p = survival
        head, inner, tail = (None,) * 3 if p is None else (p[0], p[1:-1], p[-1])
        first = ResidualUnit(
            self.first, self.layers, self.features, self.strides, name="first"
        )
        x = first(x, head, train=train)
        raw = self.ghost.intrinsic(self.features)
        y, means = self._intrinsic(x[..., :raw], inner, train)
        ghosts = self._ghosts(Layers(self.layers, train).plain(), x, means, raw)
        last = ResidualUnit(self.rest, self.layers, self.features, name="last")
        return last(jnp.concatenate([y, ghosts], axis=-1), tail, train=train)

    def _intrinsic(self, x, survival, train):
        """Output of the last narrow unit [b *hw raw], means of all [b (n-2)*raw]."""
        layers = Layers(self.layers, train)

        def step(rest: ResidualUnit, x: Array, p: Array | None):
            y = rest(x, p, train=train)
            return y, layers.global_mean(y)

        loop = scan_units(step, self.mode, length=self.units - 2)
        unit = self.ghost.unit or self.rest
        rest = ResidualUnit(unit, self.layers, x.shape[-1], name="rest")
        y, means = loop(rest, x, survival)
        return y, jnp.moveaxis(means, 0, 1).reshape(x.shape[0], -1)

    def _ghosts(self, layers, x, means, raw):
        """after( norm(W x_ghost) + mix(means) ) [b *hw c - raw]."""
        features = x.shape[-1] - raw
        mix = jnp.concatenate([layers.global_mean(x), means], axis=-1)
        mix = mix.reshape(x.shape[0], *(1,) * (x.ndim - 2), -1)
        for name, then in (("mix_conv1", ("norm", "act")), ("mix_conv2", ("norm",))):
            mix = layers.conv(mix, features, kernel=1, then=then, name=name)
        ghosts = layers.conv(
            x[..., raw:], features, kernel=1, then=("norm",), name="cheap_conv"
        )
        return layers.steps(ghosts + mix, self.rest.order.after, name="after")
