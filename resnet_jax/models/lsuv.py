"""Layer-sequential unit-variance initialisation (Mishkin & Matas 2016, Algorithm 1)."""

import functools
import itertools
from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, Float, PyTree

from resnet_jax.errors import ConfigError

Path = tuple[str, ...]


def lsuv(
    net: nn.Module,
    variables: dict[str, PyTree],
    images: Float[Array, "b *hw c"],
    *,
    tolerance: float = 0.1,
    max_iterations: int = 10,
) -> dict[str, PyTree]:
    """Orthonormal kernels, each divided by the std of its layer's output on `images`.

    Layer by layer in forward order, until |Var - 1| < tolerance. Norms stay at their
    running statistics: at initialisation they are the identity, as if the net had none,
    like the paper's. Draws of noise are off, and every unit is open.
    """
    layers: list[Path] = []  # in order of their calls
    jax.eval_shape(functools.partial(_variances, net, layers), variables, images)
    measure = jax.jit(functools.partial(_variances, net, []))
    leaves = cast(dict[Path, Array], flatten_dict(variables["params"]))
    params = {
        path: _orthonormal(path, leaf) if path[-1] == "kernel" else leaf
        for path, leaf in leaves.items()
    }
    for layer, unit in _one_by_one(layers, params):
        for _ in range(max_iterations):
            variables = variables | {"params": unflatten_dict(params)}
            var = float(measure(variables, images)[layer][unit])
            if not 0 < var < float("inf"):
                raise ConfigError(
                    f"model.init=lsuv: variance {var} behind {'/'.join(layer)} on "
                    f"{len(images)} images; it must be positive and finite"
                )
            if abs(var - 1) < tolerance:
                break
            kernel = (*layer, "kernel")
            params[kernel] = params[kernel].at[unit].divide(var**0.5)
    return variables | {"params": unflatten_dict(params)}


def _orthonormal(path, kernel):
    """The nearest matrix [k^2 c_in, c_out] with orthonormal columns (or rows)."""
    units = kernel.shape[:1] if "rest" in path else ()
    matrix = kernel.reshape(*units, -1, kernel.shape[-1])
    u, _, v = jnp.linalg.svd(matrix, full_matrices=False)
    return (u @ v).reshape(kernel.shape)


def _variances(net, layers, variables, images) -> dict[Path, Array]:
    """Variance behind every layer with a kernel; lists the layers as called."""

    def measured(call, args, kwargs, context):
        y, module = call(*args, **kwargs), context.module
        if module.has_variable("params", "kernel"):
            layers.append(module.path)
            wide = jnp.promote_types(y.dtype, jnp.float32)
            module.sow("intermediates", "variance", y.astype(wide).var())
        return y

    with nn.intercept_methods(measured):
        _, sown = net.apply(variables, images, train=False, mutable=["intermediates"])
    found = cast(dict[Path, tuple[Array]], flatten_dict(sown["intermediates"]))
    return {path[:-1]: variance for path, (variance,) in found.items()}


def _one_by_one(layers, params):
    """(path, unit) in forward order; a layer in a loop once per unit."""
    for loop, inside in itertools.groupby(dict.fromkeys(layers), _loop):
        inside = list(inside)
        units = range(len(params[*inside[0], "kernel"])) if loop else [...]
        yield from ((layer, unit) for unit in units for layer in inside)


def _loop(layer: Path) -> Path:
    """The stacked units that a layer stands in, () for none."""
    return layer[: layer.index("rest") + 1] if "rest" in layer else ()
