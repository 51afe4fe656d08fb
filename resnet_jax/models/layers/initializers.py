"""Initialisers as in the papers: normal distributions, never truncated."""

import dataclasses
import math
from collections.abc import Callable
from typing import Literal

import flax.linen as nn
from jaxtyping import Array

Initializer = Callable[..., Array]

# Default of Torch's Linear, U(-1/sqrt(n), 1/sqrt(n)), as in fb.resnet.torch
TORCH_LINEAR = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


@dataclasses.dataclass(frozen=True)
class InitSpec:
    """Initialisation of convolution kernels.

    he          Var[w] = 2 / ((1 + slope^2) n)   (He et al. 2015, Eq. 10, 14, 15)
    xavier      Var[w] = 1 / n, the paper's baseline (He et al. 2015, Sec. 2.2)
    orthogonal  orthonormal columns times sqrt(2 / (1 + slope^2)) (Saxe et al. 2014)
    n = k^2 c_in (fan_in) or k^2 c_out (fan_out); the paper trains with fan_out.
    """

    kind: Literal["he", "xavier", "orthogonal"] = "he"
    mode: Literal["fan_in", "fan_out"] = "fan_out"

    @classmethod
    def named(cls, name: str) -> "InitSpec":
        """Initialisation by `model.init`; LSUV later scales orthogonal kernels."""
        return {
            "he_fan_out": cls("he", "fan_out"),
            "he_fan_in": cls("he", "fan_in"),
            "xavier": cls("xavier", "fan_in"),
            "orthogonal": cls("orthogonal"),
            "lsuv": cls("orthogonal"),
        }[name]

    def gain(self, slope: float) -> float:
        """n Var[w]; the square of the factor of orthonormal columns."""
        return 1.0 if self.kind == "xavier" else 2.0 / (1.0 + slope**2)

    def __call__(self, *, slope: float) -> Initializer:
        gain = self.gain(slope)
        if self.kind == "orthogonal":
            return nn.initializers.orthogonal(gain**0.5)
        return nn.initializers.variance_scaling(gain, self.mode, "normal")

    def variance(self, shape: tuple[int, ...], *, slope: float) -> float:
        """Var[w] of a kernel [*k c_in c_out]."""
        *inputs, outputs = shape
        fan_in, fan_out = math.prod(inputs), math.prod(inputs[:-1]) * outputs
        if self.kind == "orthogonal":  # unit columns, or rows where these are fewer
            return self.gain(slope) / max(fan_in, outputs)
        return self.gain(slope) / {"fan_in": fan_in, "fan_out": fan_out}[self.mode]
