"""Rematerialisation policy: values that are saved for the backward pass of a unit.

Results of convolutions and matrix products, and moments of norms; everything between
them is element-wise. That is half of what JAX saves by default (the maps before a norm
and after its activation), and on a CPU recomputing is faster than writing and reading.
"""

from typing import TypeVar

import jax
from jax.ad_checkpoint import checkpoint_name

T = TypeVar("T")
NAME = "saveable"
POLICY = jax.checkpoint_policies.save_only_these_names(NAME)


def saveable(x: T) -> T:
    """Mark an array, or a tree of them, to be saved."""
    return checkpoint_name(x, NAME)
