"""Mutation check: sixty small faults, planted one at a time, and the tests that fail.

    python benchmarks/mutation.py --out benchmarks/mutation.json [--count 60]

The faults are drawn by a seeded generator, as many from each of the rooms models,
train, data, runs and report: a comparison or a sign turned, a number changed by one, a
condition negated, a call left out, a value not returned. Each is planted in a clone of
the last commit. Tier by tier, what no earlier one has caught is tried: of unit and
`compile` by the tests that cover its line, as a coverage measurement with contexts
tells (`pip install pytest-cov`), at last by the whole tier `process`. A run goes on
where an earlier one of the same commit stopped.
"""

import argparse
import ast
import collections
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import queue
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[1]
ROOMS = ("models", "train", "data", "runs", "report")
TURNED = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Add: ast.Sub, ast.Sub: ast.Add,
    ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.And: ast.Or, ast.Or: ast.And, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
TIERS = {
    "unit": "not compile and not process",
    "compile": "compile and not process",
    "process": "process",
}
# It gives up its rights, and with them the file of the measurement.
UNMEASURED = ("--deselect", "tests/test_checkpoint.py::test_a_read_only_directory")
LIMIT = 1800  # seconds, after which tests are taken for endless


@dataclasses.dataclass(frozen=True)
class Fault:
    """The change of one place of a file: the number of the place, and its line."""

    file: str
    number: int
    line: int
    kind: str

    def planted(self, text: str) -> str:
        """The file with the fault."""
        tree = ast.parse(text)
        _change(list(_places(tree))[self.number])
        return ast.unparse(ast.fix_missing_locations(tree))


def faults(path: pathlib.Path) -> list[Fault]:
    """All faults that can be planted in a file."""
    name, places = str(path.relative_to(ROOT)), _places(ast.parse(path.read_text()))
    return [
        Fault(name, number, node.lineno, _kind(node))
        for number, node in enumerate(places)
    ]


