"""A detector on the past: when it would have fired, and what it can see on this traffic."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from processors.watch.drift.baseline import Baseline
from processors.watch.drift.detectors import NOTHING, Detector, State
from processors.watch.drift.series import BUCKET_S, BUCKETS_PER_DAY, Floats, Ints, Series
from processors.watch.drift.thresholds import (
    DAYS_MIN,
    MONTH_DAYS,
    Threshold,
    cross_fitted,
    day_blocks,
    drawn_paths,
    evidence_along,
    replayed_threshold,
)
from processors.watch.drift.verdict import DriftState, Policy, Verdict, decide

RATE_FACTORS = (1.25, 1.5, 2.0, 5.0)
HISTOGRAM_PSIS = (0.006, 0.013, 0.023, 0.05, 0.14)
DELAY_RUNS = 40
DELAY_DAYS = 7
"""Days that a change is given to be found."""
SLOPE_MAX = 50.0
BAND_Z = 2.0
"""The picture's band: two standard errors of an hour's share."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """``bucket``: where the detector fired; the verdict then, or the gravest while it went on."""

    bucket: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Replay:
    """Arrays over buckets [T], for printing and for the picture.

    ``shares`` float64[T, B] seen, ``expected`` likewise, ``band`` float64[T, B] half the width of
    what is usual for a bucket of so many rows; ``evidence`` float64[T] log M.
    """

    buckets: Ints
    shares: Floats
    expected: Floats
    band: Floats
    evidence: Floats
    log_threshold: float
    alarms: tuple[Alarm, ...]


def replay(series: Series, detector: Detector, policy: Policy | None = None) -> Replay:
    """Step a detector through a series, from no evidence.

    An alarm goes on until its evidence falls well below the threshold; the next one is another. Its
    verdict is the first that is a drift, if one is before it ends.
    """
    state = State()
    evidence = np.full(len(series), NOTHING)
    alarms: list[Alarm] = []
    firing = False
    last = int(series.buckets[-1]) if len(series) else 0
    for place, bucket in enumerate(series.buckets.tolist()):
        state, seen = detector.step(state, bucket, series.counts[place].tolist(), last)
        evidence[place] = seen.log_evidence
        if seen.fired:
            verdict = decide(seen, detector.baseline, bucket, policy)
            if not firing:
                alarms.append(Alarm(bucket, verdict))
            elif alarms[-1].verdict.state is not DriftState.DRIFT:
                alarms[-1] = replace(alarms[-1], verdict=verdict)
        firing = seen.fired
    expected, _ = detector.baseline.expected(series.buckets)
    rows = np.maximum(series.rows, 1)[:, None]
    width = BAND_Z * np.sqrt(detector.baseline.phi * expected * (1.0 - expected) / rows)
    return Replay(
        buckets=series.buckets,
        shares=series.counts / rows,
        expected=expected,
        band=width,
        evidence=evidence,
        log_threshold=detector.log_threshold,
        alarms=tuple(alarms),
    )


@dataclass(frozen=True, slots=True)
class Delay:
    """Of one effect (factor on the rate, or PSI): minutes until the alarm; None = not within
    DELAY_DAYS for that share of runs."""

    effect: float
    median_minutes: float | None
    p90_minutes: float | None
    found: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a detector does on a stream's own traffic.

    ``threshold.false_alarms``: expected in 30 days. ``delays``: empty with less than DAYS_MIN days.
    """

    threshold: Threshold
    delays: tuple[Delay, ...]


