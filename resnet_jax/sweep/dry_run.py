"""Table of a sweep's estimated costs, one line per row."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from resnet_jax.config.schema import Config
from resnet_jax.sweep.estimate import Estimate, Level, estimate
from resnet_jax.sweep.plan import Job
from resnet_jax.train.progress import Bar

PARTS = ("conv", "norm", "slopes", "gates", "fc")
HEADER = (
    "row", "parameters", *PARTS, "multiply-adds", "memory MB", "compile s", "steps",
    "hours", "changes",
)  # fmt: skip
ALIGN = f"l{'r' * (len(HEADER) - 2)}l"
ABSENT = object()  # value of a missing field


class DryRun(NamedTuple):
    """Title, cells of every row below HEADER, and a note on the columns."""

    title: str
    rows: tuple[tuple[str, ...], ...]
    note: str


def dry_run(jobs: Sequence[Job], *, name: str, level: Level) -> DryRun:
    """Estimate every row of a sweep."""
    # Compilation is measured, not looked up.
    jax.config.update("jax_enable_compilation_cache", False)
    configs = {job.row: job.config for job in reversed(jobs)}  # of the first seed
    rows = list(dict.fromkeys(job.row for job in jobs))
    seeds, hours, lines = len(jobs) // len(rows), 0.0, []
    with Bar(total=len(rows), unit="row", leave=False) as bar:
        for index, row in enumerate(rows, 1):
            found = estimate(configs[row], level=level)
            hours += seeds * (found.hours or 0.0)
            lines.append((row, *cells(found), changes(configs[rows[0]], configs[row])))
            bar.update(index)
    title = f"{name}: {len(rows)} rows x {seeds} seeds = {len(jobs)} runs"
    if level == "time":
        title += f", {hours:.2g} hours one after another"
    told = note(rows[0], level=level)
    if any(config.train.prune for config in configs.values()):
        told += "; rows with train.prune: counts of the network that is not cut yet"
    return DryRun(title, tuple(lines), told)


def note(first: str, *, level: Level) -> str:
    """Definition of the columns, with the devices they were measured on."""
    text = f"changes: against {first}"
    if level == "shapes":
        return text
    devices = jax.devices()
    text += (
        f"; on {len(devices)} x {devices[0].device_kind}; memory per device: "
        "parameters and optimizer + resident data + temporaries"
    )
    return text + ("; hours: of training steps alone" if level == "time" else "")


def cells(found: Estimate) -> list[str]:
    """Numbers of a row, in the order of HEADER."""
    if found.temporary_bytes is None:
        memory = "-"
    else:
        sizes = (found.state_bytes, found.data_bytes, found.temporary_bytes)
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


def changes(base: Config, config: Config) -> str:
    """Changes from one config to another, as --config would set them.

    `model.unit.join=scaled, model.unit.join.branch=1.0; without model.levels`
    """
    values, missing = [], []
    for path, value in _differences(base.to_dict(), config.to_dict()):
        # A slot is named by its path alone; model, optim and data have a field `name`.
        shown = path.removesuffix(".name") if path.count(".") > 1 else path
        if value is ABSENT:
            missing.append(shown)
        else:
            values.append(f"{shown}={value}")
    parts = [", ".join(values)] if values else []
    parts += [f"without {', '.join(sorted(missing))}"] if missing else []
    return "; ".join(parts)


def _differences(
    before: object, after: object, path: str = ""
) -> Iterator[tuple[str, object]]:
    """(path, value after) of each difference; ABSENT once for a part that is gone."""
    if isinstance(after, Mapping):
        old: Mapping[str, Any] = before if isinstance(before, Mapping) else {}
        for name in sorted({**after, **old}, key=lambda name: name != "name"):
            yield from _differences(
                old.get(name, ABSENT),
                after.get(name, ABSENT),
                f"{path}.{name}".lstrip("."),
            )
    elif before != after:
        yield path, after
