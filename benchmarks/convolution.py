"""Time of our layers in a loop, relative to JAX's own in straight-line code, on a CPU.

    python benchmarks/convolution.py [part of a case's name ...]

First convolutions, each with its two gradients, and GFLOP/s of ours; then max pooling
and BatchNorm, forward and backward. One row per case, medians of interleaved runs in
one process, about two minutes in all. A ratio of 1.00 is as fast as stock JAX without a
loop, less is faster. The stock gradient of a grouped kernel takes seconds: its ratio is
left out.
"""

import statistics
import sys
import time
from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from resnet_jax.models.layers.batchnorm import TORCH, normalise
from resnet_jax.ops import pooling
from resnet_jax.ops.convolution import Window, convolve, plain

TURNS = 4  # iterations of the loop
RUNS = 7  # timed runs of each program


@dataclass(frozen=True)
class Case:
    """A convolution: shape of its input, kernel size and output channels."""

    name: str
    x: tuple[int, ...]
    size: int
    out: int
    stride: int = 1
    dilation: int = 1
    groups: int = 1

    @property
    def window(self) -> Window:
        rank, pad = len(self.x) - 2, (self.size - 1) // 2 * self.dilation
        axis = Window((self.stride,), ((pad, pad),), (self.dilation,), self.groups)
        return axis.map(lambda values: values * rank)


CASES = (
    Case("3x3, 32x32x16", (32, 32, 32, 16), 3, 16),
    Case("3x3, 16x16x32", (64, 16, 16, 32), 3, 32),
    Case("3x3, 8x8x64", (64, 8, 8, 64), 3, 64),
    Case("3x3, 56x56x64", (8, 56, 56, 64), 3, 64),
    Case("3x3, 14x14x256", (8, 14, 14, 256), 3, 256),
    Case("3x3, 7x7x512", (8, 7, 7, 512), 3, 512),
    Case("3x3/2, 28x28x256", (8, 28, 28, 256), 3, 256, stride=2),
    Case("3x3/2, 32x32x16 to 32", (64, 32, 32, 16), 3, 32, stride=2),
    Case("7x7/2, 112x112x3 to 64", (4, 112, 112, 3), 7, 64, stride=2),
    Case("1x1, 16x16, 64 to 16", (64, 16, 16, 64), 1, 16),
    Case("1x1, 16x16, 16 to 64", (64, 16, 16, 16), 1, 64),
    Case("1x1/2, 32x32, 64 to 128", (32, 32, 32, 64), 1, 128, stride=2),
    Case("3x3 dilated by 2, 16x16x32", (64, 16, 16, 32), 3, 32, dilation=2),
    Case("3x3 in 8 groups, 16x16x128", (32, 16, 16, 128), 3, 128, groups=8),
    Case("3x3 in 32 groups, 16x16x128", (32, 16, 16, 128), 3, 128, groups=32),
    Case("3x3 depthwise, 16x16x64", (32, 16, 16, 64), 3, 64, groups=64),
    Case("3x3x3, 8x8x8x16", (8, 8, 8, 8, 16), 3, 16),
)


