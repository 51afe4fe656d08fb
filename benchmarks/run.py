"""Ours beside PyTorch, dm-haiku, Keras and plain Flax: every figure in one run.

    pip install -e ".[benchmarks]"
    python benchmarks/run.py --out results/benchmarks/cpu.json  # or gpu.json
    python benchmarks/run.py ResNet-50 Launch --ways ours torch
    python benchmarks/render.py results/benchmarks/*.json > results/benchmarks.md

The cases of a GPU are run where JAX sees one, else those of a CPU (cases.py). Every way
to run a case is a process of its own, with as many threads as there are cores. On a CPU
those of a case stay alive side by side and take turns, one at work and all others
waiting, so that a slow minute of the machine meets all of them; on a GPU each has the
device for itself. A peer that is not installed is a row that says so, and one that is
not ready after --limit seconds likewise. All cases take about forty minutes on two idle
cores; a run with --steps, --turns or --batch is a try, and counts for no goal.
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
LIMITS = {"cpu": 120.0, "gpu": 500.0}  # seconds until ready, or for a turn
# All frameworks on one and the same device.
GPU = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0]
FORCED = {
    "cpu": {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""},
    "gpu": {"CUDA_VISIBLE_DEVICES": GPU},
}
# None finds programs that another run compiled, or more devices than there are.
UNSET = ("JAX_COMPILATION_CACHE_DIR", "JAX_NUM_CPU_DEVICES", "TORCHINDUCTOR_CACHE_DIR")
IDLE = 0.5  # processes at work, of a machine that is fit to be measured on
PEERS = ("dm-haiku", "keras", "torch", "torchvision")


def main():
    chosen = options()
    path = [str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    os.environ |= FORCED.get(chosen.device, {})
    for name in UNSET:
        os.environ.pop(name, None)
    here = environment()
    device = here["platform"]
    if device not in CASES or chosen.device not in (None, device):
        sys.exit(f"JAX runs on {device}; there are cases for {', '.join(CASES)}")
    os.environ |= FORCED[device] | {"OMP_NUM_THREADS": str(here["cpu_count"])}
    if here["load"] > IDLE:
        print(f"others are at work here: load {here['load']:.1f}", file=sys.stderr)
    result = {"environment": here, "cases": {}, "rows": []}
    for case in CASES[device]:
        case = changed(case, chosen)
        if case.ways and case.name.startswith(tuple(chosen.cases) or ""):
            result["cases"][case.name] = dataclasses.asdict(case)
            result["rows"] += measure(case, device, chosen)
            keep(result, chosen.out)  # after each: a run is long
    print(render.markdown([result]))


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cases", nargs="*", help="how their names begin; default: all")
    parser.add_argument("--out", type=pathlib.Path, help="JSON")
    parser.add_argument("--device", choices=CASES, help="default: what JAX finds")
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=tuple(WAYS))
    parser.add_argument("--steps", type=int, help="in a turn, in place of the case's")
    parser.add_argument("--turns", type=int, help="in place of the case's")
    parser.add_argument("--batch", type=int, help="in place of the case's")
    parser.add_argument("--limit", type=float, help="seconds until ready, or a turn")
    return parser.parse_args()


def changed(case: Case, chosen: argparse.Namespace) -> Case:
    given = {name: getattr(chosen, name) for name in ("steps", "turns", "batch")}
    given = {name: value for name, value in given.items() if value is not None}
    ways = tuple(way for way in case.ways if way in chosen.ways)
    return dataclasses.replace(case, ways=ways, **given)


def measure(case: Case, device: str, chosen: argparse.Namespace) -> list[Row]:
    # Several programs would share the memory and the cores of a GPU.
    groups = [case.ways] if device == "cpu" else [[way] for way in case.ways]
    command = [sys.executable, str(HERE / "worker.py"), device]
    limit = chosen.limit or LIMITS[device]
    return measured(case, groups, command=command, limit=limit)


def keep(result: dict[str, Any], path: pathlib.Path | None) -> None:
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")


def environment() -> dict[str, Any]:
    """Versions, devices and commit, as a process of the project sees them."""
    load = os.getloadavg()[0]  # before we add to it
    probe = "import json; from resnet_jax import workdir; "
    probe += "print(json.dumps(workdir.environment()))"
    found = subprocess.run(
        [sys.executable, "-c", probe], stdout=subprocess.PIPE, check=True
    )
    here = json.loads(found.stdout)
    here["packages"] |= {name: version(name) for name in PEERS}
    return here | {
        "command": ["python", *sys.argv],
        "processor": processor(),
        "load": load,
    }


def version(package: str) -> str | None:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    return None


def processor() -> str:
    """Its name, as Linux has it."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
