"""Likelihood ratios and their accumulation, over whole arrays.

``detectors.py`` applies the same formulas bucket by bucket; replays, calibration and the benchmark
need them over many paths at once. Logarithms throughout: a month of drift overflows a float.

Counts are *effective* here: divided by the over-dispersion phi of the baseline, since rows that
come in clumps of phi tell as much as one (likelihood ratios to the power 1/phi).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from processors.watch.drift.series import Floats

RISES = (1.25, 1.5, 2.0, 3.0, 5.0)
FALLS = (0.8, 0.5)
"""Factors on the odds that the mixture tries. Small ones find slow change, large ones at once."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a prediction learns. ``memory``: share of what was learned that is kept from bucket to
    bucket. ``prior_rows``: weight of the reference in it, so that one early row says little."""

    memory: float
    prior_rows: float


PACES = (Pace(0.97, 200.0), Pace(0.8, 100.0))
"""About 33 buckets for slow and small change, 5 for large. Measured on ten bins of 100 rows: the
second alone makes a PSI of 0.14 alarm after 20 instead of 35 min; both cost 10 min at 0.006."""
REFERENCE_MIX = 0.02
"""Of the reference in every prediction: a bin that was empty of late still has a chance."""


def rate_log_ratios(
    rows: Floats, flagged: Floats, share: Floats, factors: Sequence[float]
) -> Floats:
    """Log likelihood ratios [..., R] of buckets with ``flagged`` of ``rows`` [...].

    Against the share [...] of the baseline, for the odds times each factor r: with x of n flagged,
    LR = r^x / (1 - p + r p)^n, the exponential tilt of the binomial, so that E[LR] = 1 at p and
    less than 1 on the other side of p: an e-value (Shin, Ramdas, Rinaldo, "E-detectors", NEJSDS
    2024, section 4).
    """
    factor = np.asarray(factors)
    tilt = np.log1p(share[..., None] * (factor - 1.0))
    return np.asarray(flagged[..., None] * np.log(factor) - rows[..., None] * tilt)


def learned_counts(counts: Floats, memory: float) -> Floats:
    """What was learned before each bucket: sum over s < t of memory^(t-1-s) counts[s].

    ``counts`` [..., T, B] with time second to last. A scan by doubling: log2(T) passes.
    """
    decayed = counts.copy()
    shift, keep = 1, memory
    while shift < decayed.shape[-2] and keep > 1e-17:
        decayed[..., shift:, :] += keep * decayed[..., :-shift, :]
        shift, keep = 2 * shift, keep * keep
    learned = np.zeros_like(decayed)
    learned[..., 1:, :] = decayed[..., :-1, :]
    return learned


def predicted_shares(learned: Floats, reference: Floats, prior_rows: float) -> Floats:
    """Shares [..., B] predicted from what was learned before: the predictable plug-in.

    (1 - mix) (K p + S) / (K + |S|) + mix p with K prior rows; on plug-in martingales see Ramdas,
    Grünwald, Vovk, Shafer, "Game-theoretic statistics and safe anytime-valid inference",
    Statistical Science 2023.
    """
    known = learned.sum(axis=-1, keepdims=True)
    mixed = (prior_rows * reference + learned) / (prior_rows + known)
    return np.asarray((1.0 - REFERENCE_MIX) * mixed + REFERENCE_MIX * reference)


def histogram_log_ratios(
    counts: Floats, predicted: Floats, reference: Floats, error: Floats
) -> Floats:
    """Log likelihood ratios [...] of buckets with ``counts`` [..., B].

    The product of (q_i / p_i)^c_i, less what an imprecise reference can feign: for every p' with
    sum (p'_i - p_i)^2 / p_i <= error^2, E'[LR] <= (1 + error sqrt(sum (q_i - p_i)^2 / p_i))^n by
    Cauchy-Schwarz; dividing by that makes it an e-value for all of them. ``error`` [...].
    """
    gain = (counts * np.log(predicted / reference)).sum(axis=-1)
    spread = np.sqrt(((predicted - reference) ** 2 / reference).sum(axis=-1))
    return np.asarray(gain - counts.sum(axis=-1) * np.log1p(error * spread))


def log_starts(rows: Floats, shares: Floats) -> Floats:
    """log w [...] of buckets: how many candidate changes begin in each.

    One a bucket, but no more than rows [...] that are expected outside the commonest bin of shares
    [..., B]: a constant stream, or a rate that is hardly ever flagged, says nothing bucket after
    bucket, and sums of nothing must not grow into an alarm.
    """
    return np.asarray(np.log(np.minimum(1.0, rows * (1.0 - shares.max(axis=-1)))))


def shiryaev_roberts(log_ratios: Floats, starts: Floats) -> Floats:
    """log M [..., T] with M_t = LR_t (M_{t-1} + w_t), M_0 = 0, along the last axis.

    ``starts``: log w, of :func:`log_starts`. An e-detector: without change, an alarm at M >= A
    comes on average after a sum of w of A or more (Shin, Ramdas, Rinaldo, theorem 2.4, whose w is
    1; Shiryaev 1963, Roberts 1966). Unrolled, M_t is the sum over every start s of w_s times the
    product of LR_s..LR_t.
    """
    total = np.cumsum(log_ratios, axis=-1)
    begun = np.logaddexp.accumulate(starts + log_ratios - total, axis=-1)
    return np.asarray(total + begun)


def log_mean(values: Floats) -> Floats:
    """log of the mean of exp(values) over the last axis: a mixture of e-detectors is one."""
    return np.asarray(np.logaddexp.reduce(values, axis=-1) - math.log(values.shape[-1]))
