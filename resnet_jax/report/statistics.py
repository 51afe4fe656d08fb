"""Statistics over seeds: summary, the paper's statistic, Student's t, Holm's p."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from resnet_jax.papers import Value

if TYPE_CHECKING:
    import numpy as np

LEVEL = 0.95


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


class TTests(NamedTuple):
    """Means of gaps, their intervals and two-sided p; arrays over any leading axes."""

    mean: "np.ndarray"
    low: "np.ndarray"
    high: "np.ndarray"
    p: "np.ndarray"


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


def t_tests(gaps: "Sequence[float] | np.ndarray", *, resolution: float) -> TTests:
    """Student's t test (1908) of mean gaps [... n] against 0.

    mean ± h, h = max(t s / sqrt(n), resolution): gaps that are multiples of a
    resolution and happen to agree have no spread. p is that of the interval, below
    1 - LEVEL exactly where it excludes 0.
    """
    import numpy as np  # not at the top: both take long to import
    from scipy.special import stdtr, stdtrit

    gaps = np.asarray(gaps, float)
    n = gaps.shape[-1]
    t = stdtrit(n - 1, (1 + LEVEL) / 2)
    half = np.maximum(t * gaps.std(axis=-1, ddof=1) / math.sqrt(n), resolution)
    mean = gaps.mean(axis=-1)
    p = 2 * stdtr(n - 1, -t * np.abs(mean) / half)
    return TTests(mean, mean - half, mean + half, p)


def holm(ps: Sequence[float]) -> list[float]:
    """Adjust p for their number (Holm 1979, step-down); below a level: rejected at it.

    The kth smallest of m is max over j <= k of min(1, (m - j + 1) p_j).
    """
    adjusted, highest = [0.0] * len(ps), 0.0
    for rank, i in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[i]))
        adjusted[i] = highest
    return adjusted
