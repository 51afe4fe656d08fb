"""Learned slopes of rectifiers by layer, over seeds (as He et al. 2015, Table 1)."""

import hashlib
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from resnet_jax import papers as paper
from resnet_jax.errors import DataError
from resnet_jax.paths import shortened
from resnet_jax.report.line import Line
from resnet_jax.report.render import plain
from resnet_jax.report.runs import Run
from resnet_jax.report.table import SHOWN, Bad, Report
from resnet_jax.runs.slopes import FILE, FiniteSlopes, read

# Layers of each run that has a slopes.json.
Found = dict[Run, tuple[FiniteSlopes, ...]]


@dataclass(frozen=True, kw_only=True)
class LayerSlopes:
    """Slopes of one layer; `means` are means over its channels, one per seed.

    `std`: mean over the seeds of the standard deviation over the channels; `low`,
    `high`: extremes over channels and seeds; `published`: mean in the paper, if the
    net is the paper's.
    """

    layer: str
    number: int
    means: tuple[float, ...]
    std: float
    low: float
    high: float
    published: float | None

    @property
    def mean(self) -> float:
        return statistics.fmean(self.means)

    @property
    def over_seeds(self) -> float | None:
        """Standard deviation of the seeds' means; None for one seed."""
        return statistics.stdev(self.means) if len(self.means) > 1 else None


@dataclass(frozen=True, kw_only=True)
class RowSlopes:
    """One row of an experiment: its layers in the order of the net."""

    row: str
    seeds: tuple[int, ...]
    layers: tuple[LayerSlopes, ...]


@dataclass(frozen=True, kw_only=True)
class Slopes:
    """Rows of a report that have learned slopes, with notes."""

    name: str
    title: str
    rows: tuple[RowSlopes, ...]
    notes: tuple[str, ...]


def slopes(report: Report, *, bad: Bad = "refuse") -> Slopes:
    """Slopes of a report's finished runs; DataError without any.

    `bad="skip"` names invalid files in the notes instead of refusing them.
    """
    faults: list[tuple[Run, str]] = []
    found = {line.row: _of_runs(line, faults) for line in report.lines}
    if faults and bad == "refuse":
        complaints = [f"{run.path}/{fault}" for run, fault in faults]
        shown = "; ".join(shortened(complaints, most=SHOWN))
        raise DataError(f"{shown}; repair it, or pass --skip_bad to go on")
    lines = [line for line in report.lines if found[line.row]]
    if not lines:
        raise DataError(
            f"--slopes: no finished run of {report.name} has a {FILE}; those of nets "
            "with model.act='prelu' or 'prelu_shared' leave one"
        )
    rows = tuple(_row(line, found[line.row]) for line in lines)
    runs = [run for line in lines for run in found[line.row]]
    without = [name for line in report.lines for name in _without(line, found)]
    return Slopes(
        name=report.name,
        title=f"{report.title.rstrip('.')}. Learned slopes",
        rows=rows,
        notes=(
            *_rules(rows),
            f"Slopes: {len(runs)} runs, SHA-256 {_digest(runs)[:16]}.",
            *(f"{line.row}: {'; '.join(line.marks)}." for line in lines if line.marks),
            *([f"Without {FILE}: {', '.join(without)}."] if without else []),
            *(f"{run.name}: {fault}" for run, fault in faults),
        ),
    )


def _of_runs(line: Line, faults: list[tuple[Run, str]]) -> Found:
    """Layers of each finished run with a slopes.json; invalid files go to `faults`."""
    found: Found = {}
    for run in line.done:
        try:
            text = (run.path / FILE).read_bytes()
            layers = read(text, step=run.final and run.final.step)
            for other, theirs in found.items():
                if _names(layers) != _names(theirs):
                    raise ValueError(f"has other layers than {other.name}")
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            faults.append((run, f"{FILE}: {plain(str(error))}"))
        else:
            found[run] = layers
    return found


def _names(layers: Sequence[FiniteSlopes]) -> list[str]:
    return [layer["layer"] for layer in layers]


def _row(line: Line, found: Found) -> RowSlopes:
    stacked = list(zip(*found.values(), strict=True))
    published = paper.slopes(line.value.key) if line.value else ()
    if len(published) != len(stacked):
        published = [None] * len(stacked)
    layers = tuple(
        LayerSlopes(
            layer=seeds[0]["layer"],
            number=seeds[0]["number"],
            means=tuple(float(seed["mean"]) for seed in seeds),
            std=statistics.fmean(seed["std"] for seed in seeds),
            low=float(min(seed["min"] for seed in seeds)),
            high=float(max(seed["max"] for seed in seeds)),
            published=theirs,
        )
        for seeds, theirs in zip(stacked, published, strict=True)
    )
    return RowSlopes(
        row=line.row, seeds=tuple(run.seed for run in found), layers=layers
    )


def _without(line: Line, found: Mapping[str, Found]) -> list[str]:
    """Names of a row's finished runs without slopes; the row's own if none has any."""
    names = [run.name for run in line.done if run not in found[line.row]]
    return names if found[line.row] else [line.row] * bool(names)


def _rules(rows: Sequence[RowSlopes]) -> Iterator[str]:
    """Definitions of the columns, and the source of the published slopes."""
    yield (
        "Slope below zero of every rectifier at the last step, in the order of the "
        "net: mean over the channels of a layer, ± the standard deviation over the "
        "(n) seeds."
    )
    layers = [layer for row in rows for layer in row.layers]
    if any(layer.number > 1 for layer in layers):
        yield "Lowest and highest are of any channel of any seed."
    if any(layer.published is not None for layer in layers):
        source = f"{paper.PAPERS['he2015']}, Table 1"
        yield f"Paper: {source}; {paper.CERTAINTY[paper.SLOPES[0].certainty]}."


def _digest(runs: Sequence[Run]) -> str:
    """SHA-256 over the digests of the runs and of their slopes.json."""
    total = hashlib.sha256()
    for run in sorted(runs, key=lambda run: run.name):
        text = hashlib.sha256((run.path / FILE).read_bytes()).hexdigest()
        total.update(f"{run.name} {run.digest} {text}\n".encode())
    return total.hexdigest()
