"""The report of an experiment: statistics per row, and what limits them."""

import itertools
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from resnet_jax.config.experiment_file import ExperimentFile
from resnet_jax.errors import ConfigError, DataError
from resnet_jax.papers import CERTAINTY, Value
from resnet_jax.paths import did_you_mean
from resnet_jax.report.runs import Run, digest, read_runs, strangers
from resnet_jax.report.statistics import (
    LEVEL,
    MIN_PAIRS,
    RESAMPLES,
    AsPaper,
    Pair,
    Summary,
    as_paper,
    pair,
    summarise,
)
from resnet_jax.runs.result import Score

Bad = Literal["refuse", "skip"]

# Complaints named in one error message; the rest are counted.
SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Line:
    """One row of the table; errors in percent, over the runs that are done."""

    row: str
    value: Value | None
    runs: tuple[Run, ...]
    top1: Summary | None
    top5: Summary | None
    selected: Summary | None
    precise: Summary | None
    ours: AsPaper | None
    marks: tuple[str, ...]

    @property
    def done(self) -> tuple[Run, ...]:
        return tuple(run for run in self.runs if run.done)

    @property
    def difference(self) -> float | None:
        """Ours minus the paper's, both as the paper counts."""
        published = self.value and published_error(self.value)
        return self.ours.value - published if self.ours and published else None

    @property
    def wall_s(self) -> float | None:
        """Mean wall time of a finished run."""
        walls = [run.wall_s for run in self.done if run.wall_s is not None]
        return sum(walls) / len(walls) if walls else None

    @property
    def step_s(self) -> float | None:
        """Median over the finished runs of their time of a step."""
        times = [run.step_s for run in self.done if run.step_s is not None]
        return statistics.median(times) if times else None

    @property
    def parameters(self) -> int | None:
        """The parameters of the runs, where they agree."""
        return _agreed(run.parameters for run in self.runs)

    @property
    def multiply_adds(self) -> int | None:
        """Of one image, where the runs agree."""
        return _agreed(run.multiply_adds for run in self.runs)


def _agreed(counts: Iterable[int | None]) -> int | None:
    found = set(counts) - {None}
    return found.pop() if len(found) == 1 else None


@dataclass(frozen=True, kw_only=True)
class Report:
    """A table, the paired differences between its rows, and notes for its reader."""

    name: str
    title: str
    against: str
    lines: tuple[Line, ...]
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...]


def report(
    experiment: ExperimentFile,
    runs: Path,
    *,
    against: str | None = None,
    bad: Bad = "refuse",
) -> Report:
    """The report of an experiment; `bad="skip"` goes on past lines that are not log
    lines, and names them in the notes."""
    against = against or next(iter(experiment.rows))
    if against not in experiment.rows:
        hint = did_you_mean(against, list(experiment.rows))
        raise ConfigError(
            f"--against {against}: no such row of {experiment.name}{hint}"
        )
    found = read_runs(experiment, runs)
    if bad == "refuse":
        _refuse_bad(found)
    counts = Counter(s.n for s in _finals(found).values())
    usual = counts.most_common(1)[0][0] if counts else None
    lines = tuple(
        _line(experiment, row, found[row], usual=usual) for row in experiment.rows
    )
    extra = [
        f"{name}: a folder that is no row of the file"
        for name in strangers(experiment, runs)
    ]
    return Report(
        name=experiment.name,
        title=experiment.title,
        against=against,
        lines=lines,
        pairs=_pairs(lines, against),
        notes=(
            *_rules(lines, usual),
            *_sources(lines),
            *itertools.chain.from_iterable(
                _details(run) for line in lines for run in line.runs
            ),
            *extra,
        ),
    )


def published_error(value: Value) -> float | None:
    """The error a paper's cell is about: top-1, or top-5 where it has only that."""
    return value.top5_err if value.top1_err is None else value.top1_err


def _line(
    experiment: ExperimentFile, row: str, runs: tuple[Run, ...], *, usual: int | None
) -> Line:
    value = experiment.published.get(row)
    done = [run for run in runs if run.done]
    finals = [run.final for run in done if run.final]
    selected = [run.outcome.selected for run in done if run.outcome.selected]
    precise = [run.outcome.precise for run in done if run.outcome.precise]
    counted = selected if value and value.selection == "best_val" else finals
    return Line(
        row=row,
        value=value,
        runs=runs,
        top1=summarise(_errors(finals, "top1_err")),
        top5=summarise(_errors(finals, "top5_err")),
        selected=summarise(_errors(selected, "top1_err")),
        precise=summarise(_errors(precise, "top1_err")),
        ours=as_paper(value, _errors(counted, _metric(value))) if value else None,
        marks=tuple(_marks(experiment, value, runs, counted=len(counted), usual=usual)),
    )


def _metric(value: Value) -> str:
    only5 = value.top1_err is None and value.top5_err is not None
    return "top5_err" if only5 else "top1_err"


def _errors(scores: list[Score], metric: str) -> list[float]:
    errors = [getattr(score, metric) for score in scores]
    return [error for error in errors if error is not None]


