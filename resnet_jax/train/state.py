"""All that changes while a network is trained, and all that a checkpoint holds."""

from typing import TypeAlias

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

Sums = dict[str, jax.Array]  # n, wrong, wrong5, nll: additive over whatever is counted
Variables: TypeAlias = dict[str, PyTree]  # "params" and "batch_stats"


@flax.struct.dataclass
class TrainState:
    """Parameters, statistics and optimizer after `step` updates.

    Data order, augmentation and noise are functions of (seed, step), so there is no
    other state. `sums` are those of the training examples since the last log row.
    """

    # A leaf is an array, or its shape, or its sharding: a state is a tree of any.
    step: PyTree
    seed: PyTree
    params: PyTree
    batch_stats: PyTree
    opt_state: PyTree
    ema: PyTree  # moving average of params, or None
    sums: dict[str, PyTree]
    skipped: PyTree  # updates left out since loss or gradient was not finite


def zero_sums() -> Sums:
    names = ("n", "wrong", "wrong5", "nll")
    return {name: jnp.zeros((), jnp.float32) for name in names}


def create(
    variables: Variables,
    tx: optax.GradientTransformation,
    *,
    seed: jax.Array,
    ema: float,
) -> TrainState:
    """The state before the first step."""
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        seed=jnp.asarray(seed, jnp.uint32),
        params=params,
        batch_stats=variables.get("batch_stats", {}),
        opt_state=tx.init(params),
        ema=jax.tree.map(jnp.copy, params) if ema else None,
        sums=zero_sums(),
        skipped=jnp.zeros((), jnp.int32),
    )
