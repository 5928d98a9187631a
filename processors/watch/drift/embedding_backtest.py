"""Embeddings on the past: how much evidence alarms, when the detector would have fired, how soon it
would find a shift."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from processors.watch.drift.backtest import DELAY_DAYS, DELAY_RUNS, Alarm, Delay, Replay
from processors.watch.drift.detectors import NOTHING
from processors.watch.drift.embedding_verdicts import EmbeddingVerdict, decide_embedding
from processors.watch.drift.embeddings import (
    HOURS_MIN,
    NEVER,
    EmbeddingBaseline,
    EmbeddingDetector,
    EmbeddingState,
    Moments,
    fit_embedding_baseline,
    log_e_values,
    merged,
    statistics,
)
from processors.watch.drift.series import BUCKETS_PER_HOUR, Floats
from processors.watch.drift.thresholds import DAYS_MIN, MONTH_DAYS, Tail, Threshold
from processors.watch.drift.verdict import DriftState, Verdict

HOURS_PER_DAY = 24
MARGIN = 4.0
"""The replay is held to so many times fewer alarms than wanted: 28 days are all there is to draw
from, and with half of that prompts whose days differ much alarmed as often as wanted, not less."""
PATHS = 20
PEAK_HOURS = 24
"""Peaks are taken of a day."""
SHIFTS = (0.1, 0.2, 0.3, 0.5)
"""Of the means, in standard deviations."""


@dataclass(frozen=True, slots=True)
class Hourly:
    """Usable hours of a stream: ``hours`` since 1970, rising, and the moments of each."""

    hours: tuple[int, ...]
    moments: tuple[Moments, ...]

    @classmethod
    def of(cls, found: Sequence[tuple[int, Moments]]) -> "Hourly":
        """Of hours in order; those that are not usable, or of another length, are left out."""
        good = [(hour, moments) for hour, moments in found if moments.usable]
        width = len(good[-1][1].sum1) if good else 0
        good = [(hour, moments) for hour, moments in good if len(moments.sum1) == width]
        return cls(tuple(hour for hour, _ in good), tuple(moments for _, moments in good))

    @property
    def days(self) -> tuple[int, ...]:
        """The day of each hour, since 1970."""
        return tuple(hour // HOURS_PER_DAY for hour in self.hours)

    def fitted(self) -> EmbeddingBaseline:
        """The baseline of these hours."""
        return fit_embedding_baseline(self.moments, self.days)

    def without(self, ranges: Sequence[tuple[int, int]]) -> "Hourly":
        """Less the ranges [first, end) of hours."""
        return self._chosen(
            [not any(first <= hour < end for first, end in ranges) for hour in self.hours]
        )

    def between(self, first: int, end: int) -> "Hourly":
        """The hours from ``first`` up to, not including, ``end``."""
        return self._chosen([first <= hour < end for hour in self.hours])

    def _chosen(self, keep: Sequence[bool]) -> "Hourly":
        return Hourly(
            tuple(hour for hour, kept in zip(self.hours, keep, strict=True) if kept),
            tuple(one for one, kept in zip(self.moments, keep, strict=True) if kept),
        )


def embedding_threshold(
    past: Hourly,
    baseline: EmbeddingBaseline,
    target_days: float = MONTH_DAYS,
    streams: int = 1,
    seed: int = 0,
    paths: int = PATHS,
) -> Threshold:
    """How much evidence alarms: what theory asks for, or what the past's own days do, if more.

    As :func:`~.thresholds.replayed_threshold`: days drawn at random into months (Künsch 1989),
    every day against the others, the tail of daily peaks extrapolated. Raises ``ValueError`` unless
    target and streams are positive.
    """
    if not target_days > 0 or streams < 1:
        raise ValueError("target_days and streams must be positive")
    guaranteed = math.log(max(1.0, target_days * HOURS_PER_DAY * streams))
    days = _log_e_values_by_day(past, baseline)
    if len(days) < DAYS_MIN:
        return Threshold(guaranteed, guaranteed, -math.inf, None, len(days))
    rng = np.random.default_rng(seed)
    peaks = []
    for _ in range(paths):
        drawn = [days[int(place)] for place in rng.integers(len(days), size=MONTH_DAYS)]
        evidence = _evidence(np.concatenate(drawn))
        whole = len(evidence) // PEAK_HOURS * PEAK_HOURS
        peaks.append(evidence[:whole].reshape(-1, PEAK_HOURS).max(axis=1))
    a_month = max(1, round(float(np.mean([len(path) for path in peaks]))))
    tail = Tail.of(np.concatenate(peaks), a_month)
    replayed = tail.height(MONTH_DAYS / (target_days * streams) / MARGIN)
    height = max(guaranteed, replayed)
    return Threshold(height, guaranteed, replayed, tail.alarms(height), len(days))


def _log_e_values_by_day(past: Hourly, baseline: EmbeddingBaseline) -> list[Floats]:
    """log e-values [H, 2] of each day's hours against the past less that day.

    Days with at least half the hours of a usual one; none against less than HOURS_MIN hours.
    """
    by_day: dict[int, list[Moments]] = {}
    for day, moments in zip(past.days, past.moments, strict=True):
        by_day.setdefault(day, []).append(moments)
    typical = float(np.median([len(day) for day in by_day.values()])) if by_day else 0.0
    whole = merged(past.moments)
    found = []
    for members in by_day.values():
        left = len(past.hours) - len(members)
        if whole is None or len(members) < typical / 2 or left < HOURS_MIN:
            continue
        rest = functools.reduce(lambda sums, one: sums.plus(one, -1), members, whole)
        against = replace(baseline, moments=rest, hours=left)
        found.append(np.array([log_e_values(against, one) for one in members]))
    return found


def _evidence(log_es: Floats) -> Floats:
    """log M [H] of hours in a row from their log e-values [H, 2], as the detector's steps."""
    sums = np.zeros(2)
    found = np.empty(len(log_es))
    for place, log_e in enumerate(log_es):
        log_ms = log_e + sums
        sums = np.logaddexp(0.0, log_ms)
        found[place] = np.logaddexp(log_ms[0], log_ms[1]) - math.log(2.0)
    return found


