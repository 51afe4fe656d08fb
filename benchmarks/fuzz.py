"""Fuzz: random configs and damaged worlds end in an exit code and one line, or well.

    python benchmarks/fuzz.py --out benchmarks/fuzz.json [--configs 1800]
        [--processes 200] [--seed 0] [--folder DIR] [--again]

Configs: drawn from the schema, every family in turn, values at the edges of their
ranges and beyond, as they are typed on a command line. Those that pass validation are
prepared and counted, one in four is traced; nothing is compiled. Any exception that is
not a UserError is a find. Processes: a short run whose files, checkpoints, data or
environment are damaged. A find is another exit code than 0, 2, 3, 4, 5 or 6, a
traceback, more or less than one line of error, or anything created where the code is 2
or 3. XLA_FLAGS is left out: XLA ends the process at a flag it does not know. A fuzz
that was stopped goes on where it was. --again tries the finds once more, after a mend.
"""

import argparse
import collections
import json
import os
import pathlib
import random
import re
import sys
from collections.abc import Callable

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUM_CPU_DEVICES"] = "2"

import fuzz_configs
import fuzz_processes

from resnet_jax.data.sources.splits import open_splits
from resnet_jax.runs import directory

# A path of this machine, up to a folder that all machines have.
PLACE = re.compile(r"(?:/[\w.+-]+)+/(place|resnet_jax|site-packages|python3\.\d+)(?=/)")
NOW = ("end", "message", "error", "at", "code", "problems")
TRACED = 0.25  # share of the configs whose programs are traced, which takes longest


def configs(folder: pathlib.Path, count: int, seed: int, *, again: bool) -> list[dict]:
    """Outcomes of random configs."""
    open_splits("digits", directory=folder / "tfds")
    os.environ["TFDS_DATA_DIR"] = str(folder / "tfds")

    def one(number: int) -> dict:
        arguments = fuzz_configs.drawn(seed, number)
        deep = random.Random(number).random() < TRACED
        return {"arguments": arguments} | fuzz_configs.outcome(arguments, deep=deep)

    return resumed(folder / "configs.jsonl", count, one, again=again)


def processes(
    folder: pathlib.Path, count: int, seed: int, *, again: bool
) -> list[dict]:
    """Outcomes of processes in damaged worlds."""
    if not count:
        return []
    whole = fuzz_processes.prepared(folder)

    def one(number: int) -> dict:
        case = fuzz_processes.drawn(seed, number, whole)
        found = fuzz_processes.outcome(case, whole, folder)
        return {"case": case.told, "fresh": case.fresh} | found

    return resumed(folder / "processes.jsonl", count, one, again=again)


def resumed(
    file: pathlib.Path, count: int, one: Callable[[int], dict], *, again: bool
) -> list[dict]:
    """Outcomes so far, from a file with one a line, and those that are left."""
    text = file.read_text() if file.exists() else ""
    found = [json.loads(line) for line in text.splitlines()][:count]
    with open(file, "a") as out:
        for number in range(len(found), count):
            found.append({"number": number} | one(number))
            out.write(json.dumps(found[-1]) + "\n")
            out.flush()
            if is_find(found[-1]):
                print(json.dumps(found[-1]), flush=True)
            elif number % 50 == 0:
                print(f"{file.stem}: {number} of {count}", flush=True)
    for outcome in filter(is_find, found) if again else ():
        outcome["again"] = one(outcome["number"])
        print(json.dumps(outcome["again"]), flush=True)
    return found


def is_find(outcome: dict) -> bool:
    """True for an exception, or a process that ended otherwise than it may."""
    return bool(outcome.get("problems")) or outcome.get("end") == "find"


def told(found: list[dict], *names: str) -> list[dict]:
    """The finds, each with what is needed to repeat it, and what comes of it now."""

    def part(outcome: dict, names: tuple[str, ...]) -> dict:
        return {name: outcome[name] for name in names if name in outcome}

    return [
        part(o, names) | ({"again": part(o["again"], NOW)} if "again" in o else {})
        for o in filter(is_find, found)
    ]


def open_finds(found: list[dict]) -> int:
    """Number of finds that have not been mended since."""
    return sum(is_find(outcome.get("again", outcome)) for outcome in found)


def counted(found: list[dict], *names: str) -> dict[str, int]:
    keys = [" ".join(str(outcome[name]) for name in names) for outcome in found]
    return dict(sorted(collections.Counter(keys).items()))


def commits(folder: pathlib.Path) -> list[str]:
    """Commits at which the fuzz was started or went on; that of now is added."""
    file = folder / "commits"
    found = file.read_text().split() if file.exists() else []
    now = str(directory.environment({})["commit"])
    file.write_text("\n".join(dict.fromkeys([*found, now])))
    return file.read_text().split()


def result(seed: int, tried: list[dict], run: list[dict], at: list[str]) -> dict:
    """The content of the result file."""
    passed = [o for o in tried if o["stage"] != "validation"]
    environment = directory.environment({"devices": 2})
    shown = ("python", "packages", "devices", "cpu_count")
    return {
        "seed": seed,
        "commits": at,
        "configs": {
            "n": len(tried),
            "passed validation": len(passed),
            "by last stage and end": counted(tried, "stage", "end"),
            "finds": told(tried, "number", "arguments", "error", "at"),
            "finds left": open_finds(tried),
            "seconds": round(sum(o["seconds"] for o in tried)),
        },
        "processes": {
            "n": len(run),
            "of them with a damaged file": sum(
                not o["case"].startswith("environment") for o in run
            ),
            "by exit code": counted(run, "code"),
            "finds": told(run, "number", "case", "code", "problems", "stderr"),
            "finds left": open_finds(run),
            "seconds": round(sum(o["seconds"] for o in run)),
        },
        **{name: environment[name] for name in shown},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--configs", type=int, default=1800)
    parser.add_argument("--processes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("fuzz"))
    parser.add_argument("--again", action="store_true")
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    again = options.again
    at = commits(folder)
    run = processes(folder, options.processes, options.seed, again=again)
    tried = configs(folder, options.configs, options.seed, again=again)
    found = result(options.seed, tried, run, at)
    text = PLACE.sub(r"\1", json.dumps(found, indent=1))
    options.out.write_text(text + "\n")
    return 1 if open_finds([*tried, *run]) else 0


if __name__ == "__main__":
    sys.exit(main())
