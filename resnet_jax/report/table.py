"""The report of an experiment: a table, and the paired differences of its rows."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from resnet_jax.config.experiment_file import ExperimentFile
from resnet_jax.errors import ConfigError, DataError
from resnet_jax.paths import did_you_mean
from resnet_jax.report import notes
from resnet_jax.report.line import Line, line_of
from resnet_jax.report.runs import Run, read_runs, strangers
from resnet_jax.report.statistics import Pair, pair
from resnet_jax.runs.result import Score

Bad = Literal["refuse", "skip"]

# Complaints named in one error message; the rest are counted.
SHOWN = 3


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
        line_of(experiment, row, found[row], usual=usual) for row in experiment.rows
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
            *notes.rules(lines, usual),
            *notes.sources(lines),
            *itertools.chain.from_iterable(
                notes.details(run) for line in lines for run in line.runs
            ),
            *extra,
        ),
    )


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
