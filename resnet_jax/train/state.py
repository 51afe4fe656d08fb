"""Training state: all that an update changes and a checkpoint holds."""

import dataclasses
from collections.abc import Collection
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
    ema: PyTree  # moving averages of params and batch_stats, as Variables, or None
    sums: dict[str, PyTree]
    skipped: PyTree  # number of updates left out as loss or gradient was not finite

    @property
    def eval_variables(self) -> Variables:
        """Variables to evaluate: averaged ones where there are any."""
        return self.variables if self.ema is None else self.ema

    @property
    def variables(self) -> Variables:
        """Variables as of the last update."""
        return {"params": self.params, "batch_stats": self.batch_stats}

    def as_stored(self, leaves: Collection[str]) -> "TrainState":
        """The state with the leaves that a checkpoint has.

        Older versions averaged parameters only.
        """
        ema = self.ema
        if ema is None or any(name.startswith("ema/params/") for name in leaves):
            return self
        return dataclasses.replace(self, ema=ema["params"])

    def completed(self) -> "TrainState":
        """The state of an older version with averages of BatchNorm's statistics."""
        if self.ema is None or self.ema.keys() == self.variables.keys():
            return self
        stats = jax.tree.map(jnp.copy, self.batch_stats)
        ema = {"params": self.ema, "batch_stats": stats}
        return dataclasses.replace(self, ema=ema)


def create(
    variables: Variables,
    tx: optax.GradientTransformation,
    *,
    seed: jax.Array,
    ema: float,
) -> TrainState:
    """Create the state before the first step."""
    params, stats = variables["params"], variables.get("batch_stats", {})
    averaged = {"params": params, "batch_stats": stats}
    names = ("n", "wrong", "wrong5", "nll")
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        seed=jnp.asarray(seed, jnp.uint32),
        params=params,
        batch_stats=stats,
        opt_state=tx.init(params),
        ema=jax.tree.map(jnp.copy, averaged) if ema else None,
        sums={name: jnp.zeros((), jnp.float32) for name in names},
        skipped=jnp.zeros((), jnp.int32),
    )
