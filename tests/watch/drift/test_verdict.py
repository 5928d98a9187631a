"""Verdicts: fired, large enough, data enough; how soon somebody should look."""

from dataclasses import replace

import numpy as np
import pytest

from processors.watch.drift import (
    Counted,
    DriftState,
    Evidence,
    Policy,
    Severity,
    decide,
    fit_baseline,
    release_change,
)
from tests.watch.drift.streams import histogram_stream, rate_baseline

AT = 6_048_000
FIRED = Evidence(
    status=Counted.COUNTED,
    bucket=AT,
    log_evidence=10.0,
    log_threshold=9.0,
    fired_at=AT,
    since=AT - 11,
    observed=(1140, 60),
    expected=(1176.0, 24.0),
)


def test_a_large_quick_change_pages() -> None:
    verdict = decide(FIRED, rate_baseline(), AT)
    assert (verdict.state, verdict.severity) == (DriftState.DRIFT, Severity.PAGE)
    assert verdict.effect is not None
    assert verdict.effect.value == pytest.approx(2.5, rel=0.05)
    assert verdict.effect.low > 1.5
    assert verdict.since == AT - 11


def test_without_evidence_it_is_steady_whatever_the_effect() -> None:
    calm = replace(FIRED, log_evidence=8.0, fired_at=-1)
    assert decide(calm, rate_baseline(), AT).state is DriftState.STEADY


def test_a_small_effect_is_none() -> None:
    small = replace(FIRED, observed=(11736, 264), expected=(11760.0, 240.0))
    assert decide(small, rate_baseline(), AT).state is DriftState.SMALL


@pytest.mark.parametrize(
    ("observed", "since"), [((1165, 35), AT - 11), ((1140, 60), AT - 200)], ids=["small", "slow"]
)
def test_small_or_slow_is_a_ticket(observed: tuple[int, int], since: int) -> None:
    verdict = decide(replace(FIRED, observed=observed, since=since), rate_baseline(), AT)
    assert (verdict.state, verdict.severity) == (DriftState.DRIFT, Severity.TICKET)


def test_few_flagged_rows_do_not_suffice() -> None:
    few = replace(FIRED, observed=(96, 4), expected=(99.9, 0.1))
    assert decide(few, rate_baseline(), AT).state is DriftState.INSUFFICIENT_DATA
    policy = Policy(flagged_min=3.0)
    assert decide(few, rate_baseline(), AT, policy).state is DriftState.DRIFT


def test_a_fall_counts_like_a_rise() -> None:
    fall = replace(FIRED, observed=(5980, 20), expected=(5880.0, 120.0))
    verdict = decide(fall, rate_baseline(), AT)
    assert (verdict.state, verdict.severity) == (DriftState.DRIFT, Severity.PAGE)


def test_histograms_go_by_psi() -> None:
    baseline = fit_baseline(histogram_stream(np.random.default_rng(1), 28))
    even = (120.0,) * 10
    slightly = (110, 115, 115, 120, 120, 120, 120, 125, 125, 130)
    much = (40, 60, 80, 100, 120, 120, 140, 160, 180, 200)
    small = decide(replace(FIRED, observed=slightly, expected=even), baseline, AT)
    large = decide(replace(FIRED, observed=much, expected=even), baseline, AT)
    assert small.state is DriftState.SMALL
    assert (large.state, large.severity) == (DriftState.DRIFT, Severity.PAGE)
    few = replace(FIRED, observed=(9, 1) + (0,) * 8, expected=(1.0,) * 10)
    assert decide(few, baseline, AT).state is DriftState.INSUFFICIENT_DATA


def test_a_release_that_changed_is_a_ticket_at_most() -> None:
    before, after = np.array([9800, 200]), np.array([4700, 300])
    change = release_change(before, after)
    assert (change.state, change.severity) == (DriftState.DRIFT, Severity.TICKET)
    assert change.effect is not None
    assert change.effect.value == pytest.approx(3.0, rel=0.02)
    assert release_change(before, np.array([4900, 100])).state is DriftState.STEADY
    assert release_change(before, np.array([49, 1])).state is DriftState.INSUFFICIENT_DATA
    huge = 100 * before, np.array([489_000, 11_000])
    assert release_change(*huge).state is DriftState.SMALL
    assert release_change(before, after, phi=100.0).state is DriftState.STEADY


def test_a_releases_histogram_goes_by_psi() -> None:
    before = np.full(10, 1000)
    tilted = np.array([40, 60, 80, 100, 120, 120, 140, 160, 180, 200])
    assert release_change(before, tilted).state is DriftState.DRIFT
    assert release_change(before, before).state is DriftState.STEADY
