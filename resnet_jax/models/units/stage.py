"""Stages: units at one resolution, stored stacked and run as a loop."""

import math
from collections.abc import Callable
from typing import Literal, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.errors import InvalidRngError
from jaxtyping import Array, Float, PyTree

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.layers import LayersSpec
from resnet_jax.models.units.unit import ResidualUnit, UnitSpec
from resnet_jax.ops.remat_policy import POLICY

# How a stage runs, never what it is: all share one layout of parameters.
# scan   one loop over the units: program size does not grow with depth; the backward
#        pass keeps what convolutions gave and computes what is element-wise again
# unroll straight-line code over the same stacked parameters
# remat  the loop; activations inside a unit are computed again in the backward pass,
#        so that memory holds one map a unit
# sqrt   a loop over about sqrt(units) segments, each computed again as a whole: memory
#        holds one map a segment and the activations of one (Chen et al. 2016, Sec. 4.1)
DepthMode = Literal["scan", "unroll", "remat", "sqrt"]
Step = TypeVar("Step", bound=Callable)


def recomputing(step: Step, mode: DepthMode) -> Step:
    """The body of a loop, with what its backward pass keeps of a unit.

    Only its input where it is rematerialised, else what `kept` marks.
    """
    policy = None if mode in ("remat", "sqrt") else POLICY
    return nn.remat(step, prevent_cse=False, policy=policy)


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
        if self.mode == "sqrt" and not self.is_initializing():
            return self._segments(x, tail, train)

        def step(rest: ResidualUnit, x: Array, p: Array | None):
            return rest(x, p, train=train), None

        step = recomputing(step, self.mode)
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

    def _segments(self, x, survival, train):
        """The loop in two levels; lifted transforms cannot cut the stacked axis.

        Nor can their draws of noise be had outside them: there are none here.
        """
        unit = ResidualUnit(self.rest, self.layers, self.features, parent=None)
        kept = ("batch_stats", "intermediates")
        mutable = [name for name in kept if self.is_mutable_collection(name)]
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

        held = {n: tree["rest"] for n, tree in self.variables.items() if "rest" in tree}
        stacked = (held, survival)
        size = math.isqrt(length)
        odd = length % size  # units ahead of the segments of equal size
        x, ahead = jax.checkpoint(segment)(x, jax.tree.map(lambda a: a[:odd], stacked))
        segments = jax.tree.map(
            lambda a: a[odd:].reshape(-1, size, *a.shape[1:]), stacked
        )
        again = jax.checkpoint(segment, prevent_cse=False)
        x, behind = jax.lax.scan(again, x, segments)
        new = jax.tree.map(
            lambda a, b: jnp.concatenate([a, b.reshape(-1, *b.shape[2:])]),
            ahead,
            behind,
        )
        for name in mutable:
            self.put_variable(name, "rest", new.get(name, {}))
        return x
