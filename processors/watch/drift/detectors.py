"""Detectors: bucket by bucket, is there evidence that the stream left its baseline?

``RateDetector`` is a mixture of Shiryaev-Roberts e-detectors over factors on the odds,
``HistogramDetector`` one on a prediction learned as it goes; formulas and sources in
:mod:`.ratios`. A detector holds settings only. What it knows is a state: a small immutable value
that goes into JSON and back, so that it outlives a restart.

Buckets count once and in order: one that was counted, or lies before one that was, changes
nothing, whatever its counts are by now. A bucket without rows is no evidence and changes nothing.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from processors.watch.drift.baseline import Baseline, BaselineState
from processors.watch.drift.dating import RECENT_BUCKETS, Recent, likeliest_start
from processors.watch.drift.ratios import (
    FALLS,
    PACES,
    RISES,
    histogram_log_ratios,
    predicted_shares,
)
from processors.watch.drift.series import BUCKETS_PER_DAY, Floats, usable_counts

VERSION = 1
"""Of the states' meaning: a state of another version starts anew."""
SILENCE_BUCKETS = BUCKETS_PER_DAY
"""A stream away for longer starts anew: what was gathered before says nothing about now."""
OVERSHOOT = math.log(10.0)
"""How far above the threshold evidence may rise, so that it falls again soon after the drift."""
RECOVERY = math.log(10.0)
"""How far below the threshold evidence must fall: at its edge one drift would alarm many times."""
NEVER = -1
NOTHING = -1e3
"""log M of no evidence: its exponential is 0, and JSON has no minus infinity."""


class Direction(StrEnum):
    """Which changes of a rate matter."""

    UP = "up"
    DOWN = "down"
    BOTH = "both"


class Counted(StrEnum):
    """What became of a bucket."""

    COUNTED = "counted"
    EMPTY = "empty"
    LATE = "late"
    AHEAD = "ahead"
    """Beyond the caller's clock: a wrong clock's, which must not make all that follow late."""
    INVALID = "invalid"
    """Negative counts, or another number of bins than the baseline's."""
    NO_BASELINE = "no_baseline"
    """The baseline has too few rows."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a detector knows after a bucket.

    ``log_evidence``: log M; at ``log_threshold`` or above it ``fired``. ``since``: the bucket where
    the change most likely began (Page's estimate: where the walk of log ratios last left 0; of a
    rate that fires, the likeliest since then), NEVER while nothing points to one. ``observed`` and
    ``expected``: counts by bin from there on.
    ``fired_at``: the bucket at which it fired, until evidence fell RECOVERY below; else NEVER.
    """

    status: Counted
    bucket: int
    log_evidence: float
    log_threshold: float
    fired_at: int
    since: int
    observed: tuple[int, ...]
    expected: tuple[float, ...]

    @property
    def fired(self) -> bool:
        """Whether the evidence reached the threshold and has not fallen well below since."""
        return self.fired_at != NEVER


@dataclass(frozen=True, slots=True)
class Walk:
    """One candidate change: its Shiryaev-Roberts sum, and a CUSUM that dates it.

    ``log_sum``: log M. ``height``: the CUSUM; ``since``, ``observed``,
    ``expected``: bucket and counts by bin from where it last left 0.
    """

    log_sum: float = NOTHING
    height: float = 0.0
    since: int = NEVER
    observed: tuple[int, ...] = ()
    expected: tuple[float, ...] = ()

    def moved(
        self,
        log_m: float,
        height: float,
        bucket: int,
        counts: tuple[int, ...],
        expected: tuple[float, ...],
    ) -> "Walk":
        """The walk with that sum and height after a bucket with those counts."""
        if height <= 0.0:
            return Walk(log_sum=log_m)
        if self.since == NEVER:
            return Walk(log_m, height, bucket, counts, expected)
        seen = tuple(a + b for a, b in zip(self.observed, counts, strict=True))
        usual = tuple(a + b for a, b in zip(self.expected, expected, strict=True))
        return Walk(log_m, height, self.since, seen, usual)


