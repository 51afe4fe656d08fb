"""Projection of parameters after every update."""

from collections.abc import Callable, Collection

import flax.linen as nn
import jax
import optax
from jaxtyping import PyTree

from resnet_jax.models import complexity, inspect
from resnet_jax.models.layers.convolution import Convolution
from resnet_jax.models.layers.operators import (
    Binary,
    centred_and_clamped,
    released_binary,
)
from resnet_jax.models.nets.spec import NetSpec

Project = Callable[[PyTree], PyTree]


def projection(spec: NetSpec, image_shape: tuple[int, ...]) -> Project | None:
    """Make the projection that a net's binary kernels ask for; None if none does.

    Kernels trained by the released code of Rastegari et al. 2016 are centred and
    clamped before each step.
    """
    operator = spec.layers.operator
    if not isinstance(operator, Binary) or operator.rule == "paper":
        return None
    paths = _paths(spec.build(), image_shape)

    def project(params: PyTree) -> PyTree:
        return jax.tree_util.tree_map_with_path(
            lambda path, leaf: (
                centred_and_clamped(leaf) if _name(path) in paths else leaf
            ),
            params,
        )

    return project


def projected(project: Project) -> optax.GradientTransformation:
    """Change updates so that the updated parameters are projected."""

    def update(updates, state, params=None):
        assert params is not None
        new = project(optax.apply_updates(params, updates))
        return jax.tree.map(lambda a, b: a - b, new, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def _paths(net: nn.Module, image_shape: tuple[int, ...]) -> Collection[str]:
    """Paths of the kernels that the released rule trains."""
    found = inspect.listed(
        lambda: complexity.shapes(net, image_shape),
        wanted=lambda module: (
            isinstance(module, Convolution) and module.kernel_map is released_binary
        ),
    )
    return {"/".join((*path, "kernel")) for path in found}


def _name(path: tuple) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")
