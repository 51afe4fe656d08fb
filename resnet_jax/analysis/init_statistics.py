"""Variance of signals and gradients at initialisation by layer, with their theory.

He et al. 2015, Sec. 2.2: in a plain net y_l = W_l x_l, x_l = f(y_{l-1}), with slope a
of f below zero, n = k^2 c_in inputs of an output and m = k^2 c_out / strides^2 outputs
that read an input,

    forward,  Eq. 8 and 15    Var[y_l]  = (1 + a^2)/2 n_l Var[w_l] Var[y_{l-1}]
    backward, Eq. 13 and 15   Var[dy_l] = (1 + a^2)/2 m_{l+1} Var[w_{l+1}] Var[dy_{l+1}]

where f(y_0) is the net's input and dy the gradient of the loss with respect to y.
Eq. 10 and 14 require factors of 1. The strides are added here; the theory neglects zero
padding, finite width and the curvature of ELU.
"""

import dataclasses
import functools
import itertools
import math
import operator
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, Float

from resnet_jax.config.schema import Config
from resnet_jax.models import inspect
from resnet_jax.models.inspect import Path
from resnet_jax.models.layers.convolution import Convolution
from resnet_jax.models.nets.resnet import ResNetSpec
from resnet_jax.models.nets.spec import NetSpec
from resnet_jax.paths import replaced, replaced_where_known
from resnet_jax.train import program as programs
from resnet_jax.train.experiment import Experiment, prepare
from resnet_jax.train.state import Variables
from resnet_jax.train.step import StepSpec
from resnet_jax.train.task import make_task, scaled_by_data


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kernel:
    """Kernel of one layer, stacked inside a loop, with the numbers of the theory."""

    path: Path
    units: int | None  # stacked units, None outside loops
    fan_in: int  # n
    fan_out: float  # m
    variance: float | None  # Var[w] of the config's initialisation


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layer:
    """Statistics of one layer's y, before norm and activation, and dy, one per seed.

    dy is the gradient of the losses' sum, which does not depend on the batch size.
    Numbers beyond the theory are None.
    """

    name: str
    fan_in: int
    fan_out: float
    forward_factor: float | None
    backward_factor: float | None
    variance: tuple[float, ...]
    mean_square: tuple[float, ...]
    gradient_variance: tuple[float, ...]
    gradient_mean_square: tuple[float, ...]
    theory: float | None = None  # Var[y]
    gradient_theory: float | None = None  # Var[dy], from the measured last layer


class Start(NamedTuple):
    """Variables and batch of the first update of a run."""

    variables: Variables
    images: jax.Array
    labels: jax.Array
    rngs: dict[str, jax.Array]


def probed(config: Config, *, batch: int, seeds: int) -> list[Layer]:
    """Measure all layers in forward order, for consecutive seeds from the config's.

    Parameters and images are those of the first update of each seed's run at this batch
    size, augmented and in training mode, but without stochastic depth.
    """
    changes = {"data.batch_size": batch, "train.accumulate": 1, "train.spmd": "jit"}
    experiment = prepare(replaced(config, changes))
    net = probe_spec(experiment.net)
    experiment = dataclasses.replace(experiment, net=net)
    program = programs.compiled(
        make_task(experiment), StepSpec(), spmd="jit", devices=experiment.devices
    )
    numbers = range(config.seed, config.seed + seeds)
    starts = [_start(experiment.with_seeds([seed]), program) for seed in numbers]
    found = kernels(net, starts[0])
    smoothing = config.train.label_smoothing
    measure = functools.partial(measured, net.build(), found, smoothing=smoothing)
    measure = jax.jit(measure)
    results = [jax.device_get(measure(start)) for start in starts]
    slope = net.layers.act.slope
    known = {kernel.path: kernel for kernel in found}
    layers = [
        _layer(known[path], unit, slope, results)
        for path, unit in inspect.unrolled(
            {kernel.path: kernel.units for kernel in found}
        )
    ]
    if not is_chain(net) or config.model.init == "lsuv":
        return layers
    squares = [float(jnp.square(start.images).mean()) for start in starts]
    return with_theory(layers, slope=slope, mean_square=statistics.fmean(squares))


def probe_spec(net: NetSpec) -> NetSpec:
    """The spec without stochastic depth, auxiliary losses and nested loops."""
    mode = getattr(net, "depth_mode", "scan")
    mode = "remat" if mode == "sqrt" else mode
    changes = {"survival": 1.0, "depth_mode": mode, "relays": ()}
    return replaced_where_known(net, changes)


def _start(experiment: Experiment, program: programs.Program) -> Start:
    """The start of a run, with random keys as in `train.step`."""
    state = program.init(experiment.seeds)
    if experiment.config.model.init == "lsuv":
        params = scaled_by_data(experiment, state)
        state = dataclasses.replace(state, params=params)
    batch = experiment.pipeline.first_batch()
    key = jax.random.fold_in(jax.random.key(state.seed), state.step)
    augment, drop_path, noise = (jax.random.fold_in(key, i) for i in range(3))
    images = experiment.pipeline.preprocess(augment, batch, train=True)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    rngs = {"drop_path": drop_path, "noise": jax.random.fold_in(noise, 0)}
    return Start(variables, images, jnp.asarray(batch["label"]), rngs)


def kernels(net: NetSpec, start: Start) -> list[Kernel]:
    """The kernels of a net in forward order."""
    apply = functools.partial(net.build().apply, train=False)
    called = inspect.listed(
        lambda: jax.eval_shape(apply, start.variables, start.images),
        wanted=lambda module: isinstance(module, Convolution | nn.Dense),
    )
    params = cast(dict[Path, Array], flatten_dict(start.variables["params"]))
    shapes = {path: params[*path, "kernel"].shape for path in called}
    return [_kernel(net, called[path], shape) for path, shape in shapes.items()]


