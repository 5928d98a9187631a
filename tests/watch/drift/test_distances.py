"""Report statistics against scipy on the same counts, and what they must keep to."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial import distance

from processors.watch.drift import Comparison, Measure, ReportState, compare
from processors.watch.drift.distances import chi2_of, hellinger_of, js_of, merge_rare, psi_of
from processors.watch.drift.special import chi2_sf, normal_sf

NAMES = ("psi", "js", "hellinger", "linf", "chi2", "ks", "w1")
POSITIONS = tuple(float(place) for place in range(8))
counts_of_8 = st.lists(st.integers(0, 5000), min_size=8, max_size=8).filter(lambda c: sum(c) > 0)


def value(measure: Measure | None) -> float:
    assert measure is not None
    return measure.value


def p_value(measure: Measure | None) -> float:
    assert measure is not None
    assert measure.p is not None
    return measure.p


def measures(compared: Comparison) -> dict[str, Measure]:
    return {name: getattr(compared, name) for name in NAMES if getattr(compared, name) is not None}


@pytest.mark.parametrize("df", [0.3, 1, 2, 7.5, 9, 64, 500])
@pytest.mark.parametrize("x", [1e-6, 0.1, 1.0, 5.0, 30.0, 120.0, 600.0, 2000.0])
def test_chi2_tail_is_scipys(x: float, df: float) -> None:
    assert chi2_sf(x, df) == pytest.approx(stats.chi2.sf(x, df), rel=1e-9, abs=1e-13)


@pytest.mark.parametrize("z", [-3.0, 0.0, 1.96, 8.0, 30.0])
def test_normal_tail_is_scipys(z: float) -> None:
    assert normal_sf(z) == pytest.approx(stats.norm.sf(z), rel=1e-12)


@given(counts_of_8, counts_of_8)
@settings(max_examples=60, deadline=None)
def test_values_are_scipys(reference: list[int], current: list[int]) -> None:
    r, c = np.array(reference), np.array(current)
    p, q = r / r.sum(), c / c.sum()
    used = (r + c) > 0
    compared = compare(r, c, POSITIONS)
    smooth_p = (r[used] + 0.5) / (r[used] + 0.5).sum()
    smooth_q = (c[used] + 0.5) / (c[used] + 0.5).sum()
    psi = stats.entropy(smooth_p, smooth_q) + stats.entropy(smooth_q, smooth_p)
    assert value(compared.psi) == pytest.approx(psi, abs=1e-12)
    js = distance.jensenshannon(p, q, base=2)
    # scipy's own rounding leaves up to 1e-8 where it should be 0.
    assert value(compared.js) == pytest.approx(js, abs=1e-12 if js > 1e-6 else 1e-7)
    assert value(compared.linf) == pytest.approx(np.abs(p - q).max(), abs=1e-15)
    assert value(compared.hellinger) ** 2 == pytest.approx(1 - np.sqrt(p * q).sum(), abs=1e-12)
    if used.sum() > 1:
        table = np.stack([r[used], c[used]])
        oracle = stats.chi2_contingency(table, correction=False)
        assert value(compared.chi2) == pytest.approx(oracle.statistic, rel=1e-9, abs=1e-9)
        assert compared.bins_used - 1 == oracle.dof


@given(counts_of_8, counts_of_8)
@settings(max_examples=40, deadline=None)
def test_ordered_values_are_scipys(reference: list[int], current: list[int]) -> None:
    r, c = np.array(reference) // 10 + 1, np.array(current) // 10 + 1
    places = np.array(POSITIONS)
    compared = compare(r, c, POSITIONS)
    oracle = stats.ks_2samp(np.repeat(places, r), np.repeat(places, c)).statistic
    assert value(compared.ks) == pytest.approx(oracle, abs=1e-12)
    w1 = stats.wasserstein_distance(places, places, r / r.sum(), c / c.sum())
    spread = math.sqrt(np.average((places - np.average(places, weights=r)) ** 2, weights=r))
    assert value(compared.w1) == pytest.approx(w1 / spread, abs=1e-12)


def test_chi2_p_is_scipys_where_no_bin_is_rare() -> None:
    r, c = np.array([500, 300, 200, 100]), np.array([60, 25, 30, 12])
    oracle = stats.chi2_contingency(np.stack([r, c]), correction=False).pvalue
    assert p_value(compare(r, c).chi2) == pytest.approx(oracle, rel=1e-9)


@given(counts_of_8)
@settings(max_examples=40, deadline=None)
def test_a_window_does_not_differ_from_itself(counts: list[int]) -> None:
    compared = compare(counts, counts, POSITIONS)
    for measure in measures(compared).values():
        assert measure.value == pytest.approx(0.0, abs=1e-7)
        assert measure.p is None or measure.p > 0.99


@given(counts_of_8, counts_of_8)
@settings(max_examples=40, deadline=None)
def test_symmetric_but_for_the_scale_of_w1(one: list[int], two: list[int]) -> None:
    there, back = compare(one, two, POSITIONS), compare(two, one, POSITIONS)
    for name in ("psi", "js", "hellinger", "linf", "chi2", "ks"):
        first, second = getattr(there, name), getattr(back, name)
        assert (first is None) == (second is None)
        if first is not None:
            assert first.value == pytest.approx(second.value, rel=1e-9, abs=1e-12)


@given(st.lists(counts_of_8, min_size=2, max_size=5), counts_of_8)
@settings(max_examples=30, deadline=None)
def test_merged_windows_are_the_whole_window(parts: list[list[int]], reference: list[int]) -> None:
    whole = np.sum(parts, axis=0)
    merged = np.array(parts[-1])
    for part in parts[:-1]:
        merged = merged + np.array(part)
    assert compare(reference, whole, POSITIONS) == compare(reference, merged, POSITIONS)


def test_every_distance_grows_with_the_shift() -> None:
    places = np.linspace(-1, 1, 8)
    reference = np.full(8, 10_000)
    before = dict.fromkeys(NAMES, -1.0)
    for slope in (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6):
        weight = np.exp(slope * places)
        current = np.rint(4000 * weight / weight.mean()).astype(int)
        found = measures(compare(reference, current, POSITIONS))
        assert found.keys() == set(NAMES)
        for name, measure in found.items():
            assert measure.value >= before[name]
            before[name] = measure.value


@pytest.mark.parametrize(("rows", "phi"), [(200, 1.0), (2000, 1.0), (2000, 3.0)])
def test_p_values_are_calibrated(rows: int, phi: float) -> None:
    """Without change each p is below 0.05 in at most so many of 400 windows (binomial, 5 sigma)."""
    rng = np.random.default_rng(3)
    share = np.array([0.3, 0.2, 0.2, 0.1, 0.1, 0.05, 0.04, 0.01])
    low = dict.fromkeys(NAMES, 0)
    windows = 400
    for _ in range(windows):
        reference = rng.multinomial(20_000, share)
        shares = share
        if phi > 1.0:
            # Twenty buckets of clumped rows: the design effect is that of each bucket.
            clumps = rng.dirichlet(share * ((rows / 20 - 1) / (phi - 1) - 1), 20)
            current = sum(rng.multinomial(rows // 20, clump) for clump in clumps)
            reference = rng.multinomial(2_000_000, share)
        else:
            current = rng.multinomial(rows, shares)
        compared = compare(reference, current, POSITIONS, phi=phi)
        for name, measure in measures(compared).items():
            assert measure.p is not None
            low[name] += measure.p < 0.05
    limit = 0.05 * windows + 5 * math.sqrt(0.05 * 0.95 * windows)
    assert all(count <= limit for count in low.values()), low
    # Nor are they idle; KS and L-infinity are bounds, JS is careful with few rows.
    assert min(low["psi"], low["chi2"], low["w1"]) >= 0.02 * windows, low


def test_too_few_rows_are_a_state_without_p_values() -> None:
    compared = compare([50, 50], [3, 4], (0.0, 1.0))
    assert compared.state is ReportState.INSUFFICIENT_DATA
    assert all(measure.p is None for measure in measures(compared).values())
    assert compare([0, 0], [3, 4]).psi is None


def test_one_category_is_no_change() -> None:
    compared = compare([1000, 0, 0], [500, 0, 0], (0.0, 1.0, 2.0))
    assert compared.state is ReportState.OK
    for measure in measures(compared).values():
        assert (measure.value, measure.p) == (0.0, 1.0)


def test_a_new_category_is_a_change() -> None:
    compared = compare([10_000, 10_000, 0], [500, 400, 100])
    assert math.isfinite(value(compared.psi))
    assert p_value(compared.psi) < 1e-6


@pytest.mark.parametrize(
    ("reference", "current"),
    [([1, 2], [1, 2, 3]), ([1, -1], [1, 2]), ([1.5, 2], [1, 2]), ([math.nan, 2], [1, 2])],
)
def test_what_are_no_counts_is_refused(reference: list[float], current: list[float]) -> None:
    with pytest.raises(ValueError, match=r"count|window"):
        compare(reference, current)


def test_rare_bins_are_one_and_nothing_is_lost() -> None:
    r, c = np.array([900, 1, 0, 99, 2]), np.array([90, 0, 1, 9, 0])
    merged_r, merged_c = merge_rare(r, c)
    assert merged_r.tolist() == [900, 99, 3]
    assert merged_c.tolist() == [90, 9, 1]


def test_the_plain_functions_agree_with_compare() -> None:
    r, c = np.array([40, 60, 100]), np.array([70, 60, 70])
    compared = compare(r, c)
    assert value(compared.psi) == psi_of(r, c)
    assert value(compared.chi2) == chi2_of(r, c)
    assert value(compared.js) == js_of(r / r.sum(), c / c.sum())
    assert value(compared.hellinger) == hellinger_of(r / r.sum(), c / c.sum())
