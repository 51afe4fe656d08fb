"""Notes below a table: definitions, sources, and details of marked runs."""

from collections.abc import Iterator, Sequence

from resnet_jax.papers import CERTAINTY
from resnet_jax.report.line import Line
from resnet_jax.report.pairs import MIN_SEEDS, Pair
from resnet_jax.report.runs import Run, digest
from resnet_jax.report.statistics import LEVEL


def rules(lines: Sequence[Line], usual: int | None) -> Iterator[str]:
    """Definitions of the columns and marks."""
    runs = [run for line in lines for run in line.runs]
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
    if any(run.ended_early for run in runs):
        yield "Ended early: train.steps is less than the schedule has iterations."
    if any(run.final and run.final.params != "last" for run in runs):
        yield (
            "Averaged parameters: the test is of the moving average of the parameters "
            "(train.ema); no published error of the last parameters is subtracted."
        )
    if any(run.cut for run in runs):
        yield (
            "As cut: the test error of the cut network before its first update; its "
            "differences are judged likewise, adjusted for themselves. Cut networks "
            "differ from seed to seed: their counts are medians over the runs."
        )
    if any(line.step_s for line in lines):
        yield (
            "Step: the median over the logged windows of training, without compilation "
            "and evaluation, on the machine of the runs and beside whatever it did."
        )


def comparisons(
    pairs: Sequence[Pair], *, apart: Sequence[str], against: str
) -> Iterator[str]:
    """The test behind the verdicts on orders, and rows that are not compared."""
    if any(pair.low is not None for pair in pairs):
        yield (
            "Intervals: Student's t of the paired differences at "
            f"{LEVEL * 100:.0f} %, per pair, at least one test example to each side."
        )
    if judged := sum(pair.p is not None for pair in pairs):
        yield (
            f"Order supported: yes where p < {1 - LEVEL:.2f}, two-sided, adjusted "
            f"for the pairs with a verdict ({judged}) by Holm's step-down."
        )
    if judged < len(pairs):
        yield (
            "Without a verdict: pairs of rows with failed or missing seeds, or with "
            f"fewer than {MIN_SEEDS} common seeds."
        )
    if apart:
        yield (
            f"Not compared with {against}, as the test data, their number or the "
            f"protocol differ: {', '.join(apart)}."
        )


def origins(lines: Sequence[Line]) -> Iterator[str]:
    """Logs, data and devices."""
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
    """Reasons for the marks of a run, or why it is left out."""
    if run.foreign:
        yield f"{run.name}: left out: {'; '.join(run.foreign)}."
        return
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


def unknown(folders: Sequence[str]) -> Iterator[str]:
    """Folders of the experiment that its file does not know."""
    yield from (f"{name}: a folder that is no row of the file" for name in folders)
