"""Multigrid in channels: grouped convolutions coupled over a hierarchy of widths."""

import dataclasses

from jaxtyping import Array

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.layers import Layers, Steps


@dataclasses.dataclass(frozen=True)
class Multigrid:
    """F of a V-cycle  (MGIC: Eliasof et al. 2023, released code).

    Restriction x' = R x halves the n channels until they are fewer than `coarsest`;
    convolutions there are ungrouped. Prolongation P adds each level's correction:

        z = x + norm(P (V(R x) - R x)),  V(x) = act(z + norm(K2 act(norm(K1 z))))

    R, P: 1x1, K1, K2: 3x3, all in groups of `group` channels, so that parameters grow
    with n and not with n^2. At the finest level the unit adds x and the activation: in
    the original order, with an identity shortcut, it is V. Where a unit resizes, a
    depthwise convolution with norm and activation comes first and takes the place of x:
    V for the shortcut "none". R and P are drawn like any convolution: the released code
    sets them to 1 / group, but overwrites that.
    """

    group: int = 32  # s_g
    coarsest: int = 32  # s_c
    kernels = (3, 3)  # of the two layers that the cycle replaces; not a field

    def __post_init__(self):
        if self.group < 1 or self.coarsest < 2:
            raise ConfigError(
                f"group={self.group}, coarsest={self.coarsest}: must be at least 1, 2"
            )

    def __call__(
        self, layers: Layers, x: Array, features: int, strides: int, end: Steps
    ) -> Array:
        resized = strides != 1 or x.shape[-1] != features
        if resized:
            x = layers.conv(
                x, features, kernel=3, strides=strides, groups=x.shape[-1],
                then=("norm", "act"), name="resize_conv",
            )  # fmt: skip
        correction = self._correction(layers, x, level=1)
        groups = self.groups(features)
        f = correction + _smooth(layers, x + correction, groups, end, name="level1")
        return x + f if resized else f

    def groups(self, channels: int) -> int:
        """Groups of a level; ConfigError unless they divide it and the next one."""
        groups = max(channels // self.group, 1)
        if channels % (2 * groups):
            raise ConfigError(
                f"group={self.group}: {channels} channels must be even, and their "
                f"{groups} groups divide them and their half"
            )
        return groups

    def _correction(self, layers, x, *, level):
        """norm(P (V(R x) - R x))."""
        channels, groups = x.shape[-1], self.groups(x.shape[-1])
        half, name = channels // 2, f"restrict{level}_conv"
        coarse = layers.conv(x, half, kernel=1, groups=groups, name=name)
        z, inner = coarse, 1
        if half >= self.coarsest:
            z = z + self._correction(layers, z, level=level + 1)
            inner = self.groups(half)
        z += _smooth(layers, z, inner, ("norm",), name=f"level{level + 1}")
        y = layers.act(z, name=f"act_level{level + 1}")
        name = f"prolong{level}_conv"
        return layers.conv(
            y - coarse, channels, kernel=1, groups=groups, then=("norm",), name=name
        )


def _smooth(layers, z, groups, end, *, name):
    """end(K2 act(norm(K1 z)))."""
    for i, then in enumerate((("norm", "act"), end), 1):
        z = layers.conv(
            z, z.shape[-1], kernel=3, groups=groups, then=then, name=f"{name}_conv{i}"
        )
    return z
