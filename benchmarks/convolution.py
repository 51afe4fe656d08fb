"""Time of our convolution in a loop over XLA's own in straight-line code, on a CPU.

    python benchmarks/convolution.py [part of a case's name ...]

One row a case, medians of interleaved runs in one process, about a minute in all; 1.00
is as fast as stock JAX without a loop. Stock gradients of grouped convolutions are so
slow (seconds) that the kernel's gradient is not compared there.
"""

import statistics
import sys
import time
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from resnet_jax.modules.convolution import Window, convolve, plain

TURNS = 4  # of the loop
RUNS = 7


@dataclass(frozen=True)
class Case:
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
        one = Window((self.stride,), ((pad, pad),), (self.dilation,), self.groups)
        return one.map(lambda axes: axes * rank)


CASES = (
    Case("3x3, 32x32x16", (32, 32, 32, 16), 3, 16),
    Case("3x3, 16x16x32", (64, 16, 16, 32), 3, 32),
    Case("3x3, 8x8x64", (64, 8, 8, 64), 3, 64),
    Case("3x3, 14x14x256", (8, 14, 14, 256), 3, 256),
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
    """`TURNS` of each of x, kernel, dy, stacked."""
    rng, rank = np.random.default_rng(0), len(case.x) - 2
    size = (case.size,) * rank
    shapes = [case.x, (*size, case.x[-1] // case.groups, case.out)]
    arrays = [jnp.zeros(shape) for shape in shapes]
    shapes.append(jax.eval_shape(lambda *a: plain(case.window, *a), *arrays).shape)
    return [jnp.asarray(rng.normal(size=(TURNS, *s)), jnp.float32) for s in shapes]


def rolled(form, stacked):
    """The sum of `form` over the turns, in a loop."""
    start = jax.tree.map(jnp.zeros_like, jax.eval_shape(form, *(a[0] for a in stacked)))

    def turn(total, arrays):
        return jax.tree.map(jnp.add, total, form(*arrays)), None

    return lax.scan(turn, start, stacked)[0]


def unrolled(form, stacked):
    """The same sum, turn after turn."""
    total = form(*(a[0] for a in stacked))
    for at in range(1, TURNS):
        total = jax.tree.map(jnp.add, total, form(*(a[at] for a in stacked)))
    return total


def medians(programs, stacked):
    """Seconds of each program: median of `RUNS`, one after the other in each round."""
    times = {name: [] for name in programs}
    for program in programs.values():
        jax.block_until_ready(program(stacked))
    for _ in range(RUNS):
        for name, program in programs.items():
            start = time.perf_counter()
            jax.block_until_ready(program(stacked))
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(each) for name, each in times.items()}


def measure(case: Case):
    """Milliseconds a turn of ours, and our time over stock, by part."""
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
        over = seconds.get((name, "stock"))
        yield ours_ms, (seconds[name, "ours"] / over if over else None)


def main(wanted):
    print("| convolution | forward | ms | dx | ms | dkernel | ms |")
    print("|---|---|---|---|---|---|---|")
    for case in CASES:
        if not wanted or any(word in case.name for word in wanted):
            cells = [
                f"{'-' if ratio is None else f'{ratio:.2f}'} | {ms:.2f}"
                for ms, ratio in measure(case)
            ]
            print(f"| {case.name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
