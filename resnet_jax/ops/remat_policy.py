"""Remat policy: values that the backward pass of a unit keeps.

The results of convolutions and matrix products, and the moments of norms: all between
them is element-wise. That is half of what JAX keeps by itself (a map ahead of a norm,
one behind its activation), and on a CPU quicker than writing and reading it.
"""

from typing import TypeVar

import jax
from jax.ad_checkpoint import checkpoint_name

T = TypeVar("T")
NAME = "kept"
POLICY = jax.checkpoint_policies.save_only_these_names(NAME)


def kept(x: T) -> T:
    """x itself, an array or a tree of them, marked."""
    return checkpoint_name(x, NAME)
