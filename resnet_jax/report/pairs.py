"""Paired differences between the rows of a table, and verdicts on their order."""

import itertools
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from resnet_jax.report.statistics import LEVEL, holm, t_tests

Verdict = Literal["yes", "no", "failed seeds", "missing seeds", "too few seeds"]

MIN_SEEDS = 3  # common seeds for a verdict
P_DIGITS = 9  # a gap of exactly one test example has p = 5 % up to rounding


class Basis(NamedTuple):
    """Basis of an error; only errors of one basis are compared."""

    n: int
    data: tuple[str, ...]
    protocol: str


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Errors of a row by seed; `basis` is None where its seeds differ in theirs.

    failed, missing: a run has failed, or a seed of the file has no finished run.
    """

    row: str
    errors: Mapping[int, float]
    basis: Basis | None
    failed: bool = False
    missing: bool = False

    def like(self, other: "Sample") -> bool:
        """True if the errors of both rows are of one basis."""
        return self.basis is not None and self.basis == other.basis


@dataclass(frozen=True)
class Pair:
    """Mean of row minus other over common seeds, with its 95 % interval.

    `p` is adjusted for all pairs that have a verdict. `verdict`: is p below 5 %? Or the
    reason why there is none.
    """

    row: str
    other: str
    seeds: tuple[int, ...]
    mean: float
    low: float | None
    high: float | None
    p: float | None
    verdict: Verdict


def compare(samples: Sequence[Sample], *, against: str) -> tuple[Pair, ...]:
    """Compare each row with `against`, and neighbours in the order of the means."""
    rows = {sample.row: sample for sample in samples}
    wanted = _wanted(samples, rows[against])
    found = (_pair(rows[row], rows[other]) for row, other in wanted)
    pairs = [pair for pair in found if pair]
    adjusted = iter(holm([pair.p for pair in pairs if pair.p is not None]))
    return tuple(
        pair if pair.p is None else _judged(pair, next(adjusted)) for pair in pairs
    )


def apart(samples: Sequence[Sample], *, against: str) -> tuple[str, ...]:
    """Rows with errors that are of another basis than those of `against`."""
    (first,) = (sample for sample in samples if sample.row == against)
    others = [s.row for s in samples if s.errors and s is not first]
    like = {s.row for s in samples if s.like(first)}
    return tuple(row for row in others if row not in like) if first.errors else ()


def _wanted(samples: Sequence[Sample], first: Sample) -> Iterator[tuple[str, str]]:
    """Names of the rows of each pair."""
    for sample in samples:
        if sample is not first and sample.like(first):
            yield sample.row, first.row
    ranked = sorted(
        (sample for sample in samples if sample.errors),
        key=lambda sample: statistics.fmean(sample.errors.values()),
    )
    for basis in dict.fromkeys(s.basis for s in samples if s.basis):
        members = [sample for sample in ranked if sample.basis == basis]
        for better, worse in itertools.pairwise(members):
            if first not in (better, worse):
                yield better.row, worse.row


def _pair(one: Sample, other: Sample) -> Pair | None:
    """Paired difference of two rows, with the p of this pair alone."""
    seeds = tuple(sorted(one.errors.keys() & other.errors.keys()))
    if not seeds or one.basis is None:
        return None
    gaps = [one.errors[seed] - other.errors[seed] for seed in seeds]
    doubt = _doubt(one, other, seeds)
    mean, low, high, p = statistics.fmean(gaps), None, None, None
    if len(gaps) > 1:
        tests = t_tests(gaps, resolution=100 / max(one.basis.n, 1))
        mean, low, high, p = map(float, tests)
    p = None if doubt else p
    return Pair(one.row, other.row, seeds, mean, low, high, p, doubt or "no")


def _doubt(one: Sample, other: Sample, seeds: Sequence[int]) -> Verdict | None:
    """The reason why a pair has no verdict: seeds that are left may be the lucky."""
    if one.failed or other.failed:
        return "failed seeds"
    if one.missing or other.missing:
        return "missing seeds"
    return "too few seeds" if len(seeds) < MIN_SEEDS else None


def _judged(pair: Pair, p: float) -> Pair:
    supported = round(p, P_DIGITS) < round(1 - LEVEL, P_DIGITS)
    return replace(pair, p=p, verdict="yes" if supported else "no")
