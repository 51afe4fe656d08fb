"""Gradients of several losses of one forward pass, a backward pass per loss."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

Keep = Callable[[PyTree], PyTree]


def value_and_grad(
    objective: Callable[..., tuple[jax.Array, PyTree]], keeps: Sequence[Keep]
) -> Callable:
    """jax.value_and_grad of a sum of losses, of which each moves its own parameters.

    objective(params, ...) -> (losses [n], aux);  the gradient is sum_i keep_i(dL_i).

    The forward pass, its noise and its statistics are those of one evaluation. Where
    losses overlap, a cut for one must let the other pass, so that their signals cannot
    travel as one sum: each goes back by itself. What a `keep` puts zeros for is not
    computed, as nothing asks for it; a vmap over the losses would compute all.
    """

    def gradients(params, *rest):
        losses, back, aux = jax.vjp(
            lambda params: objective(params, *rest), params, has_aux=True
        )
        chosen = jnp.eye(len(keeps), dtype=losses.dtype)
        parts = [keep(*back(one)) for keep, one in zip(keeps, chosen, strict=True)]
        return (losses.sum(), aux), jax.tree.map(lambda *g: sum(g), *parts)

    return gradients
