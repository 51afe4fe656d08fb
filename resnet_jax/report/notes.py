"""Notes below a table: definitions, sources, and details of marked runs."""

from collections.abc import Iterator, Sequence

from resnet_jax.papers import CERTAINTY
from resnet_jax.report.line import Line
from resnet_jax.report.runs import Run, digest
from resnet_jax.report.statistics import LEVEL, MIN_PAIRS, RESAMPLES


def rules(lines: Sequence[Line], usual: int | None) -> Iterator[str]:
    """Definitions of the columns, then logs, data and devices."""
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
    if any(run.ended_early for line in lines for run in line.runs):
        yield "Ended early: train.steps is less than the schedule has iterations."
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


def sources(lines: Sequence[Line]) -> Iterator[str]:
    """Sources of the paper's numbers with their protocol and certainty."""
    values = [line.value for line in lines if line.value]
    yield from dict.fromkeys(
        f"Paper: {v.source}; {v.protocol}; {CERTAINTY[v.certainty]}." for v in values
    )
    for line in lines:
        if line.value and line.value.note:
            yield f"Paper, {line.row}: {line.value.note}."


def details(run: Run) -> Iterator[str]:
    """Reasons for the marks of a run."""
    if not run.done:
        yield f"{run.name}: {run.outcome.status}: {run.outcome.reason}."
    if run.changed:
        fields = "; ".join(run.changed)
        yield f"{run.name}: run under a config that is not today's: {fields}."
    for complaint in run.unread:
        yield f"{run.name}: config.json: {complaint}."
    for problem in (*run.problems, run.torn):
        if problem:
            yield f"{run.name}: {problem}"
