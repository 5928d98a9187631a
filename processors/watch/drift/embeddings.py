"""Drift of embeddings, from their moments hour by hour.

Two statistics: a diagonal T-squared on the mean (the topic moved) and the same on second moments
(it became narrower, wider, or of another shape). Dimensions are correlated and hours differ, so
neither follows its textbook law: each is scaled to the law that the baseline's own hours show.
"""

import functools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from processors.watch.drift.series import Floats
from processors.watch.drift.special import chi2_sf

ROWS_MIN = 50
"""Rows an hour: below, a mean of 64 dimensions says nothing."""
HOURS_MIN = 48
SILENCE_HOURS = 24
NEVER = -1
OVERSHOOT = math.log(10.0)
DAYS_MIN = 7
"""Fewer days say little of how days differ."""
VARIANCE_FLOOR = 1e-9
"""Of a dimension, relative to the largest: a constant one must not divide by zero."""
MEAN_FLOOR = 1e-6
P_MIN = 1e-12
"""An hour that is as good as impossible still is one hour."""


ANCHOR = 3.0
"""An hour that says so many times what all before it say is where the change began: what came
before was chance, and would dilute the effect."""
RECOVERY = math.log(10.0)
"""How far below the threshold evidence must fall before the next alarm is another one."""
VERSION = 1
"""Of the states' meaning: a state of another version starts anew."""


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Of the embeddings of one or more hours: rows, and sums of x, x^2, x^4 float64[D]."""

    rows: int
    sum1: Floats
    sum2: Floats
    sum4: Floats

    def plus(self, other: "Moments", sign: int = 1) -> "Moments":
        """Both merged; with ``sign`` -1 the other taken out."""
        return Moments(
            self.rows + sign * other.rows,
            self.sum1 + sign * other.sum1,
            self.sum2 + sign * other.sum2,
            self.sum4 + sign * other.sum4,
        )

    @classmethod
    def of(cls, vectors: npt.ArrayLike) -> "Moments":
        """Of vectors [N, D]."""
        table = np.asarray(vectors, np.float64)
        square = table**2
        return cls(len(table), table.sum(axis=0), square.sum(axis=0), (square**2).sum(axis=0))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Moments) and self.values() == other.values()

    __hash__ = None  # type: ignore[assignment]

    def values(self) -> tuple[int, list[float], list[float], list[float]]:
        """As plain values."""
        return self.rows, self.sum1.tolist(), self.sum2.tolist(), self.sum4.tolist()

    @classmethod
    def of_sums(
        cls, rows: int, sum1: npt.ArrayLike, sum2: npt.ArrayLike, sum4: npt.ArrayLike
    ) -> "Moments":
        """From stored sums. Raises ``ValueError`` where these are no numbers of one length."""
        sums = [np.asarray(values, np.float64) for values in (sum1, sum2, sum4)]
        if len({values.shape for values in sums}) != 1 or sums[0].ndim != 1:
            raise ValueError("moments must have one length")
        return cls(int(rows), *sums)

    @property
    def usable(self) -> bool:
        """Whether there are rows enough and no sum is NaN or infinite."""
        sums = np.concatenate([self.sum1, self.sum2, self.sum4])
        return self.rows >= ROWS_MIN and bool(np.isfinite(sums).all())


@dataclass(frozen=True, slots=True)
class EmbeddingBaseline:
    """Moments of the baseline, and the laws of both statistics: scale x chi2[freedom].

    ``ready``: there were HOURS_MIN usable hours or more. ``phi`` >= 1: how much more the days'
    means of a statistic vary than hours on their own would make them (the design effect).
    """

    moments: Moments
    scale: tuple[float, float]
    freedom: tuple[float, float]
    hours: int
    phi: float = 1.0

    @property
    def ready(self) -> bool:
        """Whether there is enough to compare with."""
        return self.hours >= HOURS_MIN


def merged(parts: Sequence[Moments]) -> Moments | None:
    """All moments together; None of none."""
    return functools.reduce(lambda whole, one: whole.plus(one), parts) if parts else None


def statistics(reference: Moments, current: Moments) -> tuple[float, float]:
    """Diagonal T^2 = sum (m_c - m_r)^2 / (v_r/n + v_c/m), of x and of x^2.

    Hotelling's with the off-diagonal set to 0 (Bai and Saranadasa 1996; Srivastava and Du 2008):
    64 dimensions have too many covariances for an hour's rows.
    """
    first = _diagonal(reference, current, reference.sum1, current.sum1, 2)
    second = _diagonal(reference, current, reference.sum2, current.sum2, 4)
    return first, second


def _diagonal(
    reference: Moments, current: Moments, sum_r: Floats, sum_c: Floats, power: int
) -> float:
    squares_r = reference.sum2 if power == 2 else reference.sum4
    squares_c = current.sum2 if power == 2 else current.sum4
    mean_r, mean_c = sum_r / reference.rows, sum_c / current.rows
    var_r = np.maximum(squares_r / reference.rows - mean_r**2, 0.0)
    var_c = np.maximum(squares_c / current.rows - mean_c**2, 0.0)
    width = var_r / reference.rows + var_c / current.rows
    floor = VARIANCE_FLOOR * float(width.max(initial=0.0))
    if floor <= 0.0:
        return 0.0
    return float(((mean_c - mean_r) ** 2 / np.maximum(width, floor)).sum())


def fit_embedding_baseline(hours: Sequence[Moments], days: Sequence[int]) -> EmbeddingBaseline:
    """The baseline of hours; each one's statistics are against those of all other days.

    ``days``: of each hour. Hours of a day are alike, and against each other look calmer than the
    days to come will. Hours of one day alone are each compared with the others.
    Scale and degrees of freedom match mean and variance (Box 1954; Satterthwaite 1946).
    """
    found = [(hour, day) for hour, day in zip(hours, days, strict=True) if hour.usable]
    usable = [hour for hour, _ in found]
    whole = merged(usable) or Moments(0, np.zeros(0), np.zeros(0), np.zeros(0))
    if len(usable) < 2:
        return EmbeddingBaseline(whole, (1.0, 1.0), (1.0, 1.0), len(usable))
    by_day: dict[int, Moments] = {}
    for hour, day in found:
        by_day[day] = by_day[day].plus(hour) if day in by_day else hour
    seen = np.array(
        [
            statistics(whole.plus(by_day[day] if len(by_day) > 1 else hour, -1), hour)
            for hour, day in found
        ]
    )
    # Constant embeddings have neither mean nor variance: any positive law then does.
    mean = np.maximum(seen.mean(axis=0), MEAN_FLOOR)
    variance = np.maximum(seen.var(axis=0, ddof=1), MEAN_FLOOR * mean**2)
    scale, freedom = variance / (2.0 * mean), 2.0 * mean**2 / variance
    return EmbeddingBaseline(
        whole,
        (float(scale[0]), float(scale[1])),
        (float(freedom[0]), float(freedom[1])),
        len(usable),
        _day_effect(seen, [day for _, day in found]),
    )


def _day_effect(seen: Floats, days: Sequence[int]) -> float:
    """The larger design effect of both statistics [H, 2], as far as it is more than chance."""
    numbers, places = np.unique(np.array(days), return_inverse=True)
    if len(numbers) < DAYS_MIN:
        return 1.0
    members = np.bincount(places)
    sums = np.stack([np.bincount(places, weights=column) for column in seen.T], axis=1)
    between = (sums / members[:, None]).var(axis=0, ddof=1) * members.mean()
    alone = np.maximum(seen.var(axis=0, ddof=1), MEAN_FLOOR)
    less_chance = 1.0 - math.sqrt(2.0 / (len(numbers) - 1))
    return max(1.0, float((between / alone).max()) * less_chance)


def log_e_values(baseline: EmbeddingBaseline, current: Moments) -> list[float]:
    """log e-values of both statistics, to the power 1 / phi: hours of a day say the same again.

    A power below 1 of an e-value still is one (Jensen).
    """
    return [log_e_value(p) / baseline.phi for p in p_values(baseline, current)]


def p_values(baseline: EmbeddingBaseline, current: Moments) -> tuple[float, float]:
    """How often an hour of the baseline lies so far off, by mean and by second moment."""
    values = statistics(baseline.moments, current)
    first, second = (
        chi2_sf(value / scale, freedom)
        for value, scale, freedom in zip(values, baseline.scale, baseline.freedom, strict=True)
    )
    return first, second


def log_e_value(p: float) -> float:
    """log of an e-value from a p-value: (1 - p + p ln p) / (p ln^2 p), 1/2 at p = 1.

    The mixture of the calibrators k p^(k-1) over k (Vovk and Wang, "E-values: Calibration,
    combination and applications", Annals of Statistics 2021).
    """
    p = min(1.0, max(P_MIN, p))
    log_p = math.log(p)
    if -log_p < 1e-3:
        return math.log(0.5)
    return math.log((1.0 - p + p * log_p) / (p * log_p**2))


@dataclass(frozen=True, slots=True)
class EmbeddingState:
    """``hour``: the newest counted, in hours since 1970. ``log_sums``: log(1 + M) of each.

    ``height``: a CUSUM of the evidence, which left 0 at ``since``, or later (:data:`ANCHOR`; NEVER
    while nothing points to a change); ``seen``: moments from there on. ``fired_at``: the hour at
    which it fired, until evidence fell RECOVERY below.
    """

    hour: int = NEVER
    log_evidence: float = 0.0
    log_sums: tuple[float, float] = (0.0, 0.0)
    fired_at: int = NEVER
    height: float = 0.0
    since: int = NEVER
    seen: Moments | None = None

    def restarted(self) -> "EmbeddingState":
        """Without evidence: against another baseline. Hours counted stay counted."""
        return EmbeddingState(self.hour)

    def dumps(self) -> str:
        """As JSON, floats exact."""
        values = [
            VERSION, self.hour, self.log_evidence, *self.log_sums, self.fired_at, self.height,
            self.since, self.seen.values() if self.seen else None,
        ]  # fmt: skip
        return json.dumps(values, separators=(",", ":"))

    @classmethod
    def loads(cls, text: str) -> "EmbeddingState":
        """From :meth:`dumps`; one of another version starts anew. Raises ``ValueError``."""
        values = json.loads(text)
        if not isinstance(values, list) or not values:
            raise ValueError("not a detector's state")
        if values[0] != VERSION:
            return cls()
        try:
            _, hour, log_evidence, first, second, fired_at, height, since, seen = values
            return cls(
                int(hour), float(log_evidence), (float(first), float(second)), int(fired_at),
                float(height), int(since), Moments.of_sums(*seen) if seen else None,
            )  # fmt: skip
        except (TypeError, ValueError) as error:
            raise ValueError(f"not a detector's state: {error}") from None


@dataclass(frozen=True, slots=True)
class EmbeddingDetector:
    """Shiryaev-Roberts on hourly e-values, the mean of both statistics.

    ``log_threshold``: log of hours between false alarms times streams. Hours count once and in
    order, as buckets do for the other detectors.
    """

    baseline: EmbeddingBaseline
    log_threshold: float

    def step(
        self, state: EmbeddingState, hour: int, current: Moments, now: int
    ) -> tuple[EmbeddingState, bool]:
        """The state after an hour, and whether it counted. Never raises for odd moments."""
        fits = len(current.sum1) == len(self.baseline.moments.sum1)
        if not self.baseline.ready or not fits or not current.usable:
            return state, False
        if hour <= state.hour or hour > now:
            return state, False
        if state.hour != NEVER and hour - state.hour > SILENCE_HOURS:
            state = state.restarted()
        cap = self.log_threshold + math.log(2.0) + OVERSHOOT
        log_es = log_e_values(self.baseline, current)
        log_ms = [
            min(cap, log_e + log_sum) for log_e, log_sum in zip(log_es, state.log_sums, strict=True)
        ]
        evidence = float(np.logaddexp(log_ms[0], log_ms[1])) - math.log(2.0)
        sums = [float(np.logaddexp(0.0, log_m)) for log_m in log_ms]
        step = float(np.logaddexp(log_es[0], log_es[1])) - math.log(2.0)
        height = min(max(state.height + step, 0.0), cap)
        since, seen = NEVER, None
        if height > 0.0 and (state.seen is None or step > ANCHOR * state.height):
            since, seen = hour, current
        elif height > 0.0 and state.seen is not None:
            since, seen = state.since, state.seen.plus(current)
        fired_at = state.fired_at
        if fired_at == NEVER or evidence < self.log_threshold - RECOVERY:
            fired_at = hour if evidence >= self.log_threshold else NEVER
        return EmbeddingState(
            hour, evidence, (sums[0], sums[1]), fired_at, height, since, seen
        ), True

    def fired(self, state: EmbeddingState) -> bool:
        """Whether the evidence reached the threshold and has not fallen well below since."""
        return state.fired_at != NEVER
