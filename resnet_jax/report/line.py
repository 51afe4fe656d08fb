"""Row of a table: statistics over its finished runs, and marks of their limits."""

import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from resnet_jax.config.experiment_file import ExperimentFile
from resnet_jax.papers import Value
from resnet_jax.report.pairs import Basis, Sample
from resnet_jax.report.runs import Run
from resnet_jax.report.statistics import AsPaper, Summary, as_paper, summarise
from resnet_jax.runs.result import Score


@dataclass(frozen=True, kw_only=True)
class Line:
    """One row of the table; errors in percent, over the finished runs."""

    row: str
    value: Value | None
    runs: tuple[Run, ...]
    top1: Summary | None
    top5: Summary | None
    selected: Summary | None
    precise: Summary | None
    as_cut: Summary | None
    ours: AsPaper | None
    marks: tuple[str, ...]

    @property
    def done(self) -> tuple[Run, ...]:
        return tuple(run for run in self.runs if run.done)

    @property
    def comparable(self) -> bool:
        """True if ours and the paper's are of one protocol and kind of parameters."""
        finals = [run.final for run in self.runs if run.final]
        ours = {(final.protocol, final.params) for final in finals}
        value = self.value
        return value is not None and ours == {(value.views, value.params)}

    @property
    def difference(self) -> float | None:
        """Ours minus the paper's, both as the paper counts; None if not comparable."""
        published = self.value and published_error(self.value)
        if not self.comparable or published is None or self.ours is None:
            return None
        return self.ours.value - published

    @property
    def steps(self) -> tuple[int, ...]:
        """Numbers of iterations of the finished runs, each once."""
        return tuple(sorted({run.final.step for run in self.runs if run.final}))

    @property
    def total_steps(self) -> int | None:
        """Iterations of the schedule; None unless the finished runs agree."""
        return _agreed(run.total_steps for run in self.done)

    @property
    def wall_s(self) -> float | None:
        """Mean wall time of a finished run."""
        walls = [run.wall_s for run in self.done if run.wall_s is not None]
        return sum(walls) / len(walls) if walls else None

    @property
    def step_s(self) -> float | None:
        """Median time per step over the finished runs."""
        times = [run.step_s for run in self.done if run.step_s is not None]
        return statistics.median(times) if times else None

    @property
    def parameters(self) -> int | None:
        """Number of parameters; None unless the runs agree or are of cut networks."""
        return self._count(run.parameters for run in self.runs)

    @property
    def multiply_adds(self) -> int | None:
        """Multiply-adds per image; None unless the runs agree, likewise."""
        return self._count(run.multiply_adds for run in self.runs)

    def _count(self, counts: Iterable[int | None]) -> int | None:
        """The count of all runs; of cut networks, which differ, the median."""
        found = sorted(count for count in counts if count is not None)
        if found and all(run.cut for run in self.runs):
            return statistics.median_low(found)
        return _agreed(found)


def _agreed(counts: Iterable[int | None]) -> int | None:
    found = set(counts) - {None}
    return found.pop() if len(found) == 1 else None


def published_error(value: Value) -> float | None:
    """The paper's error: top-1, or top-5 if that is all it prints."""
    return value.top5_err if value.top1_err is None else value.top1_err


def line_of(
    experiment: ExperimentFile, row: str, runs: tuple[Run, ...], *, usual: int | None
) -> Line:
    """Summarise the runs of a row; `usual`: number of test examples of most runs."""
    value = experiment.published.get(row)
    averaged = () if unlike(runs) else runs
    finals = [run.final for run in averaged if run.final]
    selected = [run.outcome.selected for run in averaged if run.outcome.selected]
    precise = [run.outcome.precise for run in averaged if run.outcome.precise]
    only_top5 = value and value.top1_err is None and value.top5_err is not None
    cut = [run.cut_err for run in averaged if run.cut_err is not None]
    metric = "top5_err" if only_top5 else "top1_err"
    counted = selected if value and value.selection == "best_val" else finals
    return Line(
        row=row,
        value=value,
        runs=runs,
        top1=summarise(_errors(finals, "top1_err")),
        top5=summarise(_errors(finals, "top5_err")),
        selected=summarise(_errors(selected, "top1_err")),
        precise=summarise(_errors(precise, "top1_err")),
        as_cut=summarise(cut),
        ours=as_paper(value, _errors(counted, metric)) if value else None,
        marks=tuple(_marks(experiment, value, runs, counted=len(counted), usual=usual)),
    )


def unlike(runs: Iterable[Run]) -> tuple[str, ...]:
    """Names of what differs between finished runs, whose errors have no mean then."""
    basis = {
        "test examples": {run.final.n for run in runs if run.final},
        "data": {run.dataset for run in runs if run.final},
        "protocol": {run.final.protocol for run in runs if run.final},
        "averaged parameters": {run.final.params for run in runs if run.final},
    }
    if not all(run.cut for run in runs):  # cut networks differ from seed to seed
        for name in ("parameters", "multiply_adds"):
            known = {getattr(run, name) for run in runs if run.final} - {None}
            basis[name.replace("_", "-")] = known
    return tuple(name for name, values in basis.items() if len(values) > 1)


def sample_of(line: Line, seeds: Iterable[int]) -> Sample:
    """Errors of a row for paired differences; `seeds`: those of the file."""
    finals = {run.seed: (run, run.final) for run in line.runs if run.final}
    bases = {
        Basis(final.n, run.dataset, final.protocol) for run, final in finals.values()
    }
    return Sample(
        row=line.row,
        errors={seed: final.top1_err for seed, (_, final) in finals.items()},
        basis=bases.pop() if len(bases) == 1 else None,
        failed=any(run.failed for run in line.runs),
        missing=not finals.keys() >= set(seeds),
    )


def cut_sample_of(line: Line, seeds: Iterable[int]) -> Sample:
    """Likewise, errors of cut networks before their training."""
    found = {run.seed: run.cut_err for run in line.done if run.cut_err is not None}
    return replace(sample_of(line, seeds), errors=found)


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
    """Limits of a row in a few words: unfinished, missing, changed runs ..."""
    if not runs:
        yield "no runs"
        return
    kinds = {
        "incomplete": [r.seed for r in runs if r.outcome.status == "incomplete"],
        "failed": [r.seed for r in runs if r.outcome.status == "failed"],
        "missing": [s for s in experiment.seeds if s not in {r.seed for r in runs}],
        "config is not today's": [r.seed for r in runs if r.changed],
        "bad lines": [r.seed for r in runs if r.problems or r.torn],
        "ended early": [r.seed for r in runs if r.ended_early],
        "averaged parameters": [
            r.seed for r in runs if r.final and r.final.params != "last"
        ],
        "other number of test examples": [
            r.seed for r in runs if r.final and r.final.n != usual
        ],
    }
    for kind, seeds in kinds.items():
        if seeds:
            many = "seeds" if len(seeds) > 1 else "seed"
            yield f"{kind}: {many} {', '.join(map(str, seeds))}"
    if found := unlike(runs):
        yield f"not averaged, as its runs differ: {', '.join(found)}"
    protocols = {r.final.protocol for r in runs if r.final}
    if value and protocols and protocols != {value.views}:
        ours = ", ".join(sorted(protocols))
        yield f"other protocol than the paper: {ours}, paper {value.views}"
    chosen = value and value.selection == "best_val"
    if chosen and protocols and not counted and not unlike(runs):
        yield "the paper selects by validation error, these runs have none"
    elif value and counted < value.runs and not unlike(runs):
        yield f"fewer seeds than the paper: {counted} of {value.runs}"