def _places(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes inside functions that a fault may change; no messages, no annotations."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        for statement in function.body:
            for node in ast.walk(statement):
                if isinstance(node, ast.Raise | ast.FunctionDef):
                    break
                if _kind(node):
                    yield node


def _kind(node: ast.AST) -> str | None:
    match node:
        case ast.Compare(ops=[op]) if type(op) in TURNED:
            return "comparison turned"
        case ast.BinOp(op=op) if type(op) in TURNED:
            return "sign turned"
        case ast.BoolOp():
            return "and for or"
        case ast.Constant(value=bool()):
            return "truth turned"
        case ast.Constant(value=int() | float()):
            return "number changed by one"
        case ast.If():
            return "condition negated"
        case ast.Return(value=value) if value and not isinstance(value, ast.Constant):
            return "value not returned"
        case ast.Expr(value=ast.Call()):
            return "call left out"
    return None


def _change(node: ast.AST) -> None:
    """Plants the fault of a place."""
    match node:
        case ast.Compare():
            node.ops = [TURNED[type(node.ops[0])]()]
        case ast.BinOp() | ast.BoolOp():
            node.op = TURNED[type(node.op)]()
        case ast.Constant(value=bool()):
            node.value = not node.value
        case ast.Constant():
            node.value += 1
        case ast.If():
            node.test = ast.UnaryOp(ast.Not(), node.test)
        case ast.Return() | ast.Expr():
            node.value = ast.Constant(None)


def sample(count: int, seed: int) -> list[Fault]:
    """Equally many faults of each room, the same for a seed and a state of the code."""
    chosen, drawn = random.Random(seed), []
    for room in ROOMS:
        files = sorted((ROOT / "resnet_jax" / room).rglob("*.py"))
        every = [fault for path in files for fault in faults(path)]
        drawn += chosen.sample(every, count // len(ROOMS))
    chosen.shuffle(drawn)
    return drawn


def covering(database: pathlib.Path, fault: Fault) -> list[str]:
    """Tests that run through the line of a fault; first the file with most of them."""
    query = """
        select context.context, line_bits.numbits from line_bits
        join context on context.id = line_bits.context_id
        join file on file.id = line_bits.file_id
        where file.path like ? and context.context != ''
    """
    with sqlite3.connect(database) as connection:
        rows = connection.execute(query, (f"%/{fault.file}",)).fetchall()
    byte, bit = divmod(fault.line, 8)
    hit = {
        context.rpartition("|")[0]
        for context, bits in rows
        if byte < len(bits) and bits[byte] >> bit & 1
    }
    by_file = collections.Counter(test.partition("::")[0] for test in hit)
    return sorted(hit, key=lambda test: (-by_file[test.partition("::")[0]], test))


def pytest(
    checkout: pathlib.Path, *arguments: str, limit: int = LIMIT
) -> tuple[bool, str]:
    """(whether tests fail or do not end, the first that fails)."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", *arguments],
            cwd=checkout,
            env=os.environ | {"PYTHONPATH": str(checkout), "JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return True, f"no end within {limit} s"
    if "not found" in done.stderr:  # else an unknown test would pass for a catch
        raise RuntimeError(done.stderr)
    lines = done.stdout.splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return done.returncode not in (0, 5), (failed or [done.stdout[-200:]])[0][:200]


def tried(checkout: pathlib.Path, arguments: list[str], fault: Fault) -> str | None:
    """The first test that fails with a fault in its place; None if all pass."""
    path = checkout / fault.file
    before = path.read_text()
    path.write_text(fault.planted(before))
    try:
        caught, test = pytest(checkout, *arguments)
        return test if caught else None
    finally:
        path.write_text(before)


def measured(checkout: pathlib.Path, tier: str, database: pathlib.Path) -> None:
    """Tells which tests of a tier run through which lines."""
    told = ("--cov=resnet_jax", "--cov-context=test", "--cov-report=")
    failed, test = pytest(checkout, *told, *UNMEASURED, "-m", TIERS[tier], limit=7200)
    if failed:
        raise SystemExit(f"{tier}: fails without a fault: {test}")
    shutil.copy(checkout / ".coverage", database)


def cloned(place: pathlib.Path) -> pathlib.Path:
    """A checkout of the last commit."""
    subprocess.run(["git", "clone", "--quiet", ROOT, place], check=True)
    return place


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    chosen = parser.parse_args()
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=ROOT, text=True)
    told = json.loads(chosen.out.read_text()) if chosen.out.exists() else {}
    if told.get("commit") != commit.strip():
        drawn = map(dataclasses.asdict, sample(chosen.count, chosen.seed))
        faults = [fault | {"caught": None, "passed": []} for fault in drawn]
        told = {"commit": commit.strip(), "seed": chosen.seed, "faults": faults}
    with tempfile.TemporaryDirectory() as place:
        clones = queue.Queue()
        for job in range(chosen.jobs):
            clones.put(cloned(pathlib.Path(place) / f"checkout{job}"))
        for tier in TIERS:
            database = chosen.out.with_suffix(f".{tier}.coverage")  # not committed
            if tier != "process" and not database.exists():
                measured(clones.queue[0], tier, database)
            try_all(told, tier, database, clones, chosen)


def try_all(
    told: dict,
    tier: str,
    database: pathlib.Path,
    clones: queue.Queue,
    chosen: argparse.Namespace,
) -> None:
    """Tries what no tier has caught, `jobs` faults at a time; writes the file."""

    def one(record):
        fault = Fault(**{name: record[name] for name in Fault.__annotations__})
        arguments = ["-m", TIERS[tier]]
        if tier != "process":
            arguments += ["-n", "0", *(tests := covering(database, fault))]
            if not tests:
                return None
        checkout = clones.get()
        try:
            return tried(checkout, arguments, fault)
        finally:
            clones.put(checkout)

    left = [
        record
        for record in told["faults"]
        if record["caught"] is None and tier not in record["passed"]
    ]
    with concurrent.futures.ThreadPoolExecutor(chosen.jobs) as pool:
        futures = {pool.submit(one, record): record for record in left}
        for future in concurrent.futures.as_completed(futures):
            record = futures[future]
            if test := future.result():
                record |= {"caught": tier, "test": test}
            else:
                record["passed"].append(tier)
            chosen.out.write_text(json.dumps(told | shares(told), indent=1) + "\n")
            print(tier, record, flush=True)


def shares(told: dict) -> dict:
    """Shares of the faults that are caught by the unit tier, and by all together.

    None where a fault has not been tried by these tiers yet.
    """
    caught = [fault["caught"] for fault in told["faults"]]
    passed = [fault["passed"] for fault in told["faults"] if not fault["caught"]]
    unit = round(caught.count("unit") / len(caught), 3)
    every = round(1 - caught.count(None) / len(caught), 3)
    return {
        "unit": unit if all("unit" in tiers for tiers in passed) else None,
        "all": every if all(tiers == [*TIERS] for tiers in passed) else None,
    }


if __name__ == "__main__":
    main()
