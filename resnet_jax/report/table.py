"""Report of an experiment: rows, paired differences and notes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from resnet_jax.config.experiment_file import ExperimentFile
from resnet_jax.errors import ConfigError, DataError
from resnet_jax.paths import did_you_mean, shortened
from resnet_jax.report import notes
from resnet_jax.report.identity import mark_copies
from resnet_jax.report.line import Line, cut_sample_of, line_of, sample_of
from resnet_jax.report.pairs import Pair, apart, compare
from resnet_jax.report.runs import Run, read_runs, unknown_folders

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
    cut_pairs: tuple[Pair, ...]  # of cut networks before their training
    notes: tuple[str, ...]


def report(
    experiment: ExperimentFile,
    runs: Path,
    *,
    against: str | None = None,
    bad: Bad = "refuse",
) -> Report:
    """Report an experiment from its runs.

    `bad="skip"` names damaged files and lines in the notes instead of refusing them,
    and leaves out runs that are not those of their folders.
    """
    against = _existing_row(experiment, against)
    found = mark_copies(read_runs(experiment, runs))
    every = [run for members in found.values() for run in members]
    if bad == "refuse":
        _refuse_bad(every)
    for row, members in found.items():
        found[row] = tuple(run for run in members if not run.foreign)
    counts = Counter(r.final.n for r in every if r.final and not r.foreign)
    usual = counts.most_common(1)[0][0] if counts else None
    lines = tuple(
        line_of(experiment, row, found[row], usual=usual) for row in experiment.rows
    )
    samples = [sample_of(line, experiment.seeds) for line in lines]
    pairs = compare(samples, against=against)
    as_cut = [cut_sample_of(line, experiment.seeds) for line in lines if line.as_cut]
    cut_pairs = compare(as_cut, against=as_cut[0].row) if as_cut else ()
    others = apart(samples, against=against)
    return Report(
        name=experiment.name,
        title=experiment.title,
        against=against,
        lines=lines,
        pairs=pairs,
        cut_pairs=cut_pairs,
        notes=(
            *notes.rules(lines, usual),
            *notes.comparisons(pairs, apart=others, against=against),
            *notes.origins(lines),
            *notes.sources(lines),
            *(detail for run in every for detail in notes.details(run)),
            *notes.unknown(unknown_folders(experiment, runs)),
        ),
    )


def _existing_row(experiment: ExperimentFile, against: str | None) -> str:
    """The row to compare with, by default the first; ConfigError if there is none."""
    against = against or next(iter(experiment.rows))
    if against not in experiment.rows:
        hint = did_you_mean(against, list(experiment.rows))
        raise ConfigError(
            f"--against {against}: no such row of {experiment.name}{hint}"
        )
    return against


def _refuse_bad(runs: Sequence[Run]) -> None:
    """DataError for damaged files and lines, and for runs of other folders."""
    faults = [
        f"{run.path}/{fault}" for run in runs for fault in (*run.foreign, *run.problems)
    ]
    if faults:
        shown = "; ".join(shortened(faults, most=SHOWN))
        raise DataError(
            f"{shown}; repair the logs, or pass --skip_bad to go on "
            "without these lines and runs and name them in the table"
        )
