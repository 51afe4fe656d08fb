"""Intervals cover what they say; tables of equal rows claim an order in 5 % at most."""

import itertools

import numpy as np
import pytest
import scipy.stats

from resnet_jax.report.pairs import Basis, Sample, apart, compare
from resnet_jax.report.statistics import holm, t_tests

DIGITS = Basis(360, ("digits", "1.0.0"), "1crop")
ONE = 100 / 360  # one test example, in percentage points


def sample(row, errors, *, basis=DIGITS, **doubts):
    """A row whose seeds are 0, 1, ..."""
    by_seed = dict(enumerate(map(float, errors)))
    return Sample(row=row, errors=by_seed, basis=basis, **doubts)


def verdicts(*samples, against="a"):
    """{(row, other): verdict} of a table."""
    pairs = compare(samples, against=against)
    return {(pair.row, pair.other): pair.verdict for pair in pairs}


# ---------------------------------------------------------------- one pair


@pytest.mark.parametrize("n", [3, 5, 10, 20])
def test_the_interval_covers_the_mean_of_normal_gaps(n):
    """In 94 to 96 % of 20,000 trials, and p is below 5 % in the others."""
    gaps = np.random.default_rng(n).normal(0.7, 2.0, (20_000, n))
    tests = t_tests(gaps - 0.7, resolution=1e-9)
    covered = (tests.low < 0) & (tests.high > 0)
    assert 0.94 <= covered.mean() <= 0.96
    assert (covered == (tests.p > 0.05)).all()


def test_the_interval_is_students():
    """mean 2, s 1, t(2) = 4.3027; p = 1 - t / sqrt(t² + 2) at t = 2 sqrt(3)."""
    tests = t_tests([1.0, 2.0, 3.0], resolution=0.1)
    assert tests.mean == 2
    assert tests.low == pytest.approx(2 - 4.302653 / 3**0.5, abs=1e-6)
    assert tests.high == pytest.approx(2 + 4.302653 / 3**0.5, abs=1e-6)
    assert tests.p == pytest.approx(1 - 12**0.5 / 14**0.5, abs=1e-12)


def test_the_interval_is_scipys():
    one, other = np.random.default_rng(0).normal(8, 1, (2, 6))
    tests = t_tests(one - other, resolution=0.01)
    known = scipy.stats.ttest_rel(one, other)
    assert tests.p == pytest.approx(known.pvalue, rel=1e-12)
    interval = known.confidence_interval(0.95)
    assert (tests.low, tests.high) == pytest.approx((interval.low, interval.high))


def test_the_half_width_is_at_least_the_resolution():
    tests = t_tests([0.5, 0.5, 0.5, 0.5], resolution=0.3)
    assert (tests.low, tests.high) == pytest.approx((0.2, 0.8))
    wide = t_tests([0.0, 1.0, 2.0, 3.0], resolution=0.3)
    assert wide.high - wide.mean > 2


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("n", [7, 360, 10_000])
def test_a_constant_gap_of_one_test_example_supports_no_order(n, seeds):
    """It has no spread, but is no larger than what the test set can resolve."""
    basis, wrong = Basis(n, (), "1crop"), np.arange(seeds) % 3
    rows = {name: 100 * (wrong + k) / n for name, k in {"a": 0, "b": 1, "c": 4}.items()}
    samples = [sample(row, errors, basis=basis) for row, errors in rows.items()]
    found = verdicts(*samples)
    assert found["b", "a"] == "no" and found["c", "a"] == "yes"
    (pair,) = compare(samples[:2], against="a")
    assert (pair.low, pair.p) == pytest.approx((0, 0.05))


@pytest.mark.parametrize("n", [0, 1])
def test_one_test_example_or_an_unknown_number_supports_no_order(n):
    """Nothing is below its resolution of 100 points."""
    basis = Basis(n, (), "1crop")
    rows = [sample("a", [0, 0, 0], basis=basis), sample("b", [99, 99, 99], basis=basis)]
    (pair,) = compare(rows, against="a")
    assert (pair.low, pair.high, pair.verdict) == pytest.approx((-1, 199, "no"))