def operands(case: Case):
    """Random x, kernel and dy, each stacked `TURNS` times."""
    rng, rank = np.random.default_rng(0), len(case.x) - 2
    size = (case.size,) * rank
    shapes = [case.x, (*size, case.x[-1] // case.groups, case.out)]
    arrays = [jnp.zeros(shape) for shape in shapes]
    shapes.append(jax.eval_shape(lambda *a: plain(case.window, *a), *arrays).shape)
    return [jnp.asarray(rng.normal(size=(TURNS, *s)), jnp.float32) for s in shapes]


def rolled(form, stacked):
    """Sum of `form` over the turns, computed in a loop."""
    start = jax.tree.map(jnp.zeros_like, jax.eval_shape(form, *(a[0] for a in stacked)))

    def turn(total, arrays):
        return jax.tree.map(jnp.add, total, form(*arrays)), None

    return lax.scan(turn, start, stacked)[0]


def unrolled(form, stacked):
    """Sum of `form` over the turns, in straight-line code."""
    total = form(*(a[0] for a in stacked))
    for at in range(1, TURNS):
        total = jax.tree.map(jnp.add, total, form(*(a[at] for a in stacked)))
    return total


def medians(programs, stacked):
    """Median seconds of each program over `RUNS` rounds; a round runs each once."""
    times = {name: [] for name in programs}
    for program in programs.values():
        jax.block_until_ready(program(stacked))
    for _ in range(RUNS):
        for name, program in programs.items():
            start = time.perf_counter()
            jax.block_until_ready(program(stacked))
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(each) for name, each in times.items()}


def gigaflops(case: Case) -> float:
    """10^9 operations of one pass: 2 per kernel tap and output value."""
    points = jax.eval_shape(
        lambda *arrays: plain(case.window, *arrays), *(a[0] for a in operands(case)[:2])
    ).size
    taps = case.size ** (len(case.x) - 2) * case.x[-1] // case.groups
    return 2e-9 * points * taps


def measure(case: Case):
    """Yield (milliseconds per turn, ratio to stock) of forward, dx and dkernel."""
    window = case.window

    def ours(x, kernel):
        return convolve(
            x,
            kernel,
            strides=window.strides,
            groups=window.groups,
            dilation=window.dilation,
            padding=window.padding,
        )

    def stock(x, kernel):
        return plain(window, x, kernel)

    def part(conv, at):
        if at is None:
            return lambda x, kernel, dy: conv(x, kernel)
        return lambda x, kernel, dy: jax.vjp(conv, x, kernel)[1](dy)[at]

    programs = {}
    parts = {"forward": None, "dx": 0, "dkernel": 1}
    for name, at in parts.items():
        for label, run, conv in (("ours", rolled, ours), ("stock", unrolled, stock)):
            if label == "ours" or at != 1 or case.groups == 1:
                form = part(conv, at)
                programs[name, label] = jax.jit(lambda a, r=run, f=form: r(f, a))
    seconds = medians(programs, operands(case))
    for name in parts:
        ours_ms = 1e3 * seconds[name, "ours"] / TURNS
        stock_s = seconds.get((name, "stock"))
        yield ours_ms, (seconds[name, "ours"] / stock_s if stock_s else None)


def stock_norm(x, scale, bias):
    """BatchNorm as written without a gradient of its own."""
    mean = x.mean((1, 2, 3), keepdims=True)
    var = jnp.square(x - mean).mean((1, 2, 3), keepdims=True)
    z = (x - mean) * lax.rsqrt(var + TORCH.epsilon)
    return z * scale.reshape(1, 1, 1, 1, -1) + bias.reshape(1, 1, 1, 1, -1)


def layers():
    """Yield (name, ours, stock, shape of x, shapes of the other operands)."""
    sizes = dict(window=3, strides=2, padding=(1, 1))
    yield (
        "max pool 3/2, 112x112x64",
        lambda x: pooling.max_pool(x, **sizes),
        lambda x: nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1))),
        (8, 112, 112, 64),
        (),
    )
    for side, c in ((32, 16), (56, 256)):
        yield (
            f"BatchNorm, {side}x{side}x{c}",
            lambda *arrays: normalise(TORCH, *arrays)[0],
            stock_norm,
            (1, 8, side, side, c),
            ((c,), (c,)),
        )


def backward_ratio(ours, stock, x, others):
    """(milliseconds of ours, ratio to stock), forward and backward."""
    rng = np.random.default_rng(0)
    shapes = [x, *others]
    arrays = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    shapes.append(jax.eval_shape(stock, *arrays).shape)
    stacked = [jnp.asarray(rng.normal(size=(TURNS, *s)), jnp.float32) for s in shapes]

    def both(layer):
        def run(*arrays):
            y, pull = jax.vjp(layer, *arrays[:-1])
            return y, *pull(arrays[-1])

        return run

    programs = {
        "ours": jax.jit(lambda a: rolled(both(ours), a)),
        "stock": jax.jit(lambda a: unrolled(both(stock), a)),
    }
    seconds = medians(programs, stacked)
    return 1e3 * seconds["ours"] / TURNS, seconds["ours"] / seconds["stock"]


def main(words):
    def selected(name):
        return not words or any(word in name for word in words)

    parts = ("forward", "dx", "dkernel")
    print("| convolution |", " | ".join(f"{p} | ms | GFLOP/s" for p in parts), "|")
    print("|---|" + "---|" * 9)
    for case in filter(lambda case: selected(case.name), CASES):
        operations = gigaflops(case)
        cells = [
            f"{'-' if ratio is None else f'{ratio:.2f}'} | {ms:.2f} | "
            f"{1e3 * operations / ms:.0f}"
            for ms, ratio in measure(case)
        ]
        print(f"| {case.name} | {' | '.join(cells)} |", flush=True)
    print("\n| layer, forward and backward | ratio | ms |\n|---|---|---|")
    for name, *layer in layers():
        if selected(name):
            ms, ratio = backward_ratio(*layer)
            print(f"| {name} | {ratio:.2f} | {ms:.2f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
