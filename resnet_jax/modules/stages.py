"""Stages: units at one resolution, stored stacked and run as a loop."""

from typing import Literal

import flax.linen as nn
from jaxtyping import Array, Float

from resnet_jax.modules.layers import LayersSpec
from resnet_jax.modules.units import ResidualUnit, UnitSpec

# How a stage runs, never what it is: all three share one layout of parameters.
# scan   one loop over the units: program size does not grow with depth
# unroll straight-line code over the same stacked parameters
# remat  the loop, with each unit's activations computed again in the backward pass
DepthMode = Literal["scan", "unroll", "remat"]


class Stage(nn.Module):
    """`first` may subsample and widen; `rest` are identical, parameters stacked.

    The variables of `rest` carry a leading axis `units`, so that depth costs no
    compile time. `survival` has one entry a unit, or is None.
    """

    first: UnitSpec
    rest: UnitSpec
    layers: LayersSpec
    units: int
    features: int
    strides: int
    mode: DepthMode

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b *hw c"],
        survival: Float[Array, " units"] | None,
        *,
        train: bool,
    ) -> Float[Array, "b *hw2 features"]:
        head, tail = (None, None) if survival is None else (survival[0], survival[1:])
        first = ResidualUnit(
            self.first, self.layers, self.features, self.strides, name="first"
        )
        x = first(x, head, train=train)
        if self.units == 1:
            return x

        def step(rest: ResidualUnit, x: Array, p: Array | None):
            return rest(x, p, train=train), None

        if self.mode == "remat":
            step = nn.remat(step, prevent_cse=False)
        length = self.units - 1
        loop = nn.scan(
            step,
            variable_axes={"params": 0, "batch_stats": 0, "intermediates": 0},
            split_rngs={"params": True, "drop_path": True, "noise": True},
            length=length,
            unroll=length if self.mode == "unroll" else 1,
        )
        rest = ResidualUnit(self.rest, self.layers, self.features, name="rest")
        return loop(rest, x, tail)[0]
