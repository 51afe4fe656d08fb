"""Tables and a chart of the results of run.py.

    python benchmarks/render.py FILE.json ... [--figure PNG] > results/benchmarks.md

The goals first, from all files, then a table per case. A cell is the median over turns
with min and max in brackets; ratios are taken turn by turn.
"""

import argparse
import json
import pathlib
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import picture
from cases import WAYS
from goals import GOALS, Goal
from rows import (
    Result,
    Row,
    Rows,
    Spread,
    by_name,
    rates,
    speedup,
    spread,
    succeeded,
    timed,
    values,
)

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
# Per multiply-add, in training: 2 operations in the forward pass, 4 in the backward.
OPERATIONS = 6


def markdown(results: Sequence[Result], *, figure: str | None = None) -> str:
    """The whole page; `figure` is the file name of the chart."""
    ways = [result for result in results if "cases" in result]
    parts = [INTRO, "## Goals", goals_table(ways)]
    if figure:
        parts.append(f"![images a second, by implementation]({figure})")
    for result in ways:
        environment = result["environment"]
        parts += [
            f"## {device_name(environment)}",
            caption(environment),
            *tables(result),
        ]
    parts += [cut_networks(result) for result in results if "pruned" in result]
    return "\n\n".join(parts) + "\n"


def device_name(environment: Mapping[str, Any]) -> str:
    """Platform, and processor or accelerators."""
    if environment["platform"] == "cpu":
        return f"CPU: {environment['processor']}, {environment['cpu_count']} cores"
    return f"{environment['platform'].upper()}: {', '.join(environment['devices'])}"


def caption(environment: Mapping[str, Any]) -> str:
    """Versions, commit, date, load of the machine, and the command."""
    installed = [f"{name} {v}" for name, v in environment["packages"].items() if v]
    absent = [name for name, v in environment["packages"].items() if not v]
    text = f"Python {environment['python']}, {', '.join(installed)}"
    if absent:
        text += f" (without {', '.join(absent)})"
    text += f"; commit {environment['commit']}, {environment['started']}"
    return f"{text}, load {environment['load']:.1f} before; `{command(environment)}`."


def command(environment: Mapping[str, Any]) -> str:
    """The command line, words with spaces in quotes."""
    words = [f'"{word}"' if " " in word else word for word in environment["command"]]
    return " ".join(words)


def goals_table(results: Sequence[Result]) -> str:
    """A line per goal, from the last file that measured it."""
    lines = [
        [
            goal.figure,
            goal.device.upper(),
            *goal_cells(goal, by_name(results, goal.device)),
        ]
        for goal in GOALS
    ]
    return table(["figure", "on", "measured", "goal", "met"], lines, rule="---")


def goal_cells(goal: Goal, rows: Rows) -> list[str]:
    """[measured, goal, met]"""
    bound = f"{goal.sense} {goal.bound:g}{goal.unit}"
    found = goal.measured(rows)
    if found is None:
        why = goal.missing(rows)
        return [f"not measured{f': {why}' if why else ''}", bound, ""]
    text = bracketed((found.median, found.low, found.high), ".3g", unit=goal.unit)
    if len(goal.numerator.ways) > 1:
        text += f", {WAYS[found.ways[0]].label}"
    return [text, bound, "yes" if goal.met(found) else "**no**"]


def tables(result: Result) -> Iterator[str]:
    """Title, table and notes of each case."""
    for name, case in result["cases"].items():
        rows = [row for row in result["rows"] if row["case"] == name]
        yield f"### {title(case, rows)}"
        training = case["kind"] == "train"
        yield training_table(rows, case) if training else quantity_table(rows)
        if notes := footnotes(case, rows):
            yield "\n".join(f"- {note}" for note in notes)


