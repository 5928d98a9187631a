"""From evidence to a verdict: is this a drift that somebody should see, and how soon?

Raised only when three things hold: the detector fired (it is no chance), the effect since the
change began is large enough to matter, and there are rows enough to say so. What took long to show
is a ticket, not a page: nobody mends it at night.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from processors.watch.drift.baseline import Baseline, BaselineState
from processors.watch.drift.detectors import NEVER, SILENCE_BUCKETS, Evidence
from processors.watch.drift.distances import ReportState, compare
from processors.watch.drift.effects import Interval, psi_interval, rate_ratio
from processors.watch.drift.series import Ints, whole_numbers


class DriftState(StrEnum):
    """What is known of a stream."""

    NO_BASELINE = "no_baseline"
    SILENT = "silent"
    """No rows for a day: neither steady nor drifted."""
    STEADY = "steady"
    INSUFFICIENT_DATA = "insufficient_data"
    """The detector fired on too few rows to size the effect."""
    SMALL = "small"
    """The detector fired, the effect is below the floor."""
    DRIFT = "drift"


class Severity(StrEnum):
    """How soon somebody should look."""

    NONE = ""
    TICKET = "ticket"
    PAGE = "page"


@dataclass(frozen=True, slots=True)
class Policy:
    """Floors. Ratios hold upwards and, as 1/ratio, downwards.

    ``slow_buckets``: a change that took longer to fire is a ticket. ``flagged_min`` flagged rows
    seen or expected size a rate, ``rows_per_bin`` rows a bin a histogram.
    """

    ratio: float = 1.25
    page_ratio: float = 1.5
    psi: float = 0.02
    page_psi: float = 0.1
    slow_buckets: int = 72
    flagged_min: float = 5.0
    rows_per_bin: int = 10
    release_p: float = 0.01


@dataclass(frozen=True, slots=True)
class Verdict:
    """``effect``: rate ratio, or PSI, since the change began; None where it can't be told."""

    state: DriftState
    severity: Severity = Severity.NONE
    effect: Interval | None = None
    since: int = NEVER
    fired_at: int = NEVER


def decide(
    evidence: Evidence, baseline: Baseline, now: int, policy: Policy | None = None
) -> Verdict:
    """The verdict on a stream after a bucket; ``now``: bucket of the caller's clock."""
    policy = policy or Policy()
    if baseline.state is not BaselineState.READY:
        return Verdict(DriftState.NO_BASELINE)
    if evidence.bucket == NEVER or now - evidence.bucket > SILENCE_BUCKETS:
        return Verdict(DriftState.SILENT)
    if not evidence.fired:
        return Verdict(DriftState.STEADY)
    effect = effect_since(evidence, baseline)
    since, fired_at = evidence.since, evidence.fired_at
    if effect is None or not _sizable(evidence, policy):
        return Verdict(DriftState.INSUFFICIENT_DATA, since=since, fired_at=fired_at)
    is_rate = baseline.bins == 2
    size = max(effect.value, 1.0 / effect.value) if is_rate else effect.value
    if size < (policy.ratio if is_rate else policy.psi):
        return Verdict(DriftState.SMALL, Severity.NONE, effect, since, fired_at)
    large = size >= (policy.page_ratio if is_rate else policy.page_psi)
    slow = fired_at - since > policy.slow_buckets
    severity = Severity.PAGE if large and not slow else Severity.TICKET
    return Verdict(DriftState.DRIFT, severity, effect, since, fired_at)


def effect_since(evidence: Evidence, baseline: Baseline) -> Interval | None:
    """Rate ratio or PSI of what was counted since the change began, against what was expected.

    None while nothing points to a change. The bound of the estimate that chose where it began is
    not corrected for: just after an alarm the effect tends to be overstated.
    """
    if evidence.since == NEVER or not evidence.observed:
        return None
    usual = np.asarray(evidence.expected)
    reference = np.rint(usual / usual.sum() * max(baseline.rows, 1)).astype(np.int64)
    current = np.asarray(evidence.observed, np.int64)
    if baseline.bins == 2:
        return rate_ratio(_pair(reference), _pair(current), baseline.phi)
    return psi_interval(reference, current, baseline.phi)


def _pair(counts: Ints) -> tuple[int, int]:
    return int(counts[0]), int(counts[1])


def _sizable(evidence: Evidence, policy: Policy) -> bool:
    if len(evidence.observed) == 2:
        return max(float(evidence.observed[1]), evidence.expected[1]) >= policy.flagged_min
    return sum(evidence.observed) >= policy.rows_per_bin * len(evidence.observed)


@dataclass(frozen=True, slots=True)
class ReleaseChange:
    """A release, model or prompt version against its predecessor.

    ``effect``: rate ratio, or PSI. ``p``: how often chance makes so much of it.
    """

    state: DriftState
    severity: Severity = Severity.NONE
    effect: Interval | None = None
    p: float | None = None


def release_change(
    before: Ints, after: Ints, phi: float = 1.0, policy: Policy | None = None
) -> ReleaseChange:
    """Compare counts [B] of two releases (2 bins: not flagged, flagged).

    Changes on purpose, so a ticket at most; one comparison a release, so a plain test will do.
    Raises ``ValueError`` for counts that are none.
    """
    policy = policy or Policy()
    r, c = whole_numbers(before), whole_numbers(after)
    compared = compare(r, c, phi=phi)
    if compared.state is not ReportState.OK or compared.chi2 is None:
        return ReleaseChange(DriftState.INSUFFICIENT_DATA)
    if len(r) == 2:
        share = float(r[1] + c[1]) / float(r.sum() + c.sum())
        effect = rate_ratio(_pair(r), _pair(c), phi)
        if effect is None or share * min(r.sum(), c.sum()) < policy.flagged_min:
            return ReleaseChange(DriftState.INSUFFICIENT_DATA)
        large = max(effect.value, 1.0 / effect.value) >= policy.ratio
    else:
        effect = psi_interval(r, c, phi)
        large = effect is not None and effect.value >= policy.psi
    p = compared.chi2.p
    if p is None or p > policy.release_p:
        return ReleaseChange(DriftState.STEADY, Severity.NONE, effect, p)
    if not large:
        return ReleaseChange(DriftState.SMALL, Severity.NONE, effect, p)
    return ReleaseChange(DriftState.DRIFT, Severity.TICKET, effect, p)
