"""Gradients of several losses of one forward pass, one backward pass per loss."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

Keep = Callable[[PyTree], PyTree]


def value_and_grad(
    objective: Callable[..., tuple[jax.Array, PyTree]], keeps: Sequence[Keep]
) -> Callable:
    """Make jax.value_and_grad of a sum of losses that reach chosen parameters only.

    objective(params, ...) -> (losses [n], aux);  the gradient is sum_i keep_i(dL_i).

    All losses share one forward pass. Their backward passes are separate, as a gradient
    that is cut for one loss may be kept for another. XLA skips what a `keep` sets to
    zero; a vmap over the losses would compute all.
    """

    def gradients(params, *rest):
        losses, back, aux = jax.vjp(
            lambda params: objective(params, *rest), params, has_aux=True
        )
        one_hot = jnp.eye(len(keeps), dtype=losses.dtype)
        parts = [keep(*back(row)) for keep, row in zip(keeps, one_hot, strict=True)]
        return (losses.sum(), aux), jax.tree.map(lambda *g: sum(g), *parts)

    return gradients
