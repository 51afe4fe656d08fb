"""Residual units as Runge-Kutta steps of dx/dt = f(x): Butcher tableaux, and RKCNN."""

import dataclasses
import math
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.layers import Layers, Steps
from resnet_jax.models.units.branch import BASIC, Branch, BranchModule


@dataclasses.dataclass(frozen=True)
class Tableau:
    """Butcher tableau: k_i = f(x + sum_j a_ij k_j), step sum_i b_i k_i.

    Row i of `a` has i entries (from 0), or for implicit methods one per stage.
    """

    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]

    def __post_init__(self):
        stages = len(self.b)
        if len(self.a) != stages or not stages:
            raise ConfigError(f"tableau: {len(self.a)} rows a, but {stages} weights b")
        for i, row in enumerate(self.a):
            if len(row) not in (i, stages):
                raise ConfigError(
                    f"tableau: row {i} of a must have {i} entries, or {stages} for an "
                    f"implicit method; got {row}"
                )
        if not math.isclose(sum(self.b), 1.0, abs_tol=1e-9):
            raise ConfigError(
                f"tableau: weights b must sum to 1; {self.b} sum to {sum(self.b):g}"
            )

    @property
    def implicit(self) -> bool:
        """True if a stage reads itself or a later one."""
        return any(any(row[i:]) for i, row in enumerate(self.a))


EULER = Tableau(((),), (1.0,))  # the residual unit
MIDPOINT = Tableau(((), (1 / 2,)), (0.0, 1.0))
HEUN = Tableau(((), (1.0,)), (1 / 2, 1 / 2))
KUTTA3 = Tableau(((), (1 / 2,), (-1.0, 2.0)), (1 / 6, 2 / 3, 1 / 6))
RK4 = Tableau(
    ((), (1 / 2,), (0.0, 1 / 2), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6)
)
IMPLICIT_EULER = Tableau(((1.0,),), (1.0,))
IMPLICIT_MIDPOINT = Tableau(((1 / 2,),), (1.0,))


@dataclasses.dataclass(frozen=True)
class RungeKutta:
    """One step of size 1 of dx/dt = f(x), f the branch closed by `end`.

    Stages share the weights of f, unless they are `own`. Slopes start from 0 and are
    replaced one after the other: one sweep is exact for an explicit method, several
    iterate towards the solution of an implicit one. A unit that resizes maps to another
    space and is one evaluation of f.
    """

    tableau: Tableau = RK4
    branch: Branch = BASIC
    weights: Literal["shared", "own"] = "shared"
    sweeps: int = 1

    def __post_init__(self):
        if self.tableau.implicit != (self.sweeps > 1) or self.sweeps < 1:
            raise ConfigError(
                f"sweeps={self.sweeps}: must be 1 for an explicit tableau, where it is "
                "exact, and at least 2 for an implicit one"
            )

    @property
    def kernels(self) -> tuple[int, ...]:
        """Kernel sizes of one evaluation of f: depth counts a step as one unit."""
        return self.branch.kernels

    def __call__(
        self, layers: Layers, x: Array, features: int, strides: int, end: Steps
    ) -> Array:
        resized = strides != 1 or x.shape[-1] != features
        single = resized or self.weights == "shared"
        names = ["f"] if single else [f"f{i + 1}" for i in range(len(self.tableau.b))]
        f = [
            BranchModule(self.branch, layers, features, strides, end, name=name)
            for name in names
        ]
        if resized:
            return f[0](x)
        slopes: list[Array | None] = [None] * len(self.tableau.b)
        for i in (*range(len(slopes)),) * self.sweeps:
            z = _combined(self.tableau.a[i], slopes)
            slopes[i] = f[i % len(f)](x if z is None else x + z)
        step = _combined(self.tableau.b, slopes)
        assert step is not None  # the weights b sum to 1
        return step


def _combined(weights, slopes):
    """Weighted sum of the known slopes, None if there is none."""
    pairs = zip(weights, slopes, strict=False)
    terms = [w * k for w, k in pairs if w and k is not None]
    return sum(terms[1:], terms[0]) if terms else None


@dataclasses.dataclass(frozen=True)
class Clique:
    """end(sum_i z_i), z_i = H([x, z_1 .. z_{i-1}])  (RKCNN: Zhu et al. 2022, code).

    H is norm, act, 1x1, norm, act, 3x3; its weights absorb the coefficients of the
    method. `update` replaces each z_i by H'([x, all z_j but z_i]): none (RKCNN-E), in
    place, so that later ones see it (RKCNN-I), or all at once (RKCNN-R). E, I and R are
    the released code's; that E is the paper's explicit form is assumed.
    """

    stages: int = 5
    neck: float = 1.0  # channels between the convolutions / channels of the state
    update: Literal["none", "in_place", "at_once"] = "none"

    def __post_init__(self):
        if self.stages < 1:
            raise ConfigError(f"stages={self.stages}: must be at least 1")

    @property
    def kernels(self) -> tuple[int, ...]:
        """Kernel sizes of all stages and of their updates."""
        return (1, 3) * self.stages * (1 if self.update == "none" else 2)

    def __call__(
        self, layers: Layers, x: Array, features: int, strides: int, end: Steps
    ) -> Array:
        if strides != 1 or x.shape[-1] != features:
            raise ConfigError(
                "model.unit.branch='rkcnn': state and stages are of one size; it "
                "changes in transitions, so needs model.name='rkcnn'"
            )
        z: list[Array] = []
        for i in range(self.stages):
            z.append(self._stage(layers, [x, *z], name=f"stage{i + 1}"))
        seen = z if self.update == "in_place" else list(z)
        for i in range(self.stages if self.update != "none" else 0):
            others = [x, *seen[:i], *seen[i + 1 :]]
            z[i] = self._stage(layers, others, name=f"update{i + 1}")
        return layers.steps(sum(z[1:], z[0]), end, name="end")

    def _stage(self, layers, sources, *, name):
        features, steps = sources[0].shape[-1], ("norm", "act")
        y = layers.steps(jnp.concatenate(sources, -1), steps, name=f"{name}_before")
        neck = int(self.neck * features)
        y = layers.conv(y, neck, kernel=1, then=steps, name=f"{name}_conv1")
        return layers.conv(y, features, kernel=3, name=f"{name}_conv2")
