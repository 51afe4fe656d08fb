"""Pre-activation inside the branch, for nets whose shortcuts take x itself."""

import dataclasses

from jaxtyping import Array

from resnet_jax.models.layers.layers import Layers, Steps
from resnet_jax.models.units.branch import Branch
from resnet_jax.models.units.unit import UnitSpec


@dataclasses.dataclass(frozen=True)
class Ahead:
    """Branch after steps."""

    branch: Branch
    before: Steps

    @property
    def kernels(self) -> tuple[int, ...]:
        return self.branch.kernels

    def __call__(
        self, layers: Layers, x: Array, features: int, strides: int, end: Steps
    ) -> Array:
        a = layers.steps(x, self.before, name="before")
        return self.branch(layers, a, features, strides, end)


def own_preact(unit: UnitSpec) -> UnitSpec:
    """Move the pre-activation of a unit into its branch; the shortcut then takes x.

    As in PyramidNets and most PyTorch code; in He et al. 2016b the shortcut shares the
    pre-activation where a unit resizes.
    """
    if not unit.order.before:
        return unit
    return dataclasses.replace(
        unit,
        branch=Ahead(unit.branch, unit.order.before),
        order=dataclasses.replace(unit.order, before=()),
    )