def _marks(
    experiment: ExperimentFile,
    value: Value | None,
    runs: tuple[Run, ...],
    *,
    counted: int,
    usual: int | None,
) -> Iterator[str]:
    """What keeps a row from being what it claims, each in a few words."""
    if not runs:
        yield "no runs"
        return
    kinds = {
        "incomplete": [r.seed for r in runs if r.outcome.status == "incomplete"],
        "failed": [r.seed for r in runs if r.outcome.status == "failed"],
        "missing": [s for s in experiment.seeds if s not in {r.seed for r in runs}],
        "config is not today's": [r.seed for r in runs if r.changed],
        "bad lines": [r.seed for r in runs if r.problems or r.torn],
        "other number of test examples": [
            r.seed for r in runs if r.final and r.final.n != usual
        ],
    }
    for kind, seeds in kinds.items():
        if seeds:
            many = "seeds" if len(seeds) > 1 else "seed"
            yield f"{kind}: {many} {', '.join(map(str, seeds))}"
    if value and counted < value.runs:
        yield f"fewer seeds than the paper: {counted} of {value.runs}"


def _pairs(lines: tuple[Line, ...], against: str) -> tuple[Pair, ...]:
    """Each row against one, and neighbours in the order of the means."""
    errors = {
        line.row: {run.seed: run.final.top1_err for run in line.done if run.final}
        for line in lines
    }
    means = {line.row: line.top1.mean for line in lines if line.top1}
    wanted = [(line.row, against) for line in lines if line.row != against]
    for better, worse in itertools.pairwise(sorted(means, key=means.__getitem__)):
        if against not in (better, worse):
            wanted.append((better, worse))
    pairs = (pair(row, other, errors=errors) for row, other in wanted)
    return tuple(p for p in pairs if p)


def _finals(found: Mapping[str, tuple[Run, ...]]) -> dict[str, Score]:
    runs = itertools.chain.from_iterable(found.values())
    return {run.name: run.final for run in runs if run.final}


def _refuse_bad(found: Mapping[str, tuple[Run, ...]]) -> None:
    """DataError where a file or a line inside a log is not what it should be."""
    runs = itertools.chain.from_iterable(found.values())
    faults = [f"{run.path}/{problem}" for run in runs for problem in run.problems]
    if faults:
        raise DataError(
            f"{some(faults)}; repair the logs, or pass --skip_bad "
            "to go on without these lines and name them in the table"
        )


def some(faults: Sequence[str]) -> str:
    """The first few of many complaints."""
    more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    return f"{'; '.join(faults[:SHOWN])}{more}"


def _rules(lines: tuple[Line, ...], usual: int | None) -> Iterator[str]:
    """How the numbers of this table came to be."""
    if usual:
        yield (
            f"Test error in percent at the last step, n = {usual:,} examples, "
            "BatchNorm with moving averages; ± is the standard deviation over the (n) "
            "seeds."
        )
    if any(line.selected for line in lines):
        yield (
            "At lowest val: the test error at the step of the lowest validation error."
        )
    if any(line.value and line.value.statistic == "single" for line in lines):
        yield "A single run of the paper is compared with the mean of ours."
    if any(line.step_s for line in lines):
        yield (
            "Step: the median over the logged windows of training, without compilation "
            "and evaluation, on the machine of the runs and beside whatever it did."
        )
    if any(len(line.done) > 1 for line in lines):
        yield (
            f"Intervals: {LEVEL:.0%} percentile bootstrap of the paired mean, "
            f"{RESAMPLES:,} resamples, not corrected for the number of comparisons; "
            f"with fewer than {MIN_PAIRS} seeds they are too short to support an order."
        )
    runs = [run for line in lines for run in line.runs]
    count = sum(run.lines for run in runs)
    yield f"Logs: {len(runs)} runs, {count:,} lines, SHA-256 {digest(runs)[:16]}."
    yield from (f"Data: {data}" for data in sorted({run.data for run in runs} - {""}))
    devices = sorted({run.devices for run in runs} - {""})
    if devices:
        yield f"Devices: {'; '.join(devices)}."


def _sources(lines: tuple[Line, ...]) -> Iterator[str]:
    """Where the paper's numbers are printed, under which protocol, and how surely."""
    values = [line.value for line in lines if line.value]
    yield from dict.fromkeys(
        f"Paper: {v.source}; {v.protocol}; {CERTAINTY[v.certainty]}." for v in values
    )
    for line in lines:
        if line.value and line.value.note:
            yield f"Paper, {line.row}: {line.value.note}."


def _details(run: Run) -> Iterator[str]:
    """Why a run is marked."""
    if not run.done:
        yield f"{run.name}: {run.outcome.status}: {run.outcome.reason}."
    if run.changed:
        fields = "; ".join(run.changed)
        yield f"{run.name}: run under a config that is not today's: {fields}."
    for complaint in run.unread:
        yield f"{run.name}: config.json: {complaint}."
    for problem in (*run.problems, *filter(None, [run.torn])):
        yield f"{run.name}: {problem}"
