"""Benchmarks of resnet_jax beside PyTorch, dm-haiku, Keras and plain Flax.

    pip install -e ".[benchmarks]"
    python benchmarks/run.py --out results/benchmarks/cpu.json  # or gpu.json
    python benchmarks/run.py ResNet-50 Launch --ways ours torch
    python benchmarks/render.py results/benchmarks/*.json > results/benchmarks.md

Runs the GPU cases of cases.py if JAX finds a GPU, else the CPU cases. Each way to run a
case is a process with as many threads as there are cores. On a CPU the processes of a
case stay alive side by side and take turns, one working while all others wait, so that
a slow minute of the machine affects all of them; on a GPU they run one after the other.
A peer that is not installed, or not ready after --limit seconds, gets a row with that
status. All cases take about forty minutes on two idle cores. A run that is shortened by
--steps, --turns or --batch counts for no goal.
"""

import argparse
import contextlib
import dataclasses
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import sys
from typing import Any

import render
from cases import CASES, WAYS, Case
from processes import measured
from rows import Row

HERE = pathlib.Path(__file__).parent
LIMITS = {"cpu": 120.0, "gpu": 500.0}  # seconds until ready, and per turn
# All frameworks run on the same device.
GPU = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0]
FORCED = {
    "cpu": {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""},
    "gpu": {"CUDA_VISIBLE_DEVICES": GPU},
}
# Unset, so that no process finds programs of another run, or emulated devices.
UNSET = ("JAX_COMPILATION_CACHE_DIR", "JAX_NUM_CPU_DEVICES", "TORCHINDUCTOR_CACHE_DIR")
MAX_LOAD = 0.5  # load average above which a warning is printed
PEERS = ("dm-haiku", "keras", "torch", "torchvision")
PROBE = """
import json
from resnet_jax.runs import directory
from resnet_jax.train.replicas import device_facts
print(json.dumps(directory.environment(device_facts())))
"""


def main():
    options = parse_arguments()
    path = [str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    os.environ |= FORCED.get(options.device, {})
    for name in UNSET:
        os.environ.pop(name, None)
    machine = environment()
    device = machine["platform"]
    if device not in CASES or options.device not in (None, device):
        sys.exit(f"JAX runs on {device}; there are cases for {', '.join(CASES)}")
    os.environ |= FORCED[device] | {"OMP_NUM_THREADS": str(machine["cpu_count"])}
    if machine["load"] > MAX_LOAD:
        print(f"machine is not idle: load {machine['load']:.1f}", file=sys.stderr)
    result = {"environment": machine, "cases": {}, "rows": []}
    for case in CASES[device]:
        case = with_options(case, options)
        if case.ways and case.name.startswith(tuple(options.cases) or ""):
            result["cases"][case.name] = dataclasses.asdict(case)
            result["rows"] += measure(case, device, options)
            write(result, options.out)  # after each case, as a run is long
    print(render.markdown([result]))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cases", nargs="*", help="prefixes of case names; default: all")
    parser.add_argument("--out", type=pathlib.Path, help="JSON")
    parser.add_argument("--device", choices=CASES, help="default: what JAX finds")
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=tuple(WAYS))
    parser.add_argument("--steps", type=int, help="per turn; default: the case's")
    parser.add_argument("--turns", type=int, help="default: the case's")
    parser.add_argument("--batch", type=int, help="default: the case's")
    parser.add_argument("--limit", type=float, help="seconds until ready, and per turn")
    return parser.parse_args()


def with_options(case: Case, options: argparse.Namespace) -> Case:
    """The case with the ways and sizes of the command line."""
    given = {name: getattr(options, name) for name in ("steps", "turns", "batch")}
    given = {name: value for name, value in given.items() if value is not None}
    ways = tuple(way for way in case.ways if way in options.ways)
    return dataclasses.replace(case, ways=ways, **given)


def measure(case: Case, device: str, options: argparse.Namespace) -> list[Row]:
    """Measure all ways of a case in worker processes."""
    # One process at a time on a GPU, which they would share.
    groups = [case.ways] if device == "cpu" else [[way] for way in case.ways]
    command = [sys.executable, str(HERE / "worker.py"), device]
    limit = options.limit or LIMITS[device]
    return measured(case, groups, command=command, limit=limit)


def write(result: dict[str, Any], path: pathlib.Path | None) -> None:
    """Write a result as JSON, if there is a path."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")


def environment() -> dict[str, Any]:
    """Versions, devices, commit and load; asks another process, not to import JAX."""
    load = os.getloadavg()[0]
    probe = subprocess.run(
        [sys.executable, "-c", PROBE], stdout=subprocess.PIPE, check=True
    )
    found = json.loads(probe.stdout)
    found["packages"] |= {name: version(name) for name in PEERS}
    return found | {
        "command": ["python", *sys.argv],
        "processor": processor(),
        "load": load,
    }


def version(package: str) -> str | None:
    """Installed version of a package, or None."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    return None


def processor() -> str:
    """Name of the processor; on Linux the model name in /proc/cpuinfo."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
