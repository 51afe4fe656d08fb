"""One branch by itself, in float64: made, run, and compared with NumPy."""

import copy
import functools

import jax
import jax.numpy as jnp
import numpy as np
import reference
import reference_nd

from resnet_jax.models.layers.layers import Layers, LayersSpec
from resnet_jax.models.units.branch import BranchModule


def made(net, x, *args, seed=0, **kwargs):
    """Variables of a module for this input, none at a value that hides a mistake."""
    init = functools.partial(net.init, **kwargs)
    shapes = jax.eval_shape(init, jax.random.key(0), x, *args)
    drawn = reference.draw(shapes, np.random.default_rng(seed))
    return {"params": {}, "batch_stats": {}} | drawn


def drawn(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape)


def run(net, variables, x, *args, **kwargs):
    """Operation by operation, which is faster here than to compile."""
    with jax.disable_jit():
        return net.apply(
            jax.tree.map(jnp.asarray, variables), jnp.asarray(x), *args,
            mutable=["batch_stats"], **kwargs,
        )  # fmt: skip


def gradient(loss, params):
    """Compiled, and not optimised: faster than either alternative."""
    quick = {"xla_backend_optimization_level": 0}
    return jax.jit(jax.grad(loss), compiler_options=quick)(params)


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


def compare(net, expected, x, *, seed=0):
    """A net against `expected(x, at)`: outputs and statistics, in both modes."""
    variables = made(net, x, seed=seed, train=False)
    for train in (False, True):
        mine = copy.deepcopy(variables)
        y, changed = run(net, variables, x, train=train)
        close(y, expected(x, reference_nd.at(mine, train=train)))
        jax.tree.map(close, changed.get("batch_stats", {}), mine["batch_stats"])


def applied(branch, features, *, strides=1, end=(), rank=2, train):
    layers = Layers(LayersSpec(dtype="float64", rank=rank), train)
    return BranchModule(branch, layers, features, strides, end)


def compare_branch(branch, expected, x, features, **fields):
    """The same of a branch by itself."""
    fields |= {"rank": x.ndim - 2}
    variables = made(applied(branch, features, train=False, **fields), x)
    for train in (False, True):
        mine = copy.deepcopy(variables)
        net = applied(branch, features, train=train, **fields)
        y, changed = run(net, variables, x)
        close(y, expected(x, reference_nd.at(mine, train=train)))
        jax.tree.map(close, changed.get("batch_stats", {}), mine["batch_stats"])
