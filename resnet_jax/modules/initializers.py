"""Initialisers as the papers define them: plain normal, never truncated."""

import dataclasses
from collections.abc import Callable
from typing import Literal

import flax.linen as nn

Initializer = Callable[..., object]

# The default of Torch's Linear, U(-1/sqrt(n), 1/sqrt(n)), kept by fb.resnet.torch
TORCH_LINEAR = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


@dataclasses.dataclass(frozen=True)
class InitSpec:
    """How convolution kernels are drawn.

    he          Var[w] = 2 / ((1 + slope^2) n)   (He et al. 2015, Eq. 10, 14, 15)
    xavier      Var[w] = 1 / n, the paper's baseline (He et al. 2015, Sec. 2.2)
    orthogonal  orthonormal columns times sqrt(2 / (1 + slope^2)) (Saxe et al. 2014)
    n = k^2 c_in (fan_in) or k^2 c_out (fan_out); the paper trains with fan_out.
    """

    kind: Literal["he", "xavier", "orthogonal"] = "he"
    mode: Literal["fan_in", "fan_out"] = "fan_out"

    def __call__(self, *, slope: float) -> Initializer:
        gain = 2.0 / (1.0 + slope**2)
        if self.kind == "orthogonal":
            return nn.initializers.orthogonal(gain**0.5)
        scale = gain if self.kind == "he" else 1.0
        return nn.initializers.variance_scaling(scale, self.mode, "normal")
