"""One way of one case, measured in a process of its own; run.py starts it.

    python benchmarks/worker.py DEVICE CASE WAY STEPS BATCH

Says its facts as a line of JSON when it is ready, makes a turn and says the sample for
every line that it reads, and at the end of its input says how much memory it took.
"""

import dataclasses
import json
import os
import resource
import sys
import tempfile
import traceback
from typing import Any

import cases
from work import Training, Work

RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes of ru_maxrss


def opened(case: cases.Case, way: cases.Way, folder: str) -> Work:
    """Imports what the way needs, and nothing else."""
    if case.kind == "loop":
        import loop

        return loop.opened(case.row, folder)
    if case.kind == "launch":
        from launch import Launch

        return Launch(case, folder)
    if case.kind == "feed":
        from feed import Feed

        return Feed(case, way, folder)
    if case.kind == "parts":
        import parts

        make = parts.of_torch if way.by == "torch" else parts.of_xla
        return make(trained(case, way))
    if case.kind == "compile":
        import ours

        return ours.Compilation(case, way)
    return trained(case, way)


def trained(case: cases.Case, way: cases.Way) -> Training:
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


def serve(case: cases.Case, way: cases.Way, say: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        work = opened(case, way, folder)
        say(work.facts)
        for _ in sys.stdin:
            say(work.turn(case.steps))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT
        say({"peak_rss_bytes": peak, "peak_device_bytes": work.device_peak()})


def reason(error: Exception) -> str:
    """Why there is no row, on one line."""
    if isinstance(error, ModuleNotFoundError):
        return f"not installed: {error.name}"
    if type(error).__name__ == "ConfigError":  # a field or file that is yet to come
        return f"not in the package: {str(error).splitlines()[0]}"
    return f"failed: {type(error).__name__}: {str(error).partition(chr(10))[0]}"


def main():
    device, name, way, steps, batch = sys.argv[1:]
    case = dataclasses.replace(
        cases.find(device, name), steps=int(steps), batch=int(batch)
    )
    # What a library prints must not come between our lines.
    lines = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(found):
        print(json.dumps(found), file=lines, flush=True)

    try:
        serve(case, cases.WAYS[way], say)
    except Exception as error:
        traceback.print_exc()
        say({"status": reason(error)})


if __name__ == "__main__":
    main()
