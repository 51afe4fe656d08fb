"""Training state: all that an update changes and a checkpoint holds."""

from typing import TypeAlias

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

Sums = dict[str, jax.Array]  # n, wrong, wrong5, nll: additive over examples
Variables: TypeAlias = dict[str, PyTree]  # "params" and "batch_stats"


@flax.struct.dataclass
class TrainState:
    """Parameters, statistics and optimizer after `step` updates.

    Data order, augmentation and noise are functions of (seed, step), so there is no
    other state. `sums` are over the training examples since the last log row.
    """

    # A leaf may be an array, its shape or its sharding.
    step: PyTree
    seed: PyTree
    params: PyTree
    batch_stats: PyTree
    opt_state: PyTree
    ema: PyTree  # moving average of params, or None
    sums: dict[str, PyTree]
    skipped: PyTree  # number of updates left out as loss or gradient was not finite

    @property
    def eval_variables(self) -> Variables:
        """Variables to evaluate: averaged parameters where there are any."""
        params = self.params if self.ema is None else self.ema
        return {"params": params, "batch_stats": self.batch_stats}


def create(
    variables: Variables,
    tx: optax.GradientTransformation,
    *,
    seed: jax.Array,
    ema: float,
) -> TrainState:
    """Create the state before the first step."""
    params = variables["params"]
    names = ("n", "wrong", "wrong5", "nll")
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        seed=jnp.asarray(seed, jnp.uint32),
        params=params,
        batch_stats=variables.get("batch_stats", {}),
        opt_state=tx.init(params),
        ema=jax.tree.map(jnp.copy, params) if ema else None,
        sums={name: jnp.zeros((), jnp.float32) for name in names},
        skipped=jnp.zeros((), jnp.int32),
    )