def title(case: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """Name and sizes of the case, and counts of the network it trains."""
    if case["kind"] in ("loop", "feed"):
        return case["name"]
    text = f"{case['name']}, batch {case['batch']}, {case['dtype']}"
    facts = [row["facts"] for row in rows if "multiply_adds" in row["facts"]]
    if facts and case["kind"] == "train":
        text += f": {facts[0]['params']:,} parameters, "
        text += f"{facts[0]['multiply_adds']:,} multiply-adds an image"
    return text


def footnotes(case: Mapping[str, Any], rows: Sequence[Row]) -> list[str]:
    """Notes on the case and its ways, each once."""
    notes = {WAYS[row["way"]].note: None for row in rows if succeeded(row)}
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


def training_table(rows: Sequence[Row], case: Mapping[str, Any]) -> str:
    """Step times, compile times and memory, the fastest way first."""
    measured = timed(rows, case)
    ours = next((row for row in measured if row["way"] == "ours"), None)
    header = ["", "step, ms", "images/s", "over ours", "GFLOP/s", "of peak"]
    lines = [
        [
            WAYS[row["way"]].label,
            bracketed(spread(row["samples"]["step_ms"]), ".4g"),
            f"{rates(row, case)[0]:.4g}",
            bracketed(speedup(row, ours), ".3g") if ours else "",
            *(arithmetic(row, ours, case) if ours else ("", "")),
            *(formatted(row["facts"].get(name), show) for name, _, show in FACTS),
        ]
        for row in measured
    ]
    lines += failures(rows, columns=len(header) + len(FACTS))
    return table([*header, *(label for _, label, _ in FACTS)], lines)


def arithmetic(row: Row, ours: Row, case: Mapping[str, Any]) -> tuple[str, str]:
    """(GFLOP/s, share of the peak), by the operation count of our network."""
    images, facts = rates(row, case)[0], ours["facts"]
    gigaflops = f"{OPERATIONS * facts['multiply_adds'] * images / 1e9:,.0f}"
    peak = facts.get("peak_images_per_s")
    return gigaflops, f"{images / peak:.1%}" if peak else ""


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


def quantity_table(rows: Sequence[Row]) -> str:
    """A column per quantity that some row has."""
    measured = [row for row in rows if succeeded(row)]
    known = [q for q in QUANTITIES if any(values(row, q[0]) for row in measured)]
    header = ["", *(label for _, label, _ in known or NONE)]
    lines = [
        [WAYS[row["way"]].label, *(cell(row, name, show) for name, _, show in known)]
        for row in measured
    ]
    return table(header, lines + failures(rows, columns=len(header)))


def cell(row: Row, name: str, show: Callable[[float], str]) -> str:
    """Median, min and max of the samples, or the fact."""
    if name in row["samples"]:
        return bracketed(spread(row["samples"][name]), ".4g")
    return formatted(row["facts"].get(name), show)


def failures(rows: Sequence[Row], *, columns: int) -> list[list[str]]:
    """Lines of the rows that failed: label and status."""
    failed = [row for row in rows if not succeeded(row)]
    blank = [""] * (columns - 2)
    return [[WAYS[row["way"]].label, row["status"], *blank] for row in failed]


def formatted(value: float | None, show: Callable[[float], str]) -> str:
    return "" if value is None else show(value)


def bracketed(values: Spread, form: str, *, unit: str = "") -> str:
    """`1.04 s (0.98 to 1.1)`; without the bracket if min and max are equal."""
    median, low, high = (format(each, form) for each in values)
    return f"{median}{unit}" if low == high else f"{median}{unit} ({low} to {high})"


def cut_networks(result: Mapping[str, Any]) -> str:
    """Tables of pruned.py: measured over nominal speed-up, and times to compile."""
    speed = [
        [
            f"{row['name']}, batch {row['batch']}",
            f"{row['nominal']:.2f}",
            *(
                cell
                for kind in ("inference", "step")
                for cell in (
                    bracketed(ratios(row[f"{kind}_ms"]), ".3g"),
                    f"{row[kind] / row['nominal']:.2f}",
                )
            ),
        ]
        for row in result["pruned"]
    ]
    header = ["", "multiply-adds, whole over cut", "inference", "of nominal"]
    compiled = [
        [
            f"{row['name']}, batch {row['batch']}",
            *(f"{row[key]:.1f}" for key in ("loops", "unrolled", "cut")),
            f"{row['cut'] / row['loops']:.2f}",
            f"{row['cut'] / row['unrolled']:.2f}",
        ]
        for row in result["compiled"]
    ]
    times = ["seconds to compile a step", "loops", "unrolled", "cut"]
    parts = [
        f"## Cut networks, {device_name(result['environment'])}",
        caption(result["environment"]),
        "Seconds of the whole network over those of the cut one, turn by turn.",
        table([*header, "step", "of nominal"], speed),
        table([*times, "cut over loops", "cut over unrolled"], compiled),
    ]
    return "\n\n".join(parts)


def ratios(times: Mapping[str, Sequence[float]]) -> tuple[float, float, float]:
    """(median, least, most) of whole over cut."""
    found = sorted(a / b for a, b in zip(times["whole"], times["cut"], strict=True))
    return statistics.median(found), found[0], found[-1]


def table(
    header: Sequence[str], lines: Sequence[Sequence[str]], *, rule: str = "---:"
) -> str:
    """Markdown table without its empty columns."""
    filled = [i for i in range(len(header)) if i == 0 or any(line[i] for line in lines)]
    grid = [[row[i].replace("|", r"\|") for i in filled] for row in (header, *lines)]
    grid.insert(1, ["---", *[rule] * (len(filled) - 1)])
    return "\n".join(f"| {' | '.join(row)} |" for row in grid)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    parser.add_argument("--figure", type=pathlib.Path, help="PNG")
    options = parser.parse_args()
    results = []
    for path in options.files:
        result = json.loads(path.read_text())
        if "cases" in result or "pruned" in result:
            results.append(result)
        else:
            print(f"{path}: not of run.py or pruned.py, left out", file=sys.stderr)
    if options.figure:
        ways = [result for result in results if "cases" in result]
        picture.draw(ways, options.figure)
    print(markdown(results, figure=options.figure and options.figure.name), end="")


if __name__ == "__main__":
    main()