def test_rows_that_are_equal_have_no_order():
    (pair,) = compare([sample("a", [5, 6, 7]), sample("b", [5, 6, 7])], against="a")
    assert (pair.mean, pair.p, pair.verdict) == (0, 1, "no")
    assert (pair.low, pair.high) == pytest.approx((-ONE, ONE))


def test_an_order_is_supported_where_p_is_below_five_percent():
    base = [8.0] * 6
    apart_from_it = [7.0 + 0.1 * seed for seed in range(6)]
    mixed = [8.0 + (-1) ** seed for seed in range(6)]
    assert verdicts(sample("a", base), sample("b", apart_from_it)) == {
        ("b", "a"): "yes"
    }
    assert verdicts(sample("a", apart_from_it), sample("b", base)) == {
        ("b", "a"): "yes"
    }
    assert verdicts(sample("a", base), sample("b", mixed)) == {("b", "a"): "no"}


def test_pairs_use_the_seeds_that_both_rows_have():
    a = Sample(row="a", errors={0: 5.0, 1: 6.0, 3: 9.0}, basis=DIGITS)
    b = Sample(row="b", errors={0: 7.0, 1: 7.0, 2: 1.0}, basis=DIGITS)
    c = Sample(row="c", errors={7: 1.0}, basis=DIGITS)
    d = Sample(row="d", errors={0: 6.5}, basis=DIGITS)
    (with_b, with_d, *_) = compare([a, b, c, d], against="a")
    assert (with_b.row, with_b.seeds, with_b.mean) == ("b", (0, 1), 1.5)
    assert (with_d.row, with_d.mean, with_d.low, with_d.p) == ("d", 1.5, None, None)


# ---------------------------------------------------------------- a table


def test_holm_on_numbers_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9, 0.8]) == [1.0, 1.0, 1.0] and holm([]) == []


def test_holm_rejects_as_the_step_down_does():
    """Reject the smallest while p_(k) <= level / (m - k), k = 0, 1, ...; then stop."""
    rng = np.random.default_rng(0)
    for ps in rng.uniform(0, 0.05, (200, 6)) ** rng.integers(1, 3, (200, 1)):
        rejected = set()
        for k, i in enumerate(np.argsort(ps)):
            if ps[i] > 0.05 / (len(ps) - k):
                break
            rejected.add(i)
        assert {i for i, p in enumerate(holm(list(ps))) if p <= 0.05} == rejected


def claims(rng, draw, *, rows, seeds=5, tables=1000):
    """Share of tables of equal rows that support an order of any two."""
    found = 0
    for _ in range(tables):
        errors = draw(rng, (rows, seeds))
        samples = [sample(f"row{i}", row) for i, row in enumerate(errors)]
        pairs = compare(samples, against="row0")
        assert len(pairs) >= 2 * rows - 4  # the first with each, and the neighbours
        found += any(pair.verdict == "yes" for pair in pairs)
    return found / tables


def normal(rng, shape):
    """Errors with a spread far above one test example."""
    return rng.normal(50, 10, shape)


def of_digits(rng, shape):
    """Wrong ones of 360, of which 5 % are on average."""
    return 100 * rng.binomial(360, 0.05, shape) / 360


@pytest.mark.parametrize("draw", [normal, of_digits])
@pytest.mark.parametrize("rows", [6, 10])
def test_tables_of_equal_rows_seldom_claim_an_order(rows, draw):
    """At most 5 % of them, though 9 to 17 pairs are looked at."""
    assert claims(np.random.default_rng(rows), draw, rows=rows) <= 0.05


def test_the_first_is_paired_with_each_and_neighbours_with_each_other():
    samples = [
        sample(row, [mean, mean + 1, mean + 3])
        for row, mean in {"a": 5, "b": 9, "c": 1, "d": 7, "e": 3}.items()
    ]
    assert list(verdicts(*samples)) == [
        ("b", "a"), ("c", "a"), ("d", "a"), ("e", "a"), ("c", "e"), ("d", "b"),
    ]  # fmt: skip
    assert ("a", "b") in verdicts(*samples, against="b")


