"""Parameters and multiply-adds of a network, counted without running it."""

import functools
import math
from collections.abc import Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


def shapes(net: nn.Module, image_shape: tuple[int, ...]) -> dict[str, Any]:
    """The variables of a net as shapes: {"params": ..., "batch_stats": ...}."""
    init = functools.partial(net.init, train=False)
    x = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    return jax.eval_shape(init, jax.random.key(0), x)


def num_params(net: nn.Module, image_shape: tuple[int, ...]) -> int:
    """Every learned number: kernels, biases, norm scales and offsets, slopes."""
    leaves = jax.tree.leaves(shapes(net, image_shape)["params"])
    return sum(math.prod(leaf.shape) for leaf in leaves)


def multiply_adds(net: nn.Module, image_shape: tuple[int, ...]) -> int:
    """Multiply-adds of convolutions and matrix products for one image, as papers count.

    No norms, activations, poolings or additions.
    """
    variables = shapes(net, image_shape)
    x = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    forward = jax.make_jaxpr(functools.partial(net.apply, train=False))
    return _count(forward(variables, x).jaxpr)


def _count(jaxpr: Any) -> int:
    return sum(_cost(eqn) for eqn in jaxpr.eqns)


def _cost(eqn: Any) -> int:
    if eqn.primitive.name == "conv_general_dilated":
        kernel, out = eqn.invars[1].aval.shape, eqn.outvars[0].aval.shape
        spec = eqn.params["dimension_numbers"].rhs_spec
        return math.prod(out) * math.prod(kernel) // kernel[spec[0]]
    if eqn.primitive.name == "dot_general":
        (contracted, _), _ = eqn.params["dimension_numbers"]
        lhs, out = eqn.invars[0].aval.shape, eqn.outvars[0].aval.shape
        return math.prod(out) * math.prod(lhs[axis] for axis in contracted)
    if eqn.primitive.name == "cond":  # one branch runs; the last is the general one
        return _count(eqn.params["branches"][-1].jaxpr)
    times = eqn.params["length"] if eqn.primitive.name == "scan" else 1
    return times * sum(_count(inner) for inner in _inner(eqn))


def _inner(eqn: Any) -> Iterator[Any]:
    """The programs that an equation holds (jit, scan, custom rules)."""
    for name, value in eqn.params.items():
        if name in ("jvp_jaxpr_fun", "fwd_jaxpr_thunk", "bwd"):
            continue
        for inner in jax.tree.leaves(value, is_leaf=lambda v: hasattr(v, "eqns")):
            if hasattr(inner, "eqns"):
                yield inner
            elif hasattr(inner, "jaxpr"):
                yield inner.jaxpr
