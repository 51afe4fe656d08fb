"""Gates on a branch, as frozen data."""

import dataclasses
from typing import Literal

import flax.linen as nn
from jaxtyping import Array

from resnet_jax.errors import ConfigError
from resnet_jax.models.layers.layers import Layers


@dataclasses.dataclass(frozen=True)
class SE:
    """Squeeze and excitation: F * sigmoid(W2 act(W1 mean(F)))  (Hu et al. 2018).

    Places of the journal's ablation: after the branch (standard), before it (pre),
    after the addition and its steps (post), on the shortcut (identity).
    """

    reduction: int = 16
    place: Literal["standard", "pre", "post", "identity"] = "standard"
    hidden: int | None = None  # None: channels // reduction
    squash: Literal["sigmoid", "hard_sigmoid"] = "sigmoid"

    def __call__(self, layers: Layers, f: Array) -> Array:
        c = f.shape[-1]
        hidden = self.hidden or c // self.reduction
        if not hidden:
            raise ConfigError(
                f"model.unit.gate.reduction={self.reduction}: must be at most the {c} "
                "channels of the unit"
            )
        s = layers.dense(layers.global_mean(f), hidden, name="squeeze")
        s = layers.dense(layers.act(s, name="act_squeeze"), c, name="excite")
        return f * getattr(nn, self.squash)(s).reshape(-1, *(1,) * (f.ndim - 2), c)