def test_p_is_adjusted_for_all_pairs():
    errors = {"a": [5, 6, 8], "b": [9, 9.1, 13], "c": [20, 22, 25]}
    samples = [sample(row, values) for row, values in errors.items()]
    alone = [
        float(t_tests(np.subtract(errors[x], errors[y]), resolution=ONE).p)
        for x, y in (("b", "a"), ("c", "a"), ("b", "c"))
    ]
    pairs = compare(samples, against="a")
    assert [(p.row, p.other) for p in pairs] == [("b", "a"), ("c", "a"), ("b", "c")]
    least, middle, most = sorted(alone)
    assert sorted(pair.p for pair in pairs) == pytest.approx(
        [3 * least, max(3 * least, 2 * middle), max(3 * least, 2 * middle, most)]
    )


# ---------------------------------------------------------------- no verdict


def test_there_is_no_verdict_with_failed_missing_or_too_few_seeds():
    base, far = [5, 6, 7, 8], [25, 26.5, 27, 28]
    doubtful = {
        "failed seeds": sample("b", far, failed=True, missing=True),
        "missing seeds": sample("b", far, missing=True),
        "too few seeds": sample("b", far[:2]),
    }
    assert verdicts(sample("a", base), sample("b", far)) == {("b", "a"): "yes"}
    for reason, other in doubtful.items():
        (pair,) = compare([sample("a", base), other], against="a")
        assert (pair.verdict, pair.p) == (reason, None)
        assert pair.low < pair.mean < pair.high
        (turned,) = compare([sample("a", base), other], against="b")
        assert turned.verdict == reason and turned.mean == -pair.mean
    assert verdicts(sample("a", base[:3]), sample("b", far[:3])) == {("b", "a"): "yes"}


def test_pairs_without_a_verdict_do_not_count_for_holm():
    rows = [sample("a", [5, 6, 7]), sample("b", [8, 9.2, 10])]
    lost = [sample(f"lost{i}", [20, 21, 22], failed=True) for i in range(5)]
    (alone,), (first, *others) = (
        compare(rows, against="a"),
        compare([*rows, *lost], against="a"),
    )
    assert first == alone and alone.p < 0.05
    assert {pair.verdict for pair in others} == {"failed seeds"}


# ---------------------------------------------------------------- like with like


def test_only_rows_of_one_basis_are_compared():
    other = {
        "n": DIGITS._replace(n=352),
        "data": DIGITS._replace(data=("digits", "2.0.0")),
        "protocol": DIGITS._replace(protocol="10crop"),
        "mixed": None,
    }
    rows = [sample("a", [5, 6, 7]), sample("b", [6, 7, 8])]
    rows += [sample(row, [5, 6, 8], basis=basis) for row, basis in other.items()]
    rows += [
        sample("n2", [9, 10, 12], basis=other["n"]),
        sample("none", [], basis=None),
    ]
    pairs = [(pair.row, pair.other) for pair in compare(rows, against="a")]
    assert pairs == [("b", "a"), ("n", "n2")]
    assert apart(rows, against="a") == ("n", "data", "protocol", "mixed", "n2")
    assert apart(rows, against="mixed") == ("a", "b", "n", "data", "protocol", "n2")
    assert apart(rows, against="none") == ()


def test_neighbours_are_those_of_one_basis():
    """A row of other data between two rows does not part them."""
    clips = DIGITS._replace(data=("moving_digits",))
    means = {"a": 0, "b": 2, "c": 4, "d": 6, "e": 8}
    rows = [
        sample(row, [mean, mean + 1, mean + 3], basis=clips if row in "ce" else DIGITS)
        for row, mean in means.items()
    ]
    found = {(pair.row, pair.other) for pair in compare(rows, against="a")}
    assert found == {("b", "a"), ("d", "a"), ("b", "d"), ("c", "e")}
    assert not found & set(itertools.product("ce", "abd"))
