"""Counts of parameters and multiply-adds of a network, without running it."""

import collections
import dataclasses
import functools
import math
import re
from contextlib import AbstractContextManager

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from resnet_jax.errors import ConfigError
from resnet_jax.models.nets.spec import NetSpec


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Count(Parts):
    """Parameters of a net by kind, its weighted layers, multiply-adds per image."""

    multiply_adds: int


def count(net: NetSpec | nn.Module, image_shape: tuple[int, ...]) -> Count:
    """Parameters and multiply-adds of a net, given as a spec or built; runs nothing.

    `image_shape` is that of one input, (height, width, channels), of clips (frames,
    height, width, channels). The result has `.params`, the sum of `.conv`, `.norm`,
    `.slopes`, `.gates` and `.fc`; `.weighted_layers` as papers count depth; and
    `.multiply_adds` of convolutions and matrix products for one image, as He et al.
    2016a, Table 1 count them ("FLOPs"): no norms, activations, pools and additions.
    `python -m resnet_jax.audit` compares these numbers with published ones.

    ConfigError where the net does not take images of that shape.
    """
    net = built(net, image_shape)
    found, macs = counts(net, image_shape)
    return Count(**dataclasses.asdict(found), multiply_adds=macs)


def built(net: NetSpec | nn.Module, image_shape: tuple[int, ...]) -> nn.Module:
    """The module of a spec; ConfigError for images of another number of axes."""
    if isinstance(net, nn.Module):
        return net
    axes = ("frames", "height", "width", "channels")[-net.layers.rank - 1 :]
    if len(image_shape) != len(axes) or any(side < 1 for side in image_shape):
        raise ConfigError(
            f"image_shape={tuple(image_shape)}: must be ({', '.join(axes)}), all of "
            "them positive"
        )
    return net.build()


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
    """True in a stem, a branch, a head of convolutions or a plain net.

    Ghost modules and separable convolutions count once.
    """
    if re.match(r"cheap_|(head_)?conv\d+_depthwise", modules[-1]):
        return False
    plain = modules[0].startswith(("conv", "towers", "stem_conv", "head_conv"))
    return plain or "branch" in modules


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
    return products(forward(variables, x).jaxpr).total()


def counts(net: nn.Module, image_shape: tuple[int, ...]) -> tuple[Parts, int]:
    """Parameters by kind, and multiply-adds."""
    known = shapes(net, image_shape)
    macs = multiply_adds(net, image_shape, variables=known)
    return parts_of(known["params"]), macs


def mark(module: nn.Module) -> AbstractContextManager:
    """Scope that attributes products to a module, for `products`."""
    return jax.named_scope(f"[{'/'.join(module.path)}]")


def products(jaxpr, module: str = "") -> collections.Counter[str]:
    """Multiply-adds of a program by the innermost module that is marked around them."""
    counts: collections.Counter[str] = collections.Counter()
    for eqn in jaxpr.eqns:
        marks = re.findall(r"\[([^][]*)\]", str(eqn.source_info.name_stack))
        counts.update(_cost(eqn, marks[-1] if marks else module))
    return counts


def _cost(eqn, module: str) -> collections.Counter[str]:
    if eqn.primitive.name == "conv_general_dilated":
        kernel, out = eqn.invars[1].aval.shape, eqn.outvars[0].aval.shape
        spec = eqn.params["dimension_numbers"].rhs_spec
        macs = math.prod(out) * math.prod(kernel) // kernel[spec[0]]
        return collections.Counter({module: macs})
    if eqn.primitive.name == "dot_general":
        (contracted, _), _ = eqn.params["dimension_numbers"]
        lhs, out = eqn.invars[0].aval.shape, eqn.outvars[0].aval.shape
        macs = math.prod(out) * math.prod(lhs[axis] for axis in contracted)
        return collections.Counter({module: macs})
    if eqn.primitive.name == "cond":  # one branch runs; the last is the general one
        return products(eqn.params["branches"][-1].jaxpr, module)
    times = eqn.params["length"] if eqn.primitive.name == "scan" else 1
    total: collections.Counter[str] = collections.Counter()
    for inner in _inner(eqn):
        total.update(products(inner, module))
    return collections.Counter({name: times * macs for name, macs in total.items()})


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
