"""Functions with a gradient of their own, whose first argument is static."""

from collections.abc import Callable
from typing import TypeVar

import jax

T = TypeVar("T")


def custom_gradient(function: Callable[..., T]) -> jax.custom_vjp[T]:
    """`jax.custom_vjp` of function(static, *arrays); `defvjp` sets the gradient."""
    return jax.custom_vjp(function, nondiff_argnums=(0,))  # type: ignore
