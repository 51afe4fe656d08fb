"""Process that measures one way of one case; run.py starts it.

    python benchmarks/worker.py DEVICE CASE WAY STEPS BATCH

Prints JSON lines: its facts when it is ready; a sample, after one turn, for every line
that it reads; its peak memory at the end of its input.
"""

import dataclasses
import json
import os
import resource
import sys
import tempfile
import traceback
from collections.abc import Callable
from typing import Any

import cases
from work import Training, Work

RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes of ru_maxrss


def open_work(case: cases.Case, way: cases.Way, folder: str) -> Work:
    """Set up the measurement; imports only what the way needs."""
    if case.kind == "loop":
        import loop

        return loop.comparison(case.row, folder)
    if case.kind == "launch":
        from launch import Launch

        return Launch(case, folder)
    if case.kind == "feed":
        from feed import Feed

        return Feed(case, way, folder)
    if case.kind == "parts":
        import parts

        make = parts.of_torch if way.by == "torch" else parts.of_xla
        return make(open_training(case, way))
    if case.kind == "compile":
        import ours

        return ours.Compilation(case, way)
    return open_training(case, way)


def open_training(case: cases.Case, way: cases.Way) -> Training:
    """Set up the train step of the framework."""
    if way.by == "ours":
        import ours

        return ours.training(case, way)
    if way.by == "flax":
        from peers import plain_flax

        return plain_flax.training(case)
    if way.by == "haiku":
        from peers import dm_haiku

        return dm_haiku.training(case)
    if way.by == "keras":
        from peers import keras_jax

        return keras_jax.training(case)
    from peers import pytorch

    return pytorch.training(case, compiled="compile" in way.fields)


def serve(
    case: cases.Case, way: cases.Way, write: Callable[[dict[str, Any]], None]
) -> None:
    """Write facts, then a sample per input line, then peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        work = open_work(case, way, folder)
        write(work.facts)
        for _ in sys.stdin:
            write(work.turn(case.steps))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT
        write({"peak_rss_bytes": peak, "peak_device_bytes": work.device_peak()})


def reason(error: Exception) -> str:
    """Status of a row that could not be measured, on one line."""
    if isinstance(error, ModuleNotFoundError):
        return f"not installed: {error.name}"
    if type(error).__name__ == "ConfigError":  # unknown field or file
        return f"not in the package: {str(error).splitlines()[0]}"
    return f"failed: {type(error).__name__}: {str(error).partition(chr(10))[0]}"


def main():
    device, name, way, steps, batch = sys.argv[1:]
    case = dataclasses.replace(
        cases.find(device, name), steps=int(steps), batch=int(batch)
    )
    # Libraries that print to stdout go to stderr, not between the JSON lines.
    lines = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def write(record):
        print(json.dumps(record), file=lines, flush=True)

    try:
        serve(case, cases.WAYS[way], write)
    except Exception as error:
        traceback.print_exc()
        write({"status": reason(error)})


if __name__ == "__main__":
    main()
