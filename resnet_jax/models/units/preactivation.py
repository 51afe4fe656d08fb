"""Pre-activation as a part of the branch, for nets whose shortcuts do without it."""

import dataclasses

from jaxtyping import Array

from resnet_jax.models.layers.layers import Layers, Step
from resnet_jax.models.units.branch import Branch
from resnet_jax.models.units.unit import UnitSpec


@dataclasses.dataclass(frozen=True)
class Ahead:
    """Steps, then a branch."""

    branch: Branch
    before: tuple[Step, ...]

    @property
    def kernels(self) -> tuple[int, ...]:
        """Kernel sizes of the branch."""
        return self.branch.kernels

    def __call__(
        self,
        layers: Layers,
        x: Array,
        features: int,
        strides: int,
        end: tuple[Step, ...],
    ) -> Array:
        a = layers.steps(x, self.before, name="before")
        return self.branch(layers, a, features, strides, end)


def own_preact(unit: UnitSpec) -> UnitSpec:
    """A unit whose shortcut always takes x, and whose branch alone is pre-activated.

    As in PyramidNets and most PyTorch code; He et al. 2016b share the pre-activation
    where a unit resizes.
    """
    if not unit.order.before:
        return unit
    return dataclasses.replace(
        unit,
        branch=Ahead(unit.branch, unit.order.before),
        order=dataclasses.replace(unit.order, before=()),
    )
