"""Rules of an optimizer for some parameters only, chosen by their names."""

from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from resnet_jax.errors import ConfigError
from resnet_jax.paths import did_you_mean

Decay = Literal["all", "kernels"]


def decayed(params: optax.Params, *, decay: Decay) -> PyTree:
    """Mask of decayed parameters, by name, as stacked scales and slopes have two axes.

    The Torch codes decay all; the README of fb.resnet.torch says that He et al. decayed
    the kernels only. The slopes of PReLU never decay (He et al. 2015, Sec. 2.1).
    """

    def chosen(path, _):
        name = jax.tree_util.keystr(path[-1:], simple=True)
        return name == "kernel" if decay == "kernels" else name != "slope"

    return jax.tree_util.tree_map_with_path(chosen, params)


def add_scale_l1(factor: float) -> optax.GradientTransformation:
    """Add the subgradient of factor * sum |scale| over all norms, 0 at 0.

    As in the released code of Liu et al. 2017, where weight decay acts on scales too.
    """

    def added(path, update, param):
        name = jax.tree_util.keystr(path[-2:], simple=True, separator="/")
        if not (name.startswith("norm_") and name.endswith("/scale")):
            return update
        return update + factor * jnp.sign(param)

    def update(updates, state, params=None):
        return jax.tree_util.tree_map_with_path(added, updates, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def scale_layers(
    factors: Sequence[tuple[str, float]],
) -> optax.GradientTransformation:
    """Multiply the updates of layers by a factor; at 0 parameters keep their bits."""

    def scaled(path, update):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        found = factor_of(name, factors)
        if found == 0:
            return jnp.zeros_like(update)
        return update if found == 1 else update * found

    def update(updates, state, params=None):
        del params
        return jax.tree_util.tree_map_with_path(scaled, updates), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def factor_of(name: str, factors: Sequence[tuple[str, float]]) -> float:
    """Factor of the longest layer name that a path begins with, by default 1."""
    fitting = [pair for pair in factors if f"{name}/".startswith(f"{pair[0]}/")]
    return max(fitting, key=lambda pair: len(pair[0]), default=("", 1.0))[1]


def check_layers(factors: Sequence[tuple[str, float]], params: PyTree) -> None:
    """ConfigError for a name of no layer, one named twice, or if nothing is trained."""
    paths = [
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, _ in jax.tree_util.tree_leaves_with_path(params)
    ]
    known = {
        "/".join(path.split("/")[:depth])
        for path in paths
        for depth in range(1, path.count("/") + 1)
    }
    names = [name for name, _ in factors]
    for name, factor in factors:
        field = "optim.factors" if factor else "optim.frozen"
        if name not in known:
            raise ConfigError(
                f"{field}: {name!r} is no layer of this net; it has "
                f"{', '.join(sorted(n for n in known if '/' not in n))}, and those "
                f"within them{did_you_mean(name, sorted(known))}"
            )
        if names.count(name) > 1:
            raise ConfigError(f"{field}: {name!r} is named twice; name it once")
    if all(factor_of(path, factors) == 0 for path in paths):
        raise ConfigError("optim.frozen: names all layers; leave one to be trained")
