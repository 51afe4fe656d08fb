"""Counts of parameters and multiply-adds of a network, without running it."""

import dataclasses
import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import PyTree


def shapes(net: nn.Module, image_shape: tuple[int, ...]) -> dict[str, PyTree]:
    """Shapes of the variables of a net: {"params": ..., "batch_stats": ...}."""
    init = functools.partial(net.init, train=False)
    x = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    return jax.eval_shape(init, jax.random.key(0), x)


def num_params(net: nn.Module, image_shape: tuple[int, ...]) -> int:
    """Number of parameters: kernels, biases, norm scales and offsets, slopes."""
    leaves = jax.tree.leaves(shapes(net, image_shape)["params"])
    return sum(math.prod(leaf.shape) for leaf in leaves)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parts:
    """Parameters of a net by kind, and its weighted layers."""

    conv: int = 0  # kernels of the stem, branches and shortcut projections
    norm: int = 0  # scales and offsets
    slopes: int = 0
    gates: int = 0  # of squeeze and excitation, and on shortcuts
    fc: int = 0  # the last layer, its bias included
    # As papers count: convolutions of the stem and the branches, and the last layer;
    # neither projections nor gates.
    weighted_layers: int = 0

    @property
    def params(self) -> int:
        return self.conv + self.norm + self.slopes + self.gates + self.fc


def parts(net: nn.Module, image_shape: tuple[int, ...]) -> Parts:
    """Parameters by kind, and weighted layers."""
    return parts_of(shapes(net, image_shape)["params"])


def parts_of(params: PyTree) -> Parts:
    """Parameters by kind, and weighted layers, of a tree of parameters or shapes."""
    counts = dict.fromkeys((field.name for field in dataclasses.fields(Parts)), 0)
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        *modules, name = (key.key for key in path)
        auxiliary = modules[0].startswith("relay")  # not part of the net's depth
        modules = modules[auxiliary:]
        kind = _kind(modules, name)
        counts[kind] += math.prod(leaf.shape)
        weighted = kind == "fc" or _is_weighted(modules)
        if name == "kernel" and weighted and not auxiliary:
            counts["weighted_layers"] += leaf.shape[0] if "rest" in modules else 1
    return Parts(**counts)


def _is_weighted(modules: list[str]) -> bool:
    """True in a stem, a branch or a plain net; a Ghost module counts once."""
    if modules[-1].startswith("cheap_"):
        return False
    plain = modules[0].startswith(("conv", "towers"))
    return plain or bool({"stem_conv", "branch"} & {*modules})


def _kind(modules: list[str], name: str) -> str:
    """Field of `Parts` that a parameter belongs to."""
    if name == "slope":
        return "slopes"
    if modules[-1].startswith("norm_"):
        return "norm"
    if modules[-1] in ("gate_conv", "squeeze", "excite"):
        return "gates"
    plain = len(modules) == 1 and modules[0].startswith("fc")
    return "fc" if plain or modules[-1] == "head" else "conv"


def multiply_adds(
    net: nn.Module, image_shape: tuple[int, ...], *, variables: PyTree = None
) -> int:
    """Multiply-adds of convolutions and matrix products for one image, as papers count.

    Without norms, activations, pooling and additions. `variables` may give the net's
    shapes where they are known.
    """
    variables = variables or shapes(net, image_shape)
    x = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    forward = jax.make_jaxpr(functools.partial(net.apply, train=False))
    return _count(forward(variables, x).jaxpr)


def counts(net: nn.Module, image_shape: tuple[int, ...]) -> tuple[Parts, int]:
    """Parameters by kind, and multiply-adds."""
    known = shapes(net, image_shape)
    macs = multiply_adds(net, image_shape, variables=known)
    return parts_of(known["params"]), macs


def _count(jaxpr) -> int:
    return sum(_cost(eqn) for eqn in jaxpr.eqns)


def _cost(eqn) -> int:
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


def _inner(eqn):
    """Programs inside an equation (jit, scan, custom rules)."""
    for name, value in eqn.params.items():
        if name in ("jvp_jaxpr_fun", "fwd_jaxpr_thunk", "bwd"):
            continue
        for inner in jax.tree.leaves(value, is_leaf=lambda v: hasattr(v, "eqns")):
            if hasattr(inner, "eqns"):
                yield inner
            elif hasattr(inner, "jaxpr"):
                yield inner.jaxpr
