"""What a sweep would cost, row by row, before it is started, as a table."""

from collections.abc import Sequence
from typing import Any

import jax
import tqdm

from resnet_jax.config.schema import Config
from resnet_jax.paths import flat
from resnet_jax.sweep.estimate import Estimate, Level, estimate
from resnet_jax.sweep.process import Job

PARTS = ("conv", "norm", "slopes", "gates", "fc")
HEADER = [
    "row", "parameters", *PARTS, "multiply-adds", "memory MB", "compile s", "steps",
    "hours", "changes",
]  # fmt: skip


def table(jobs: Sequence[Job], *, name: str, level: Level) -> str:
    """The rows of a sweep with their costs, as text."""
    # Compilation is measured, not looked up.
    jax.config.update("jax_enable_compilation_cache", False)
    by_row = {job.row: job for job in reversed(jobs)}
    rows = list(dict.fromkeys(job.row for job in jobs))
    base, seeds = by_row[rows[0]].config, len(jobs) // len(rows)
    lines, hours = [HEADER], 0.0
    for row in tqdm.tqdm(rows, unit="row", leave=False):
        found = estimate(by_row[row].config, level=level)
        hours += seeds * (found.hours or 0.0)
        changed = changes(base, by_row[row].config)
        what = ", ".join(f"{path}={value}" for path, value in changed.items())
        lines.append([row, *cells(found), what])
    title = f"{name}: {len(rows)} rows x {seeds} seeds = {len(jobs)} runs"
    if level == "time":
        title += f", {hours:.2g} hours one after another"
    return "\n".join([title, *aligned(lines), note(rows[0], level=level)])


def note(row: str, *, level: Level) -> str:
    """What the columns mean, and where they were measured."""
    text = f"changes: against {row}"
    if level == "shapes":
        return text
    devices = jax.devices()
    text += (
        f"; on {len(devices)} x {devices[0].device_kind}; memory of a device: "
        "parameters and optimizer + resident data + temporaries"
    )
    return text + ("; hours: of training steps alone" if level == "time" else "")


def cells(found: Estimate) -> list[str]:
    """The numbers of a row, in the order of the header."""
    sizes = (found.state_bytes, found.data_bytes, found.temporary_bytes)
    if found.temporary_bytes is None:
        memory = "-"
    else:
        parts = " + ".join(f"{size / 1e6:.0f}" for size in sizes)
        memory = f"{sum(sizes) / 1e6:.0f} = {parts}"
    return [
        f"{found.parts.params:,}",
        *(f"{getattr(found.parts, part):,}" for part in PARTS),
        f"{found.multiply_adds:,}",
        memory,
        "-" if found.compile_s is None else f"{found.compile_s:.1f}",
        f"{found.steps:,}",
        "-" if found.hours is None else f"{found.hours:.2g}",
    ]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns of text: numbers to the right, the first and the last to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *numbers, last in rows:
        middle = [n.rjust(w) for n, w in zip(numbers, widths[1:-1], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *middle, last]).rstrip())
    return lines


def changes(base: Config, config: Config) -> dict[str, Any]:
    """Fields in which a row differs from the first: {path: its value}."""
    before, after = flat(base.to_dict()), flat(config.to_dict())
    return {p: v for p, v in after.items() if before[p] != v and p != "seed"}
