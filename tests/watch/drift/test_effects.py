"""Effects: their intervals cover, contributions add up."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from processors.watch.drift import (
    bin_contributions,
    group_contributions,
    mean_difference,
    psi_interval,
    rate_difference,
    rate_ratio,
)
from processors.watch.drift.distances import psi_of, smoothed

counts = st.lists(st.integers(0, 2000), min_size=4, max_size=4)
groups = st.dictionaries(st.sampled_from("abcde"), counts.map(np.array), min_size=1, max_size=4)


@pytest.mark.parametrize(("p", "q"), [(0.02, 0.02), (0.02, 0.05), (0.3, 0.2)])
def test_intervals_of_rates_cover(p: float, q: float) -> None:
    rng = np.random.default_rng(5)
    runs = 400
    covered = np.zeros(2)
    for _ in range(runs):
        a, b = int(rng.binomial(5000, p)), int(rng.binomial(1000, q))
        ratio = rate_ratio((5000 - a, a), (1000 - b, b))
        difference = rate_difference((5000 - a, a), (1000 - b, b))
        assert ratio is not None
        assert difference is not None
        covered += (ratio.low <= q / p <= ratio.high, difference.low <= q - p <= difference.high)
    assert (covered >= 0.92 * runs).all(), covered


@pytest.mark.parametrize("slope", [0.0, 0.2, 0.5])
def test_the_interval_of_psi_covers(slope: float) -> None:
    rng = np.random.default_rng(6)
    p = np.full(10, 0.1)
    q = np.exp(slope * np.linspace(-1, 1, 10))
    q /= q.sum()
    true = float(((q - p) * np.log(q / p)).sum())
    covered = 0
    for _ in range(300):
        found = psi_interval(rng.multinomial(20_000, p), rng.multinomial(1500, q))
        assert found is not None
        covered += found.low <= true <= found.high
    assert covered >= 0.9 * 300


def test_over_dispersion_widens() -> None:
    plain, wide = rate_ratio((98, 2), (90, 10)), rate_ratio((98, 2), (90, 10), phi=3.0)
    assert plain is not None
    assert wide is not None
    assert plain.value == wide.value
    assert wide.low < plain.low < plain.high < wide.high


def test_mean_difference_is_welchs() -> None:
    rng = np.random.default_rng(7)
    x, y = rng.normal(5, 2, 4000), rng.normal(5.4, 3, 900)
    sums = [(len(z), float(z.sum()), float((z**2).sum())) for z in (x, y)]
    found = mean_difference(sums[0], sums[1])
    assert found is not None
    deviation = x.std(ddof=1)
    oracle = stats.ttest_ind(y, x, equal_var=False).confidence_interval(0.95)
    assert found.value == pytest.approx((y.mean() - x.mean()) / deviation, rel=1e-9)
    assert found.low == pytest.approx(oracle.low / deviation, rel=0.02)
    assert found.high == pytest.approx(oracle.high / deviation, rel=0.02)


@pytest.mark.parametrize(
    ("reference", "current"),
    [
        ((1, 5.0, 25.0), (9, 5.0, 25.0)),
        ((100, 300.0, 900.0), (9, 5.0, 25.0)),
        ((100, math.nan, 900.0), (9, 5.0, 25.0)),
        ((100, 0.0, 0.0), (9, 0.0, 0.0)),
    ],
)
def test_no_mean_difference_without_spread_or_rows(
    reference: tuple[int, float, float], current: tuple[int, float, float]
) -> None:
    assert mean_difference(reference, current) is None


def test_nothing_flagged_is_no_division_by_zero() -> None:
    ratio = rate_ratio((1000, 0), (1000, 0))
    assert ratio is not None
    assert ratio.value == 1.0
    assert ratio.low < 1.0 < ratio.high
    assert rate_ratio((0, 0), (10, 1)) is None
    assert rate_difference((10, 1), (0, 0)) is None
    assert psi_interval(np.array([0, 0]), np.array([1, 2])) is None


@given(counts, counts)
@settings(max_examples=50, deadline=None)
def test_bins_add_up_to_psi(reference: list[int], current: list[int]) -> None:
    r, c = np.array(reference), np.array(current)
    parts = bin_contributions(r, c)
    assert (parts >= 0).all()
    if r.sum() and c.sum():
        assert parts.sum() == pytest.approx(psi_of(r, c), rel=1e-9, abs=1e-12)


@given(groups, groups)
@settings(max_examples=50, deadline=None)
def test_groups_add_up(reference: dict[str, np.ndarray], current: dict[str, np.ndarray]) -> None:
    found = group_contributions(reference, current)
    r, c = sum(reference.values()), sum(current.values())
    if r.sum() == 0 or c.sum() == 0:
        assert found == ()
        return
    used = (r + c) > 0
    weight = np.log(smoothed(c[used]) / smoothed(r[used]))
    whole = float(((c[used] / c.sum() - r[used] / r.sum()) * weight).sum())
    assert sum(one.total for one in found) == pytest.approx(whole, abs=1e-9)
    for one in found:
        assert one.total == pytest.approx(one.mix + one.within, abs=1e-12)
    assert [one.total for one in found] == sorted((one.total for one in found), reverse=True)


def test_the_group_that_changed_comes_first() -> None:
    same = np.array([900, 100])
    found = group_contributions(
        {"chat": same, "search": same}, {"chat": same, "search": np.array([700, 300])}
    )
    assert [one.group for one in found] == ["search", "chat"]
    assert found[0].within == pytest.approx(found[0].total, abs=1e-12)


def test_a_group_that_only_grew_is_mix() -> None:
    calm, wild = np.array([990, 10]), np.array([500, 500])
    found = group_contributions({"calm": calm, "wild": wild}, {"calm": calm, "wild": 4 * wild})
    assert all(one.within == pytest.approx(0.0, abs=1e-12) for one in found)
    assert sum(one.mix for one in found) > 0