def _kernel(net: NetSpec, module: nn.Module, shape: tuple[int, ...]) -> Kernel:
    units = None
    if "rest" in module.path:
        units, shape = shape[0], shape[1:]
    *window, inputs, outputs = shape
    fan_in, fan_out, variance = math.prod(window) * inputs, float(outputs), None
    if isinstance(module, Convolution):
        variance = net.layers.init.variance(shape, slope=net.layers.act.slope)
        strides = module.strides
        if isinstance(strides, int):
            strides = (strides,) * len(window)
        fan_out = outputs * math.prod(window) / module.groups / math.prod(strides)
    return Kernel(
        path=module.path,
        units=units,
        fan_in=fan_in,
        fan_out=fan_out,
        variance=variance,
    )


def is_chain(net: NetSpec) -> bool:
    """True for a plain chain of convolutions and rectifiers, without norms."""
    if not isinstance(net, ResNetSpec) or net.unit.shortcut != "none":
        return False
    bare = net.layers.norm is net.layers.operator is net.unit.gate is None
    return bare and net.stem.pool is None and not net.head.hidden


@jax.custom_vjp
def tapped(y: Array, tap: Float[Array, "2"]) -> Array:
    """Identity of y, with the moments of y's gradient as the gradient of the tap.

    So moments get out of a backward pass, even from loops, without storing gradients.
    """
    return y


def moments(y: Array) -> Float[Array, "2"]:
    """Variance and mean square, at least in float32."""
    y = y.astype(jnp.promote_types(y.dtype, jnp.float32))
    return jnp.stack([y.var(), jnp.square(y).mean()])


tapped.defvjp(lambda y, tap: (y, None), lambda _, g: (g, moments(g)))


def measured(
    net: nn.Module, found: Sequence[Kernel], start: Start, *, smoothing: float = 0.0
) -> dict[Path, tuple[Array, Array]]:
    """Moments [*units 2] of every layer's y and dy by path, in one gradient pass."""
    wide = jnp.promote_types(jax.tree.leaves(start.variables)[0].dtype, jnp.float32)
    taps = {
        (*k.path, "tap"): jnp.zeros((k.units, 2) if k.units else 2, wide) for k in found
    }

    def tapping(call, args, kwargs, context):
        y, module = call(*args, **kwargs), context.module
        if not isinstance(module, Convolution | nn.Dense):
            return y
        module.sow("intermediates", "signal", moments(y))
        return tapped(y, module.get_variable("intermediates", "tap"))

    def loss(taps):
        with nn.intercept_methods(tapping):
            logits, seen = net.apply(
                start.variables | {"intermediates": unflatten_dict(taps)},
                start.images, train=True, rngs=start.rngs,
                mutable=["batch_stats", "intermediates"],
            )  # fmt: skip
        wanted = jax.nn.one_hot(start.labels, logits.shape[1], dtype=logits.dtype)
        wanted = optax.smooth_labels(wanted, smoothing)
        nll = optax.softmax_cross_entropy(logits, wanted)
        return nll.sum(), flatten_dict(seen["intermediates"])

    gradients, seen = jax.grad(loss, has_aux=True)(taps)
    return {
        k.path: (seen[*k.path, "signal"][0], gradients[*k.path, "tap"]) for k in found
    }


def _layer(
    kernel: Kernel,
    unit: int | None,
    slope: float,
    results: Sequence[Mapping[Path, tuple[np.ndarray, np.ndarray]]],
) -> Layer:
    """Statistics of one layer, or of one of its stacked units, over all seeds."""
    pick = Ellipsis if unit is None else unit
    signals, gradients = zip(*(seed[kernel.path] for seed in results), strict=True)
    factor = kernel.variance and kernel.variance * (1 + slope**2) / 2
    return Layer(
        name=inspect.named(kernel.path, unit),
        fan_in=kernel.fan_in,
        fan_out=kernel.fan_out,
        forward_factor=factor and factor * kernel.fan_in,
        backward_factor=factor and factor * kernel.fan_out,
        variance=tuple(float(s[pick][..., 0]) for s in signals),
        mean_square=tuple(float(s[pick][..., 1]) for s in signals),
        gradient_variance=tuple(float(g[pick][..., 0]) for g in gradients),
        gradient_mean_square=tuple(float(g[pick][..., 1]) for g in gradients),
    )


def with_theory(
    layers: Sequence[Layer], *, slope: float, mean_square: float
) -> list[Layer]:
    """Add the theory's Var[y] and Var[dy] to the layers of a chain by recursion.

    Forward from the mean square of the images, backward from the measured gradient of
    the last convolution; the head pools, and is left out.
    """
    *chain, head = layers
    forward = _products(
        mean_square * 2 / (1 + slope**2), [layer.forward_factor for layer in chain]
    )
    backward = _products(
        statistics.fmean(chain[-1].gradient_mean_square),
        [layer.backward_factor for layer in reversed(chain[1:])],
    )
    explained = [
        dataclasses.replace(layer, theory=y, gradient_theory=dy)
        for layer, y, dy in zip(chain, forward[1:], reversed(backward), strict=True)
    ]
    return [*explained, head]


def _products(start: float, factors: Sequence[float | None]) -> list[float]:
    """Running products from `start` on, itself included."""
    known = [factor for factor in factors if factor is not None]
    return list(itertools.accumulate(known, operator.mul, initial=start))