def calibrate(
    series: Series,
    detector: Detector,
    target_days: float = MONTH_DAYS,
    streams: int = 1,
    seed: int = 0,
    runs: int = DELAY_RUNS,
) -> Calibration:
    """Threshold, false alarms, and delay by effect, from the history of the detector's baseline.

    Days of the past are put together, the effect put into them, and the detector run with the
    threshold found. Raises ``ValueError`` like :func:`~.thresholds.guaranteed_threshold`.
    """
    threshold = replayed_threshold(series, detector, target_days, streams, seed)
    blocks = day_blocks(series)
    if len(blocks) < DAYS_MIN:
        return Calibration(threshold, ())
    fitted = cross_fitted(series, detector.baseline)
    rng = np.random.default_rng([seed, 1])
    per_day = round(float(np.mean([len(block) for block in blocks])))
    length = per_day * (1 + DELAY_DAYS)
    (places,) = drawn_paths(blocks, rng, runs, length, at_once=runs)
    change = per_day + rng.integers(0, per_day, runs)
    shares, error = fitted.shares[places], fitted.error[places]
    buckets, counts = series.buckets[places], series.counts[places]
    after = np.arange(length) >= change[:, None]
    delays = []
    for effect in RATE_FACTORS if detector.baseline.bins == 2 else HISTOGRAM_PSIS:
        changed = changed_counts(rng, counts, detector.baseline, effect)
        mixed = np.where(after[..., None], changed, counts)
        evidence = evidence_along(detector, Series(buckets, mixed), shares, error)
        fired = evidence >= threshold.log_threshold
        minutes = BUCKETS_PER_DAY / per_day * BUCKET_S / 60.0
        delays.append(_delay(effect, fired, change, minutes))
    return Calibration(threshold, tuple(delays))


def changed_counts(
    rng: np.random.Generator, counts: Ints, baseline: Baseline, effect: float
) -> Ints:
    """Counts [..., B] with a rate times ``effect``, or a tilt of the histogram by a PSI of it.

    Rows are moved at random, so that clumps stay as clumped as they were.
    """
    usual = np.average(baseline.shares, axis=0)
    if baseline.bins == 2:
        share = float(usual[1])
        changed = counts.copy()
        if effect >= 1.0:
            chance = min(1.0, (effect - 1.0) * share / max(1.0 - share, 1e-12))
            moved = rng.binomial(counts[..., 0], chance)
        else:
            moved = -rng.binomial(counts[..., 1], 1.0 - effect)
        changed[..., 0] -= moved
        changed[..., 1] += moved
        return changed
    target = tilted_shares(usual, effect)
    kernel = _monotone_kernel(usual, target)
    changed = np.zeros_like(counts)
    for place, row in enumerate(kernel):
        changed += rng.multinomial(counts[..., place], row)
    return changed


def tilted_shares(shares: Floats, psi: float) -> Floats:
    """Shares [B] moved towards the last bins, p_i exp(s i), until their PSI is as given."""
    place = np.linspace(-1.0, 1.0, len(shares))
    low, high = 0.0, SLOPE_MAX
    target = shares
    for _ in range(100):
        slope = (low + high) / 2.0
        weight = shares * np.exp(slope * place - slope)
        target = weight / weight.sum()
        reached = float(((target - shares) * np.log(target / shares)).sum())
        low, high = (slope, high) if reached < psi else (low, slope)
    return np.asarray(target)


def _monotone_kernel(source: Floats, target: Floats) -> Floats:
    """P(bin j | bin i) [B, B] of the coupling that moves rows least, in order."""
    edges_s = np.concatenate([[0.0], np.cumsum(source)])
    edges_t = np.concatenate([[0.0], np.cumsum(target)])
    low = np.maximum(edges_s[:-1, None], edges_t[None, :-1])
    high = np.minimum(edges_s[1:, None], edges_t[None, 1:])
    mass = np.maximum(high - low, 0.0)
    total = mass.sum(axis=1, keepdims=True)
    even = np.eye(len(source))
    return np.asarray(np.where(total > 0, mass / np.where(total > 0, total, 1.0), even))


def _delay(effect: float, fired: np.ndarray, change: Ints, minutes: float) -> Delay:
    waits = []
    for run, place in zip(fired, change.tolist(), strict=True):
        if run[:place].any():
            continue  # a false alarm before the change finds nothing
        after = run[place:]
        waits.append((int(after.argmax()) + 1) * minutes if after.any() else float("inf"))
    ordered = sorted(waits)
    return Delay(
        effect,
        _finite(_quantile(ordered, 0.5)),
        _finite(_quantile(ordered, 0.9)),
        float(np.isfinite(ordered).mean()) if ordered else 0.0,
    )


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)] if ordered else float("inf")


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
