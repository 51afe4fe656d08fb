"""Residual networks: stem, stages, head."""

import dataclasses
import functools
import itertools
import math

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.layers import Layers, LayersSpec, Steps
from resnet_jax.models.nets.auxiliary_loss import AuxiliaryHead, Relay, all_losses
from resnet_jax.models.nets.stem_head import CIFAR, Head, Stem
from resnet_jax.models.units.ghost import GGhost, GhostStage
from resnet_jax.models.units.stage import DepthMode, Stage
from resnet_jax.models.units.unit import UnitSpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResNetSpec:
    """Residual (or plain) network, as data."""

    depths: tuple[int, ...]  # units in each stage
    widths: tuple[int, ...]  # output channels of each stage
    unit: UnitSpec = UnitSpec()
    firsts: tuple[UnitSpec, ...] = ()  # first unit of each stage; (): all are `unit`
    strides: tuple[int, ...] = ()  # of each stage; (): 1, then 2
    ghosts: GGhost | None = None  # of stages after the first with more than two units
    layers: LayersSpec = LayersSpec()
    stem: Stem = CIFAR
    stem_width: int = 16
    head: Head = Head()
    head_steps: Steps | None = None  # None: the `before` of the unit's order
    num_classes: int = 10
    relays: tuple[Relay, ...] = ()  # auxiliary losses
    survival: float = 1.0  # probability of the last unit; linear decay from the stem
    depth_mode: DepthMode | tuple[DepthMode, ...] = "scan"  # of all, or of each stage

    def __post_init__(self):
        if len(self.depths) != len(self.widths) or min(self.depths) < 1:
            raise ConfigError(
                "one width and at least one unit per stage: got "
                f"depths={self.depths}, widths={self.widths}"
            )
        modes = () if isinstance(self.depth_mode, str) else self.depth_mode
        stages = len(self.depths)
        fields = {"firsts": self.firsts, "strides": self.strides, "depth_mode": modes}
        for name, given in fields.items():
            if len(given) not in (0, stages):
                raise ConfigError(f"{name}: {len(given)} given for {stages} stages")
        all_losses(self)  # raises ConfigError

    def build(self) -> nn.Module:
        return ResNet(self)

    def stage_of(self, name: str) -> int | float:
        """Stage of a module by its name; infinity for the head."""
        if name.startswith("stage"):
            return int(name.removeprefix("stage"))
        return 1 if "stem" in name else math.inf

    def first(self, stage: int) -> UnitSpec:
        """First unit of a stage, counted from 0."""
        return self.firsts[stage] if self.firsts else self.unit

    @property
    def stage_strides(self) -> tuple[int, ...]:
        """Strides of each stage."""
        return self.strides or (1,) + (2,) * (len(self.depths) - 1)

    @property
    def end_steps(self) -> Steps:
        """Steps before the head."""
        return self.unit.order.before if self.head_steps is None else self.head_steps

    def end(self, layers: Layers, x: Array) -> Array:
        """Logits of the last map, by the steps before the head and the head."""
        x = layers.steps(x, self.end_steps, name="head")
        return self.head(layers, x, self.num_classes)


class ResNet(nn.Module):
    """Stem, stages, head  (He et al. 2016a, Table 1 and Sec. 4.2).

    Where the stem ends with norm and activation, the first unit has no steps before its
    branch. For pre-activation nets that is the rule of He et al. 2016b, Sec. 5: "the
    first activation right after conv1, before splitting into two paths"; likewise the
    steps before each branch are repeated before the head.
    In training, logits of auxiliary losses are sown as relays/relay<k>/logits.
    """

    spec: ResNetSpec

    @nn.compact
    def __call__(
        self, x: Float[Array, "b *hw c"], *, train: bool
    ) -> Float[Array, "b n"]:
        s, layers = self.spec, Layers(self.spec.layers, train)
        x = s.stem(layers, x, s.stem_width)
        mode = s.depth_mode
        modes = (mode,) * len(s.depths) if isinstance(mode, str) else mode
        for i, (units, features, survival) in enumerate(
            zip(s.depths, s.widths, self._survival(), strict=True)
        ):
            ghosts = s.ghosts if i > 0 and units > 2 else None
            kind = functools.partial(GhostStage, ghost=ghosts) if ghosts else Stage
            stage = kind(
                self._first(i), s.unit, s.layers, units, features,
                strides=s.stage_strides[i], mode=modes[i], name=f"stage{i + 1}",
            )  # fmt: skip
            x = stage(x, survival, train=train)
            AuxiliaryHead(s, i + 1, name=f"relay{i + 1}")(x, train=train)
        return s.end(layers, x)

    def _first(self, stage):
        """Spec of the first unit of a stage."""
        unit = self.spec.first(stage)
        if stage > 0 or not self.spec.stem.steps:
            return unit
        order = dataclasses.replace(unit.order, before=())
        return dataclasses.replace(unit, order=order)

    def _survival(self):
        """p_l = 1 - (l / L) (1 - p_L) for l = 1 .. L, cut into stages."""
        depths = self.spec.depths
        if self.spec.survival == 1.0:
            return [None] * len(depths)
        total = sum(depths)
        p = 1 - jnp.arange(1, total + 1) / total * (1 - self.spec.survival)
        return jnp.split(p, list(itertools.accumulate(depths))[:-1])
