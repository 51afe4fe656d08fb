"""Layer-sequential unit-variance initialisation (Mishkin & Matas 2016, Algorithm 1)."""

import functools
from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, Float, PyTree

from resnet_jax.errors import ConfigError
from resnet_jax.models.inspect import Path, listed, unrolled


def lsuv(
    net: nn.Module,
    variables: dict[str, PyTree],
    images: Float[Array, "b *hw c"],
    *,
    tolerance: float = 0.1,
    max_iterations: int = 10,
) -> dict[str, PyTree]:
    """Orthonormal kernels, each divided by the std of its layer's output on `images`.

    Layer by layer in forward order, until |Var - 1| < tolerance. Norms use their
    running statistics: at initialisation they are the identity, as if the net had none,
    like the paper's. There is no noise, and no unit is dropped.
    """
    forward = functools.partial(net.apply, train=False)
    layers = listed(
        functools.partial(jax.eval_shape, forward, variables, images),
        wanted=_has_kernel,
    )
    measure = jax.jit(functools.partial(_variances, net))
    leaves = cast(dict[Path, Array], flatten_dict(variables["params"]))
    params = {
        path: _orthonormal(path, leaf) if path[-1] == "kernel" else leaf
        for path, leaf in leaves.items()
    }
    stacked = {p: len(params[*p, "kernel"]) if "rest" in p else None for p in layers}
    for layer, unit in unrolled(stacked):
        index = ... if unit is None else unit
        for _ in range(max_iterations):
            variables = variables | {"params": unflatten_dict(params)}
            var = float(measure(variables, images)[layer][index])
            if not 0 < var < float("inf"):
                raise ConfigError(
                    f"model.init=lsuv: variance {var} after {'/'.join(layer)} on "
                    f"{len(images)} images; it must be positive and finite"
                )
            if abs(var - 1) < tolerance:
                break
            kernel = (*layer, "kernel")
            params[kernel] = params[kernel].at[index].divide(var**0.5)
    return variables | {"params": unflatten_dict(params)}


def _has_kernel(module: nn.Module) -> bool:
    return module.has_variable("params", "kernel")


def _orthonormal(path, kernel):
    """The nearest matrix [k^2 c_in, c_out] with orthonormal columns (or rows)."""
    units = kernel.shape[:1] if "rest" in path else ()
    matrix = kernel.reshape(*units, -1, kernel.shape[-1])
    u, _, v = jnp.linalg.svd(matrix, full_matrices=False)
    return (u @ v).reshape(kernel.shape)


def _variances(net, variables, images) -> dict[Path, Array]:
    """Output variance of every layer with a kernel."""

    def measured(call, args, kwargs, context):
        y, module = call(*args, **kwargs), context.module
        if _has_kernel(module):
            wide = jnp.promote_types(y.dtype, jnp.float32)
            module.sow("intermediates", "variance", y.astype(wide).var())
        return y

    with nn.intercept_methods(measured):
        _, sown = net.apply(variables, images, train=False, mutable=["intermediates"])
    found = cast(dict[Path, tuple[Array, ...]], flatten_dict(sown["intermediates"]))
    for path, variances in found.items():
        if len(variances) > 1:
            layer = "/".join(path[:-1])
            raise ConfigError(
                f"model.init=lsuv: {layer} is used {len(variances)} times per pass"
            )
    return {path[:-1]: variance for path, (variance,) in found.items()}
