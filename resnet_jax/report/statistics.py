"""Statistics over seeds: summary, the paper's statistic, paired differences."""

import functools
import math
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from resnet_jax.papers import Value

RESAMPLES = 10_000
LEVEL = 0.95
# With fewer pairs the percentile interval is too short: of 3 it is just their range.
MIN_PAIRS = 5


@dataclass(frozen=True)
class Summary:
    """Statistics of errors over n seeds; std has n - 1 degrees of freedom."""

    n: int
    mean: float
    std: float | None
    median: float
    best: float


@dataclass(frozen=True)
class AsPaper:
    """The paper's statistic of our errors over n seeds."""

    value: float
    statistic: Literal["mean", "median", "best"]
    n: int


@dataclass(frozen=True)
class Pair:
    """Mean of row minus other over common seeds, with a bootstrap interval.

    `verdict`: does the interval exclude 0?
    """

    row: str
    other: str
    seeds: tuple[int, ...]
    mean: float
    low: float | None
    high: float | None
    verdict: Literal["yes", "no", "too few seeds"]


def summarise(errors: Sequence[float]) -> Summary | None:
    """Summarise errors; None if there are none."""
    if not errors:
        return None
    return Summary(
        n=len(errors),
        mean=statistics.fmean(errors),
        std=statistics.stdev(errors) if len(errors) > 1 else None,
        median=statistics.median(errors),
        best=min(errors),
    )


def as_paper(value: Value, errors: Sequence[float]) -> AsPaper | None:
    """The paper's statistic of our errors, in the order of the seeds.

    Best and median are over as many of our first runs as the paper has: the best of ten
    is not the best of five. A single run is compared with our mean, its expectation.
    """
    if not errors:
        return None
    if value.statistic in ("single", "mean"):
        return AsPaper(statistics.fmean(errors), "mean", len(errors))
    first = errors[: value.runs]
    if value.statistic == "best":
        return AsPaper(min(first), "best", len(first))
    return AsPaper(statistics.median(first), "median", len(first))


def pair(
    row: str, other: str, *, errors: Mapping[str, Mapping[int, float]]
) -> Pair | None:
    """Paired difference of two rows; `errors` is {row: {seed: error}}."""
    seeds = tuple(sorted(errors[row].keys() & errors[other].keys()))
    if not seeds:
        return None
    gaps = [errors[row][seed] - errors[other][seed] for seed in seeds]
    mean = statistics.fmean(gaps)
    if len(gaps) == 1:
        return Pair(row, other, seeds, mean, None, None, "too few seeds")
    low, high = bootstrap(gaps)
    verdict = "yes" if low > 0 or high < 0 else "no"
    verdict = verdict if len(gaps) >= MIN_PAIRS else "too few seeds"
    return Pair(row, other, seeds, mean, low, high, verdict)


def bootstrap(gaps: Sequence[float]) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean (Efron 1979), with fixed draws."""
    n = len(gaps)
    means = sorted(math.fsum([gaps[i] for i in draw]) / n for draw in _draws(n))
    cut = round(RESAMPLES * (1 - LEVEL) / 2)
    return means[cut], means[-cut - 1]


@functools.cache
def _draws(n: int) -> tuple[tuple[int, ...], ...]:
    """Resampled indices, by `random()`, which is stable over Python versions."""
    uniform = random.Random(0).random
    return tuple(tuple(int(uniform() * n) for _ in range(n)) for _ in range(RESAMPLES))
