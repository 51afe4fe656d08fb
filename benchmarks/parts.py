"""Time of a train step by kind of operation: convolutions and products, and the rest.

Operations are timed under a profiler, the whole step without one. Their sum differs
from the whole by the profiler's overhead and by operations that run at the same time on
several cores.
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
# Names of PyTorch operators that are products, forward and backward, contain these.
TORCH_PRODUCTS = ("conv", "addmm", "::mm", "linear")


class Parts:
    """Milliseconds per step: whole (unprofiled), of products, and of the rest.

    profiled(run, steps) yields (is a product, milliseconds) of each operation
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
        """{"whole_ms", "product_ms", "rest_ms"}"""
        whole = self._training.turn(steps)["step_ms"]
        parts = {True: 0.0, False: 0.0}
        for is_product, ms in self._profiled(self._training.run, steps):
            parts[is_product] += ms / steps
        return {"whole_ms": whole, "product_ms": parts[True], "rest_ms": parts[False]}


def of_xla(training: Training) -> Parts:
    """Time the operations of the compiled program; a loop counts as its body."""
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
    """Names of the convolutions and dots of an HLO text, and of fusions with one."""
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
    """Time the operators, each without the operators that it calls."""
    from torch import profiler

    def profiled(run, steps):
        with profiler.profile(activities=[profiler.ProfilerActivity.CPU]) as profile:
            run(steps)
        for each in profile.key_averages():
            is_product = any(word in each.key for word in TORCH_PRODUCTS)
            yield is_product, each.self_cpu_time_total / 1e3

    return Parts(training, profiled)
