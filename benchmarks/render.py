"""Tables and a picture of what run.py measured.

    python benchmarks/render.py FILE.json ... [--figure PNG] > results/benchmarks.md

The goals of all files first, then a table a case. A cell is the median over turns with
the least and the most in brackets; ratios are taken turn by turn.
"""

import argparse
import json
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import picture
import rows as numbers
from cases import WAYS
from goals import GOALS, Goal
from rows import Result, Row, Rows, Spread

INTRO = """# Benchmarks

Ours beside what a user would run instead. Each way to run a case is a process of its
own; those of a case take turns. Made by

```
pip install -e ".[benchmarks]"
python benchmarks/run.py --out results/benchmarks/cpu.json
python benchmarks/run.py --out results/benchmarks/gpu.json    # where there is a GPU
python benchmarks/render.py results/benchmarks/*.json \\
  --figure results/benchmarks.png > results/benchmarks.md
```

A cell is the median over turns (least to most); ratios are taken turn by turn."""
PEERS = (
    "dm-haiku and Keras have networks for ImageNet only; those in Flax and PyTorch are "
    "the benchmark's own few lines, with as many parameters as ours."
)
PARTS = (
    "The parts are the time that single operations took under a profiler; those that "
    "ran at the same time are all counted, so that they may sum to more than the step."
)
PHOTOGRAPHS = (
    "{photographs} made-up photographs of 500x375 pixels, JPEG, {file_bytes:,} bytes "
    "each, in batches of {batch}: read, decoded, and a random part resized to 224x224."
)
# Images are trained on: a forward pass, and twice as much backward.
OPERATIONS = 3 * 2


def markdown(results: Sequence[Result], *, figure: str | None = None) -> str:
    parts = [INTRO, "## Goals", goals_table(results)]
    if figure:
        parts.append(f"![images a second, by implementation]({figure})")
    for result in results:
        here = result["environment"]
        parts += [f"## {device_name(here)}", caption(here), *tables(result)]
    return "\n\n".join(parts) + "\n"


def device_name(here: Mapping[str, Any]) -> str:
    if here["platform"] == "cpu":
        return f"CPU: {here['processor']}, {here['cpu_count']} cores"
    return f"{here['platform'].upper()}: {', '.join(here['devices'])}"


def caption(here: Mapping[str, Any]) -> str:
    """Versions, commit, date, what else was at work, and the command."""
    found = [f"{name} {v}" for name, v in here["packages"].items() if v]
    absent = [name for name, v in here["packages"].items() if not v]
    text = f"Python {here['python']}, {', '.join(found)}"
    if absent:
        text += f" (without {', '.join(absent)})"
    text += (
        f"; commit {here['commit']}, {here['started']}, load {here['load']:.1f} before"
    )
    return f"{text}; `{command(here)}`."


def command(here: Mapping[str, Any]) -> str:
    words = [f'"{word}"' if " " in word else word for word in here["command"]]
    return " ".join(words)


def goals_table(results: Sequence[Result]) -> str:
    """Every figure with its goal, from the file that measured it last."""
    lines = [
        [
            goal.figure,
            goal.device.upper(),
            *against(goal, numbers.by_name(results, goal.device)),
        ]
        for goal in GOALS
    ]
    return table(["figure", "on", "measured", "goal", "met"], lines, rule="---")


def against(goal: Goal, rows: Rows) -> list[str]:
    """Measured, goal, met."""
    bound = f"{goal.sense} {goal.bound:g}{goal.unit}"
    found = goal.measured(rows)
    if found is None:
        why = goal.missing(rows)
        return [f"not measured{f': {why}' if why else ''}", bound, ""]
    shown = bracketed((found.median, found.low, found.high), ".3g", unit=goal.unit)
    if len(goal.top.ways) > 1:
        shown += f", {WAYS[found.ways[0]].label}"
    return [shown, bound, "yes" if goal.met(found) else "**no**"]


def tables(result: Result) -> Iterator[str]:
    """A title, a table and its notes for each case."""
    for name, case in result["cases"].items():
        rows = [row for row in result["rows"] if row["case"] == name]
        yield f"### {title(case, rows)}"
        yield trained(rows, case) if case["kind"] == "train" else others(rows)
        if notes := footnotes(case, rows):
            yield "\n".join(f"- {note}" for note in notes)


def title(case: Mapping[str, Any], rows: Sequence[Row]) -> str:
    if case["kind"] in ("loop", "feed"):
        return case["name"]
    text = f"{case['name']}, batch {case['batch']}, {case['dtype']}"
    facts = [row["facts"] for row in rows if "multiply_adds" in row["facts"]]
    if facts and case["kind"] == "train":
        text += f": {facts[0]['params']:,} parameters, "
        text += f"{facts[0]['multiply_adds']:,} multiply-adds an image"
    return text


def footnotes(case: Mapping[str, Any], rows: Sequence[Row]) -> list[str]:
    notes = {WAYS[row["way"]].note: None for row in rows if numbers.well(row)}
    if case["kind"] == "train" and {"flax", "torch"} & {row["way"] for row in rows}:
        notes = {PEERS: None} | notes
    if case["kind"] == "parts":
        notes |= {PARTS: None}
    if case["kind"] == "feed" and rows[0]["facts"]:
        notes |= {PHOTOGRAPHS.format(**rows[0]["facts"], **case): None}
    if case["kind"] == "launch" and rows[0]["facts"]:
        images = rows[0]["facts"]["train"]
        notes |= {f"On {images:,} made-up images of CIFAR's shape.": None}
    return [note for note in notes if note]


