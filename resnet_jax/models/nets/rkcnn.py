"""RKCNN: Runge-Kutta steps in periods of one resolution; the head reads all periods."""

import dataclasses

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.layers import Layers, LayersSpec
from resnet_jax.models.layers.operators import with_dropout
from resnet_jax.models.nets.densenet import halved
from resnet_jax.models.nets.stem_head import Stem
from resnet_jax.models.units.branch import B
from resnet_jax.models.units.gate import SE
from resnet_jax.models.units.runge_kutta import Clique
from resnet_jax.models.units.stage import DepthMode, Stage
from resnet_jax.models.units.unit import FULL_PRE, Order, ResidualUnit, UnitSpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class RKCNNSpec:
    """Steps y + F(y); transitions of norm, act, 1x1, gate and 2x2 mean pooling."""

    depths: tuple[int, ...] = (1, 1, 1)  # steps in each period
    width: int = 80  # channels of the state and of every stage
    unit: UnitSpec = UnitSpec(Clique(), Order(), "A")
    gate: SE | None = SE(reduction=2)  # of the transitions ("attention")
    dropout: float = 0.0  # after every convolution but the stem's
    layers: LayersSpec = LayersSpec()
    stem: Stem = Stem(steps=())
    num_classes: int = 10
    depth_mode: DepthMode = "scan"

    def __post_init__(self):
        if not self.depths or min(self.depths) < 1 or self.width < 1:
            raise ConfigError(
                f"depths={self.depths}, width={self.width}: at least one step in each "
                "of at least one period, and one channel"
            )
        with_dropout(self.layers, self.dropout)  # raises ConfigError

    def build(self) -> nn.Module:
        return RKCNN(self)


class RKCNN(nn.Module):
    """Stem, periods, transitions; a classifier of the channel means of all periods."""

    spec: RKCNNSpec

    @nn.compact
    def __call__(
        self, x: Float[Array, "b *hw c"], *, train: bool
    ) -> Float[Array, "b n"]:
        s, shared = self.spec, with_dropout(self.spec.layers, self.spec.dropout)
        layers, means = Layers(shared, train), []
        x = s.stem(layers, x, s.width)
        unit = UnitSpec(B((1,)), FULL_PRE, "none", s.gate)
        for i, steps in enumerate(s.depths, 1):
            if i > 1:
                reduce = ResidualUnit(unit, shared, s.width, name=f"transition{i - 1}")
                x = halved(layers, reduce(x, None, train=train), "mean")
            period = Stage(
                s.unit, s.unit, shared, steps, s.width, strides=1, mode=s.depth_mode,
                name=f"stage{i}",
            )  # fmt: skip
            x = period(x, None, train=train)
            y = layers.steps(x, ("norm", "act"), name=f"head{i}")
            means.append(layers.global_mean(y))
        logits = layers.dense(jnp.concatenate(means, -1), s.num_classes, name="head")
        return logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
