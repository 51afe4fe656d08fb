"""Residual networks: stem, stages, head."""

import dataclasses
import functools
import itertools
import math

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.layers import Layers, LayersSpec, Step
from resnet_jax.models.nets.auxiliary_loss import Inside, Relay, every_loss
from resnet_jax.models.nets.stem_head import CIFAR, Head, Stem
from resnet_jax.models.units.ghost import GGhost, GhostStage
from resnet_jax.models.units.stage import DepthMode, Stage
from resnet_jax.models.units.unit import UnitSpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResNetSpec:
    """A residual (or plain) network, as data."""

    depths: tuple[int, ...]  # units in each stage
    widths: tuple[int, ...]  # output channels of each stage
    unit: UnitSpec = UnitSpec()
    # The first unit of each stage, where it is of another kind; (): all are `unit`
    firsts: tuple[UnitSpec, ...] = ()
    strides: tuple[int, ...] = ()  # of each stage; (): 1, then 2
    ghosts: GGhost | None = None  # of stages behind the first with more than two units
    layers: LayersSpec = LayersSpec()
    stem: Stem = CIFAR
    stem_width: int = 16
    head: Head = Head()
    head_steps: tuple[Step, ...] | None = None  # None: what stands ahead of a branch
    num_classes: int = 10
    relays: tuple[Relay, ...] = ()  # losses inside the net, in training
    survival: float = 1.0  # of the last unit; falls linearly from the stem on
    depth_mode: DepthMode | tuple[DepthMode, ...] = "scan"  # of all, or of each stage

    def __post_init__(self):
        if len(self.depths) != len(self.widths) or min(self.depths) < 1:
            raise ConfigError(
                "one width and at least one unit a stage: got "
                f"depths={self.depths}, widths={self.widths}"
            )
        modes = () if isinstance(self.depth_mode, str) else self.depth_mode
        each = {"firsts": self.firsts, "strides": self.strides, "depth_mode": modes}
        for name, given in each.items():
            if len(given) not in (0, len(self.depths)):
                raise ConfigError(
                    f"{name}: {len(given)} given for {len(self.depths)} stages"
                )
        every_loss(self)  # its errors

    def build(self) -> nn.Module:
        return ResNet(self)

    def stage_of(self, name: str) -> int | float:
        """The stage of a module of the net, by its name; the head is behind all."""
        if name.startswith("stage"):
            return int(name.removeprefix("stage"))
        return 1 if "stem" in name else math.inf

    def end(self, layers: Layers, x: Array) -> Array:
        """Logits of a map: the steps ahead of the head, and the head."""
        before = self.unit.order.before
        steps = before if self.head_steps is None else self.head_steps
        x = layers.steps(x, steps, name="head")
        return self.head(layers, x, self.num_classes)


class ResNet(nn.Module):
    """Stem, stages, head  (He et al. 2016a, Table 1 and Sec. 4.2).

    Where the stem ends with norm and activation, the first unit has none of its own
    ahead of the branch. For pre-activation nets that is the rule of He et al. 2016b,
    Sec. 5: "the first activation right after conv1, before splitting into two paths";
    likewise the head repeats once more what stands ahead of each branch.
    In training, logits of `relays` are sown as relays/relay<k>; at test there are none.
    """

    spec: ResNetSpec

    @nn.compact
    def __call__(
        self, x: Float[Array, "b *hw c"], *, train: bool
    ) -> Float[Array, "b n"]:
        s, layers = self.spec, Layers(self.spec.layers, train)
        x = s.stem(layers, x, s.stem_width)
        strides = s.strides or (1,) + (2,) * (len(s.depths) - 1)
        mode = s.depth_mode
        modes = (mode,) * len(s.depths) if isinstance(mode, str) else mode
        for i, (units, features, survival) in enumerate(
            zip(s.depths, s.widths, self._survival(), strict=True)
        ):
            ghosts = s.ghosts if i > 0 and units > 2 else None
            kind = functools.partial(GhostStage, ghost=ghosts) if ghosts else Stage
            stage = kind(
                self._first(i), s.unit, s.layers, units, features,
                strides=strides[i], mode=modes[i], name=f"stage{i + 1}",
            )  # fmt: skip
            x = stage(x, survival, train=train)
            Inside(s, i + 1, name=f"relay{i + 1}")(x, train=train)
        return s.end(layers, x)

    def _first(self, stage):
        """The spec of a stage's first unit."""
        unit = self.spec.firsts[stage] if self.spec.firsts else self.spec.unit
        if stage > 0 or not self.spec.stem.steps:
            return unit
        return dataclasses.replace(
            unit, order=dataclasses.replace(unit.order, before=())
        )

    def _survival(self):
        """p_l = 1 - (l / L) (1 - p_L) for l = 1 .. L, cut into stages."""
        depths = self.spec.depths
        if self.spec.survival == 1.0:
            return [None] * len(depths)
        total = sum(depths)
        p = 1 - jnp.arange(1, total + 1) / total * (1 - self.spec.survival)
        return jnp.split(p, list(itertools.accumulate(depths))[:-1])
