"""Report of an experiment: rows, paired differences and notes."""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from resnet_jax.config.experiment_file import ExperimentFile
from resnet_jax.errors import ConfigError, DataError
from resnet_jax.paths import did_you_mean
from resnet_jax.report import notes
from resnet_jax.report.line import Line, line_of
from resnet_jax.report.runs import Run, read_runs, unknown_folders
from resnet_jax.report.statistics import Pair, pair

Bad = Literal["refuse", "skip"]

SHOWN = 3  # complaints quoted in one error message; the rest are counted


@dataclass(frozen=True, kw_only=True)
class Report:
    """Rows of a table, paired differences between them, and notes."""

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
    """Report an experiment from its runs.

    `bad="skip"` names damaged files and lines in the notes instead of refusing them.
    """
    against = against or next(iter(experiment.rows))
    if against not in experiment.rows:
        hint = did_you_mean(against, list(experiment.rows))
        raise ConfigError(
            f"--against {against}: no such row of {experiment.name}{hint}"
        )
    found = read_runs(experiment, runs)
    every = [run for row in found.values() for run in row]
    if bad == "refuse":
        _refuse_bad(every)
    counts = Counter(run.final.n for run in every if run.final)
    usual = counts.most_common(1)[0][0] if counts else None
    lines = tuple(
        line_of(experiment, row, found[row], usual=usual) for row in experiment.rows
    )
    extra = [
        f"{name}: a folder that is no row of the file"
        for name in unknown_folders(experiment, runs)
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
            *(detail for run in every for detail in notes.details(run)),
            *extra,
        ),
    )


def _pairs(lines: tuple[Line, ...], against: str) -> tuple[Pair, ...]:
    """Pair each row with `against`, and neighbours in the order of the means."""
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


def _refuse_bad(runs: Sequence[Run]) -> None:
    """DataError for damaged files and lines."""
    faults = [f"{run.path}/{problem}" for run in runs for problem in run.problems]
    if faults:
        raise DataError(
            f"{shortened(faults)}; repair the logs, or pass --skip_bad "
            "to go on without these lines and name them in the table"
        )


def shortened(faults: Sequence[str]) -> str:
    """Join the first SHOWN complaints, and count the rest."""
    more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    return f"{'; '.join(faults[:SHOWN])}{more}"