def trained(rows: Sequence[Row], case: Mapping[str, Any]) -> str:
    """Step times and what came ahead of them, the fastest first."""
    timed = numbers.timed(rows, case)
    ours = next((row for row in timed if row["way"] == "ours"), None)
    header = ["", "step, ms", "images/s", "over ours", "GFLOP/s", "of peak"]
    lines = [
        [
            WAYS[row["way"]].label,
            bracketed(numbers.spread(row["samples"]["step_ms"]), ".4g"),
            f"{numbers.rates(row, case)[0]:.4g}",
            bracketed(numbers.speedup(row, ours), ".3g") if ours else "",
            *(arithmetic(row, ours, case) if ours else ("", "")),
            *(shown(row["facts"].get(name), show) for name, _, show in FACTS),
        ]
        for row in timed
    ]
    lines += failures(rows, columns=len(header) + len(FACTS))
    return table([*header, *(label for _, label, _ in FACTS)], lines)


def arithmetic(row: Row, ours: Row, case: Mapping[str, Any]) -> tuple[str, str]:
    """What a second holds of our network's arithmetic, and the share of the peak."""
    images, facts = numbers.rates(row, case)[0], ours["facts"]
    done = f"{OPERATIONS * facts['multiply_adds'] * images / 1e9:,.0f}"
    peak = facts.get("peak_images_per_s")
    return done, f"{images / peak:.1%}" if peak else ""


def seconds(value: float) -> str:
    return f"{value:.3g}"


def megabytes(value: float) -> str:
    return f"{value / 1e6:,.0f}"


def counted(value: float) -> str:
    return f"{value:,}"


FACTS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("launch_s", "launch to first step, s", seconds),
    ("trace_s", "trace + lower, s", seconds),
    ("compile_s", "compile, s", seconds),
    ("first_step_s", "first step, s", seconds),
    ("peak_rss_bytes", "peak resident, MB", megabytes),
    ("temporary_bytes", "temporaries, MB", megabytes),
    ("peak_device_bytes", "peak on device, MB", megabytes),
)
QUANTITIES: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("trace_s", "trace + lower, s", seconds),
    ("compile_s", "compile, s", seconds),
    ("program_lines", "lines of StableHLO", counted),
    ("program_bytes", "bytes of StableHLO", counted),
    ("temporary_bytes", "temporaries, MB", megabytes),
    ("whole_ms", "step, ms", seconds),
    ("product_ms", "convolutions and products, ms", seconds),
    ("rest_ms", "all else, ms", seconds),
    ("images_s", "images/s", seconds),
    ("images_core_s", "images/s a core", seconds),
    ("bare_ms", "bare step, ms", seconds),
    ("loop_ms", "loop, ms", seconds),
    ("empty_cache_s", "launch to first step, empty cache, s", seconds),
    ("warm_cache_s", "the same, warm cache, s", seconds),
)
NONE = (("", "measured", seconds),)


def others(rows: Sequence[Row]) -> str:
    """Whatever the rows have of the quantities."""
    well = [row for row in rows if numbers.well(row)]
    known = [q for q in QUANTITIES if any(numbers.values(row, q[0]) for row in well)]
    header = ["", *(label for _, label, _ in known or NONE)]
    lines = [
        [WAYS[row["way"]].label, *(cell(row, name, show) for name, _, show in known)]
        for row in well
    ]
    return table(header, lines + failures(rows, columns=len(header)))


def cell(row: Row, name: str, show: Callable[[float], str]) -> str:
    """A fact, or the spread of the samples."""
    if name in row["samples"]:
        return bracketed(numbers.spread(row["samples"][name]), ".4g")
    return shown(row["facts"].get(name), show)


def failures(rows: Sequence[Row], *, columns: int) -> list[list[str]]:
    """Rows that say why they are empty."""
    failed = [row for row in rows if not numbers.well(row)]
    blank = [""] * (columns - 2)
    return [[WAYS[row["way"]].label, row["status"], *blank] for row in failed]


def shown(value: float | None, show: Callable[[float], str]) -> str:
    return "" if value is None else show(value)


def bracketed(spread: Spread, form: str, *, unit: str = "") -> str:
    """`1.04 (0.98 to 1.1) s`; the bracket only where there is a spread."""
    median, low, high = (format(each, form) for each in spread)
    return f"{median}{unit}" if low == high else f"{median}{unit} ({low} to {high})"


def table(
    header: Sequence[str], lines: Sequence[Sequence[str]], *, rule: str = "---:"
) -> str:
    """Markdown; columns without an entry are left out."""
    kept = [i for i in range(len(header)) if i == 0 or any(line[i] for line in lines)]
    grid = [[row[i].replace("|", r"\|") for i in kept] for row in (header, *lines)]
    grid.insert(1, ["---", *[rule] * (len(kept) - 1)])
    return "\n".join(f"| {' | '.join(row)} |" for row in grid)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    parser.add_argument("--figure", type=pathlib.Path, help="PNG")
    chosen = parser.parse_args()
    results = []
    for path in chosen.files:
        result = json.loads(path.read_text())
        if "cases" in result:
            results.append(result)
        else:
            print(f"{path}: not of run.py, left out", file=sys.stderr)
    if chosen.figure:
        picture.draw(results, chosen.figure)
    print(markdown(results, figure=chosen.figure and chosen.figure.name), end="")


if __name__ == "__main__":
    main()
