"""Stage: units at one resolution, with stacked parameters, run as a loop."""

import math
from collections.abc import Callable
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.errors import InvalidRngError
from jaxtyping import Array, Float, PyTree

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.layers import LayersSpec
from resnet_jax.models.units.unit import ResidualUnit, UnitSpec
from resnet_jax.ops.remat_policy import POLICY

# Execution of a stage; all modes compute the same from one layout of parameters.
# scan   one loop over the units: program size does not grow with depth; outputs of
#        convolutions are saved for the backward pass, the rest is recomputed
# unroll straight-line code over the stacked parameters
# remat  one loop; the backward pass recomputes the inside of each unit, so that one map
#        per unit is stored
# sqrt   a loop over about sqrt(units) segments, each recomputed as a whole: one map per
#        segment is stored, and activations of one segment (Chen et al. 2016, Sec. 4.1)
DepthMode = Literal["scan", "unroll", "remat", "sqrt"]


def scan_units(step: Callable, mode: DepthMode, *, length: int) -> Callable:
    """Loop of `step(unit, carry, x)` over units with stacked variables."""
    policy = None if mode in ("remat", "sqrt") else POLICY
    return nn.scan(
        nn.remat(step, prevent_cse=False, policy=policy),
        variable_axes={"params": 0, "batch_stats": 0, "intermediates": 0},
        split_rngs={"params": True, "drop_path": True, "noise": True},
        length=length,
        unroll=length if mode == "unroll" else 1,
    )


class Stage(nn.Module):
    """Units of one resolution: `first` may subsample and widen, `rest` are identical.

    The variables of `rest` have a leading axis `units`, so that compile time does not
    grow with depth. `survival` has one entry per unit, or is None.
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
        if self.mode == "sqrt" and not self.is_initializing():
            return self._segments(x, tail, train)

        def step(rest: ResidualUnit, x: Array, p: Array | None):
            return rest(x, p, train=train), None

        loop = scan_units(step, self.mode, length=self.units - 1)
        rest = ResidualUnit(self.rest, self.layers, self.features, name="rest")
        return loop(rest, x, tail)[0]

    def _segments(self, x, survival, train):
        """Loop over segments, written with jax.lax.scan.

        Lifted transforms cannot split the stacked axis, and without them units cannot
        draw noise.
        """
        unit = ResidualUnit(self.rest, self.layers, self.features, parent=None)
        collections = ("batch_stats", "intermediates")
        mutable = [name for name in collections if self.is_mutable_collection(name)]
        length = self.units - 1

        def step(x: Array, of_unit: tuple[PyTree, Array | None]):
            variables, p = of_unit
            try:
                return unit.apply(variables, x, p, train=train, mutable=mutable)
            except InvalidRngError:
                raise ConfigError(
                    "model.depth_mode='sqrt': is for units that draw no noise "
                    "(dropout, stochastic depth, RReLU); use 'remat'"
                ) from None

        def segment(x, of_units):
            return jax.lax.scan(step, x, of_units)

        trees = self.variables.items()
        stacked = ({n: tree["rest"] for n, tree in trees if "rest" in tree}, survival)
        size = math.isqrt(length)
        odd = length % size  # units before the segments of equal size
        head = jax.tree.map(lambda a: a[:odd], stacked)
        tail = jax.tree.map(lambda a: a[odd:].reshape(-1, size, *a.shape[1:]), stacked)
        x, new_head = jax.checkpoint(segment)(x, head)
        x, new_tail = jax.lax.scan(jax.checkpoint(segment, prevent_cse=False), x, tail)
        new = jax.tree.map(
            lambda a, b: jnp.concatenate([a, b.reshape(-1, *b.shape[2:])]),
            new_head,
            new_tail,
        )
        for name in mutable:
            self.put_variable(name, "rest", new.get(name, {}))
        return x
