"""Table of the layers of a net: shapes, parameters, multiply-adds."""

import collections
import dataclasses
import functools
import math
from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict

from resnet_jax.models import complexity
from resnet_jax.models.inspect import Path, named_inside
from resnet_jax.models.nets.spec import NetSpec

HEADINGS = ("layer", "output", "parameters", "multiply-adds", "")


@dataclasses.dataclass(frozen=True)
class Layer:
    """Layer with parameters or products; of a loop, the layer of one unit.

    `output` has no batch axis; None where the forward pass at test does not run the
    layer. `times` is the number of units in the loop.
    """

    name: str
    output: tuple[int, ...] | None
    params: int
    multiply_adds: int
    times: int = 1


@dataclasses.dataclass(frozen=True, repr=False)
class Summary:
    """Layers of a net in call order; prints as a table."""

    layers: tuple[Layer, ...]

    @property
    def params(self) -> int:
        """Number of parameters, equal to that of `count`."""
        return sum(layer.times * layer.params for layer in self.layers)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds for one image, equal to those of `count`."""
        return sum(layer.times * layer.multiply_adds for layer in self.layers)

    def __str__(self) -> str:
        rows = [
            (
                layer.name,
                "x".join(map(str, layer.output or ())) or "-",
                f"{layer.params:,}",
                f"{layer.multiply_adds:,}",
                f"x {layer.times}" if layer.times > 1 else "",
            )
            for layer in self.layers
        ]
        total = ("total", "", f"{self.params:,}", f"{self.multiply_adds:,}", "")
        widths = [
            max(map(len, column)) for column in zip(*rows, HEADINGS, total, strict=True)
        ]
        lines = [_line(row, widths) for row in (HEADINGS, *rows, total)]
        rule = "-" * max(map(len, lines))
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])

    __repr__ = __str__


def summary(net: NetSpec | nn.Module, image_shape: tuple[int, ...]) -> Summary:
    """Layers of a net, given as a spec or built, as a table that prints; runs nothing.

    `image_shape` is that of one input, (height, width, channels), of clips (frames,
    height, width, channels). A row has a layer's name, the shape of its output for one
    image, its parameters, and its multiply-adds for one image, as `count` counts them.
    Layers of units in a loop have one row, with the number of units as `x n`, and the
    numbers of one unit. Totals equal those of `count`. `.layers` holds the rows.

    ConfigError where the net does not take images of that shape.
    """
    net = named_inside(complexity.built(net, image_shape))
    shapes = complexity.shapes(net, image_shape)
    outputs, macs = _traced(net, shapes, image_shape)
    params: collections.Counter[Path] = collections.Counter()
    times: dict[Path, int] = {}
    leaves = cast(dict[Path, jax.ShapeDtypeStruct], flatten_dict(shapes["params"]))
    for path, leaf in leaves.items():
        params[path[:-1]] += math.prod(leaf.shape)
        if "rest" in path:
            times[_loop(path)] = leaf.shape[0]
    called = [path for path in outputs if params[path] or macs["/".join(path)]]
    layers = []
    for path in dict.fromkeys([*called, *params]):
        name = "/".join(path)
        n = times.get(_loop(path), 1)
        counted = (params[path] // n, macs[name] // n)
        if any(counted):
            layers.append(Layer(name or "(net)", outputs.get(path), *counted, n))
    return Summary(tuple(layers))


def _traced(
    net: nn.Module, shapes, image_shape: tuple[int, ...]
) -> tuple[dict[Path, tuple[int, ...]], collections.Counter[str]]:
    """Shape of every module's output in call order, and products by module."""
    outputs: dict[Path, tuple[int, ...]] = {}

    def record(method, args, kwargs, context):
        module = context.module
        if context.method_name != "__call__":
            return method(*args, **kwargs)
        with complexity.mark(module):
            result = method(*args, **kwargs)
        for array in jax.tree.leaves(result)[:1]:
            outputs[module.path] = array.shape[1:]
        return result

    with nn.intercept_methods(record):
        forward = jax.make_jaxpr(functools.partial(net.apply, train=False))
        x = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
        program = forward(shapes, x)
    return outputs, complexity.products(program.jaxpr)


def _loop(path: Path) -> Path:
    """Path of the loop that a layer is in; () outside of loops."""
    return path[: path.index("rest") + 1] if "rest" in path else ()


def _line(cells, widths) -> str:
    """Names and counts of units on the left, numbers on the right."""
    name, output, *numbers, times = cells
    left, middle, *right, last = widths
    figures = (text.rjust(width) for text, width in zip(numbers, right, strict=True))
    parts = (name.ljust(left), output.ljust(middle), *figures, times.ljust(last))
    return "  ".join(parts).rstrip()