def replay_embeddings(past: Hourly, detector: EmbeddingDetector) -> Replay:
    """Step a detector through hours, from no evidence; a point of the arrays is an hour.

    ``shares`` float64[T, 1] is the statistic of the means over its usual mean; ``expected`` is 1.
    """
    state = EmbeddingState()
    alarms: list[Alarm] = []
    baseline = detector.baseline
    usual = baseline.scale[0] * baseline.freedom[0]
    size = len(past.hours)
    evidence, shares = np.full(size, NOTHING), np.ones((size, 1))
    last = past.hours[-1] if past.hours else 0
    for place, (hour, moments) in enumerate(zip(past.hours, past.moments, strict=True)):
        before = state.fired_at
        state, counted = detector.step(state, hour, moments, last)
        if not counted:
            continue
        evidence[place] = state.log_evidence
        shares[place] = statistics(baseline.moments, moments)[0] / usual
        if state.fired_at == NEVER:
            continue
        verdict = _plain(decide_embedding(state, baseline, hour), state)
        if before == NEVER:
            alarms.append(Alarm(verdict.fired_at, verdict))
        elif alarms[-1].verdict.state is not DriftState.DRIFT:
            alarms[-1] = Alarm(alarms[-1].bucket, verdict)
    # Variance over squared mean of scale x chi2[freedom] is 2 / freedom; two standard deviations.
    band = np.full((size, 1), 2.0 * math.sqrt(2.0 / baseline.freedom[0]))
    return Replay(
        buckets=np.array(past.hours, np.int64) * BUCKETS_PER_HOUR,
        shares=shares,
        expected=np.ones((size, 1)),
        band=band,
        evidence=evidence,
        log_threshold=detector.log_threshold,
        alarms=tuple(alarms),
    )


def _plain(verdict: EmbeddingVerdict, state: EmbeddingState) -> Verdict:
    """As other detectors' verdicts, its times as buckets."""
    since = max(0, state.since) * BUCKETS_PER_HOUR
    fired_at = (state.fired_at + 1) * BUCKETS_PER_HOUR - 1
    return Verdict(verdict.state, verdict.severity, verdict.effect, since, fired_at)


def embedding_delays(
    past: Hourly, baseline: EmbeddingBaseline, log_threshold: float, seed: int = 0
) -> tuple[Delay, ...]:
    """Delay by effect on the past's own days, drawn at random, the shift put into every mean.

    Empty with less than DAYS_MIN days or without a baseline.
    """
    days = sorted(set(past.days))
    if len(days) < DAYS_MIN or not baseline.ready:
        return ()
    whole = baseline.moments
    variance = whole.sum2 / whole.rows - (whole.sum1 / whole.rows) ** 2
    spread = np.sqrt(np.maximum(variance, 0.0))
    detector = EmbeddingDetector(baseline, log_threshold)
    delays = []
    for number, effect in enumerate(SHIFTS):
        waits = sorted(
            _delay_hours(
                past, days, detector, effect * spread, np.random.default_rng([seed, number, run])
            )
            for run in range(DELAY_RUNS)
        )
        median, p90 = (_minutes(waits[math.ceil(s * len(waits)) - 1]) for s in (0.5, 0.9))
        found = sum(map(math.isfinite, waits)) / len(waits)
        delays.append(Delay(effect, median, p90, found))
    return tuple(delays)


def _delay_hours(
    past: Hourly,
    days: Sequence[int],
    detector: EmbeddingDetector,
    shift: Floats,
    rng: np.random.Generator,
) -> float:
    """Hours of a run until the alarm, infinite without one."""
    by = rng.choice((-1.0, 1.0), len(shift)) * shift
    state, counted = EmbeddingState(), 0
    for day in rng.choice(days, DELAY_DAYS).tolist():
        for moments in past.between(day * HOURS_PER_DAY, (day + 1) * HOURS_PER_DAY).moments:
            counted += 1
            state, _ = detector.step(state, counted, shifted(moments, by), counted)
            if detector.fired(state):
                return float(counted)
    return math.inf


def shifted(moments: Moments, by: Floats) -> Moments:
    """Moments of the same vectors, each moved by [D].

    Fourth powers need the third ones, which nobody keeps: these are taken as a normal's.
    """
    n = moments.rows
    mean, second = moments.sum1 / max(1, n), moments.sum2 / max(1, n)
    third = mean**3 + 3.0 * mean * np.maximum(second - mean**2, 0.0)
    sum2 = n * (second + 2.0 * by * mean + by**2)
    sum4 = moments.sum4 + n * (4.0 * by * third + 6.0 * by**2 * second + 4.0 * by**3 * mean + by**4)
    return Moments(n, moments.sum1 + n * by, sum2, sum4)


def _minutes(hours: float) -> float | None:
    return hours * 60.0 if math.isfinite(hours) else None
