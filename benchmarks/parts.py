"""Where a train step's time goes: convolutions and products, and all the rest.

Under a profiler, and the whole step without one beside it: the difference is what the
profiler takes, and what runs at the same time on several cores.
"""

import gzip
import json
import pathlib
import re
import tempfile
from collections.abc import Callable, Iterator

from work import Sample, Training

Run = Callable[[int], None]
PRODUCT = re.compile(r" (?:convolution|dot)\(")
INSTRUCTION = re.compile(r"\s+(?:ROOT )?%?([\w.\-]+) = ")
CALLS = re.compile(r"calls=%?([\w.\-]+)")
# The operators of PyTorch that multiply, forward and backward.
PRODUCTS = ("conv", "addmm", "::mm", "linear")


class Parts:
    """The turns of a training: {"whole_ms": unprofiled, "product_ms", "rest_ms"}.

    profiled(run, steps) -> (is it a product, its milliseconds) of each operation
    """

    def __init__(
        self,
        training: Training,
        profiled: Callable[[Run, int], Iterator[tuple[bool, float]]],
    ):
        self._training, self._profiled = training, profiled
        self.device_peak = training.device_peak
        self.facts = {"params": training.facts["params"]}

    def turn(self, steps: int) -> Sample:
        whole = self._training.turn(steps)["step_ms"]
        parts = {True: 0.0, False: 0.0}
        for is_product, ms in self._profiled(self._training.run, steps):
            parts[is_product] += ms / steps
        return {"whole_ms": whole, "product_ms": parts[True], "rest_ms": parts[False]}


def of_xla(training: Training) -> Parts:
    """By the operations of the compiled program; loops are the sum of their bodies."""
    import jax

    from resnet_jax.train.profiler import without_python

    names = products(training.program())

    def profiled(run, steps):
        with tempfile.TemporaryDirectory() as folder:
            with jax.profiler.trace(folder, profiler_options=without_python()):
                run(steps)
            (path,) = pathlib.Path(folder).rglob("*.trace.json.gz")
            events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
        for event in events:
            name = event.get("args", {}).get("hlo_op")
            if name and not name.startswith(("while", "call", "conditional")):
                yield name in names, event["dur"] / 1e3

    return Parts(training, profiled)


def products(program: str) -> set[str]:
    """The instructions of an HLO text that multiply, by themselves or fused."""
    blocks = re.split(r"\n(?=\S)", program)
    fused = {
        block.removeprefix("%").partition(" ")[0]
        for block in blocks
        if PRODUCT.search(block)
    }
    found = set()
    for line in program.splitlines():
        name, calls = INSTRUCTION.match(line), CALLS.search(line)
        if name and (PRODUCT.search(line) or (calls and calls[1] in fused)):
            found.add(name[1])
    return found


def of_torch(training: Training) -> Parts:
    """By the time that each operator takes itself."""
    from torch import profiler

    def profiled(run, steps):
        with profiler.profile(activities=[profiler.ProfilerActivity.CPU]) as profile:
            run(steps)
        for each in profile.key_averages():
            is_product = any(word in each.key for word in PRODUCTS)
            yield is_product, each.self_cpu_time_total / 1e3

    return Parts(training, profiled)
