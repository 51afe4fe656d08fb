"""Multigrid in channels: grouped convolutions, coupled over a hierarchy of widths."""

import dataclasses
from typing import Literal

import flax.linen as nn
from jaxtyping import Array

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.initializers import Initializer, InitSpec
from resnet_jax.models.layers.layers import Layers, Step


@dataclasses.dataclass(frozen=True)
class Multigrid:
    """F of a V-cycle  (MGIC: Eliasof et al. 2023, released code).

    From n channels down, x' = R x has n/2, until these are fewer than `coarsest`; there
    a step is ungrouped. Up again, each level adds what was gained below it and steps:

        z = x + norm(P (V(R x) - R x)),  V(x) = act(z + norm(K2 act(norm(K1 z))))

    R, P: 1x1, K1, K2: 3x3, all in groups of `group` channels, so that parameters grow
    with n and not with n^2. At the finest level the unit adds x and closes: with the
    original order and an identity shortcut it is V. Where a unit resizes, a convolution
    with norm and activation, one group a channel, comes first and takes the place of x:
    V for the shortcut "none".
    """

    group: int = 32  # s_g
    coarsest: int = 32  # s_c
    # R and P at first: drawn as any convolution, or all 1 / group. The released code
    # sets the constant, and then draws them: its test of their names never holds.
    transfer: Literal["drawn", "constant"] = "drawn"

    def __post_init__(self):
        if self.group < 1 or self.coarsest < 2:
            raise ConfigError(
                f"group={self.group}, coarsest={self.coarsest}: must be at least 1, 2"
            )

    @property
    def kernels(self) -> tuple[int, ...]:
        """Kernels of the layers that it stands for, where depth is counted."""
        return (3, 3)

    def __call__(
        self,
        layers: Layers,
        x: Array,
        features: int,
        strides: int,
        end: tuple[Step, ...],
    ) -> Array:
        resized = strides != 1 or x.shape[-1] != features
        if resized:
            x = layers.conv(
                x, features, kernel=3, strides=strides, groups=x.shape[-1],
                then=("norm", "act"), name="resize_conv",
            )  # fmt: skip
        gained = self._below(layers, x, level=1)
        groups = self.groups(features)
        f = gained + _step(layers, x + gained, groups, end, name="level1")
        return x + f if resized else f

    def groups(self, channels: int) -> int:
        """Groups of a level; ConfigError where they divide it or the next one not."""
        groups = max(channels // self.group, 1)
        if channels % (2 * groups):
            raise ConfigError(
                f"group={self.group}: {channels} channels must be even, and their "
                f"{groups} groups divide them and their half"
            )
        return groups

    def _below(self, layers, x, *, level):
        """norm(P (V(R x) - R x))."""
        channels, groups = x.shape[-1], self.groups(x.shape[-1])
        half, transfer = channels // 2, self._transfer(layers)
        coarse = transfer.conv(
            x, half, kernel=1, groups=groups, name=f"restrict{level}_conv"
        )
        z, inner = coarse, 1
        if half >= self.coarsest:
            z, inner = z + self._below(layers, z, level=level + 1), self.groups(half)
        z += _step(layers, z, inner, ("norm",), name=f"level{level + 1}")
        y = layers.act(z, name=f"act_level{level + 1}")
        return transfer.conv(
            y - coarse, channels, kernel=1, groups=groups, then=("norm",),
            name=f"prolong{level}_conv",
        )  # fmt: skip

    def _transfer(self, layers):
        if self.transfer == "drawn":
            return layers
        spec = dataclasses.replace(layers.spec, init=Constant(value=1 / self.group))
        return dataclasses.replace(layers, spec=spec)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Constant(InitSpec):
    """One value for all weights."""

    value: float

    def __call__(self, *, slope: float) -> Initializer:
        return nn.initializers.constant(self.value)


def _step(layers, z, groups, end, *, name):
    """end(K2 act(norm(K1 z)))."""
    for i, then in enumerate((("norm", "act"), end), 1):
        z = layers.conv(
            z, z.shape[-1], kernel=3, groups=groups, then=then, name=f"{name}_conv{i}"
        )
    return z