@dataclass(frozen=True, slots=True)
class State:
    """State of one stream's detector. ``learned``: a histogram's decayed counts by pace;
    ``recent``: the last buckets of a rate."""

    bucket: int = NEVER
    log_evidence: float = NOTHING
    fired_at: int = NEVER
    walks: tuple[Walk, ...] = ()
    learned: tuple[tuple[float, ...], ...] = ()
    recent: tuple[Recent, ...] = ()

    def restarted(self) -> "State":
        """Without evidence: after an alarm was acknowledged. Buckets counted stay counted."""
        return State(bucket=self.bucket)

    def dumps(self) -> str:
        """As JSON, floats exact."""
        # By hand: asdict() copies deeply, and takes ten times as long as a step.
        values = {
            "version": VERSION,
            "bucket": self.bucket,
            "log_evidence": self.log_evidence,
            "fired_at": self.fired_at,
            "walks": [
                {
                    "log_sum": walk.log_sum,
                    "height": walk.height,
                    "since": walk.since,
                    "observed": walk.observed,
                    "expected": walk.expected,
                }
                for walk in self.walks
            ],
            "learned": self.learned,
            "recent": self.recent,
        }
        return json.dumps(values, separators=(",", ":"))

    @classmethod
    def loads(cls, text: str) -> "State":
        """From :meth:`dumps`; one of another version starts anew. Raises ``ValueError``."""
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError("not a detector's state")
        if values.pop("version", None) != VERSION:
            return cls()
        try:
            walks = tuple(
                Walk(
                    **{
                        **walk,
                        "observed": tuple(walk["observed"]),
                        "expected": tuple(walk["expected"]),
                    }
                )
                for walk in values["walks"]
            )
            return cls(
                bucket=int(values["bucket"]),
                fired_at=int(values["fired_at"]),
                log_evidence=float(values["log_evidence"]),
                walks=walks,
                learned=tuple(tuple(map(float, known)) for known in values["learned"]),
                recent=tuple(
                    (int(at), int(rows), int(flagged), float(usual))
                    for at, rows, flagged, usual in values.get("recent", ())
                ),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a detector's state: {error}") from None


@dataclass(frozen=True, slots=True)
class RateDetector:
    """On a share: bins are (not flagged, flagged).

    The share tested is the baseline's, one standard error (and ``tolerance``, relative) further in
    the direction of the change, so that an imprecise baseline raises nothing.
    """

    baseline: Baseline
    log_threshold: float
    direction: Direction = Direction.UP
    tolerance: float = 0.0

    @property
    def factors(self) -> tuple[float, ...]:
        """Factors on the odds that the mixture tries."""
        rises = RISES if self.direction is not Direction.DOWN else ()
        return rises + (FALLS if self.direction is not Direction.UP else ())

    def step(
        self, state: State, bucket: int, counts: Sequence[int], now: int
    ) -> tuple[State, Evidence]:
        """State and evidence after a bucket; ``now`` is the caller's clock's. Never raises."""
        status = _status(state, bucket, counts, now, self.baseline)
        if status is not Counted.COUNTED:
            return state, _evidence(state, status, self.log_threshold)
        state = _resumed(state, bucket)
        shares, error = self.baseline.at(bucket)
        share = float(shares[1])
        slack = error * math.sqrt(share * (1.0 - share)) + self.tolerance * share
        phi = self.baseline.phi
        rows, flagged = sum(counts) / phi, counts[1] / phi
        ratios = []
        for factor in self.factors:
            tested = min(1.0, share + slack) if factor > 1.0 else max(0.0, share - slack)
            tilt = math.log1p(tested * (factor - 1.0))
            ratios.append(flagged * math.log(factor) - rows * tilt)
        walks, log_m = _moved(state, ratios, bucket, counts, shares, self.log_threshold)
        fired_at = _fired_at(state, bucket, log_m, self.log_threshold)
        last = (bucket, int(sum(counts)), int(counts[1]), round(sum(counts) * share, 4))
        recent = (*state.recent, last)[-RECENT_BUCKETS:]
        if fired_at == bucket:
            walks = _dated(walks, recent)
        state = State(bucket, log_m, fired_at, walks, recent=recent)
        return state, _evidence(state, status, self.log_threshold)


@dataclass(frozen=True, slots=True)
class HistogramDetector:
    """On the shape of a distribution over fixed bins, whatever way it changes.

    ``tolerance`` adds to the baseline's error (same unit: sqrt of a chi-squared distance, about
    the sqrt of PSI): changes below it are no evidence.
    """

    baseline: Baseline
    log_threshold: float
    tolerance: float = 0.0

    def step(
        self, state: State, bucket: int, counts: Sequence[int], now: int
    ) -> tuple[State, Evidence]:
        """State and evidence after a bucket; ``now`` is the caller's clock's. Never raises."""
        status = _status(state, bucket, counts, now, self.baseline)
        if status is not Counted.COUNTED:
            return state, _evidence(state, status, self.log_threshold)
        state = _resumed(state, bucket)
        shares, error = self.baseline.at(bucket)
        effective = np.array(counts, np.float64) / self.baseline.phi
        learned = np.array(state.learned or ((0.0,) * len(counts),) * len(PACES))
        slack = np.array(math.hypot(error, self.tolerance))
        ratios = []
        for pace, known in zip(PACES, learned, strict=True):
            predicted = predicted_shares(known, shares, pace.prior_rows)
            ratio = histogram_log_ratios(effective, predicted, shares, slack)
            ratios.append(float(ratio))
        walks, log_m = _moved(state, ratios, bucket, counts, shares, self.log_threshold)
        kept = tuple(
            tuple((pace.memory * known + effective).tolist())
            for pace, known in zip(PACES, learned, strict=True)
        )
        fired_at = _fired_at(state, bucket, log_m, self.log_threshold)
        state = State(bucket, log_m, fired_at, walks, kept)
        return state, _evidence(state, status, self.log_threshold)


Detector = RateDetector | HistogramDetector


def _moved(
    state: State,
    ratios: Sequence[float],
    bucket: int,
    counts: Sequence[int],
    shares: Floats,
    log_threshold: float,
) -> tuple[tuple[Walk, ...], float]:
    """Every walk after its log ratio, and log M of their mixture."""
    cap = log_threshold + math.log(len(ratios)) + OVERSHOOT
    seen = tuple(map(int, counts))
    rows = float(sum(seen))
    usual = tuple((rows * shares).tolist())
    start = math.log(min(1.0, rows * (1.0 - float(shares.max()))))
    walks, log_ms = [], []
    for walk, ratio in zip(state.walks or (Walk(),) * len(ratios), ratios, strict=True):
        log_m = min(max(ratio + _log_add(walk.log_sum, start), NOTHING), cap)
        walks.append(walk.moved(log_m, min(walk.height + ratio, cap), bucket, seen, usual))
        log_ms.append(log_m)
    return tuple(walks), _log_mean(log_ms)


def _dated(walks: tuple[Walk, ...], recent: Sequence[Recent]) -> tuple[Walk, ...]:
    """Walks of a rate that begin no earlier than its change most likely did.

    All of them: another may be the highest later on, when all are as high as they may get.
    """
    highest = max(walks, key=lambda one: one.height)
    if highest.since == NEVER:
        return walks
    rows, flagged = sum(highest.observed), highest.observed[1]
    start = likeliest_start(highest.since, rows, flagged, highest.expected[1], recent)
    since, observed, expected = start or (highest.since, highest.observed, highest.expected)
    return tuple(
        replace(walk, since=since, observed=observed, expected=expected)
        if NEVER != walk.since < since
        else walk
        for walk in walks
    )


def _status(
    state: State, bucket: int, counts: Sequence[int], now: int, baseline: Baseline
) -> Counted:
    if not usable_counts(counts, baseline.bins):
        return Counted.INVALID
    if bucket <= state.bucket:
        return Counted.LATE
    if bucket > now:
        return Counted.AHEAD
    if sum(counts) == 0:
        return Counted.EMPTY
    if baseline.state is not BaselineState.READY:
        return Counted.NO_BASELINE
    return Counted.COUNTED


def _resumed(state: State, bucket: int) -> State:
    silent = state.bucket != NEVER and bucket - state.bucket > SILENCE_BUCKETS
    return state.restarted() if silent else state


def _fired_at(state: State, bucket: int, log_m: float, log_threshold: float) -> int:
    if state.fired_at != NEVER and log_m >= log_threshold - RECOVERY:
        return state.fired_at
    return bucket if log_m >= log_threshold else NEVER


def _evidence(state: State, status: Counted, log_threshold: float) -> Evidence:
    """Of the state's likeliest walk."""
    walk = max(state.walks, key=lambda one: one.height, default=Walk())
    return Evidence(
        status=status,
        bucket=state.bucket,
        log_evidence=state.log_evidence,
        log_threshold=log_threshold,
        fired_at=state.fired_at,
        since=walk.since,
        observed=walk.observed,
        expected=walk.expected,
    )


def _log_add(one: float, two: float) -> float:
    """log(exp(one) + exp(two)) without overflow."""
    return max(one, two) + math.log1p(math.exp(-abs(one - two)))


def _log_mean(values: Sequence[float]) -> float:
    top = max(values)
    return top + math.log(math.fsum(math.exp(value - top) for value in values) / len(values))
