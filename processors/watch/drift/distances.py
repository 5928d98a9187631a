"""Report statistics: how far two merged windows lie apart, and whether that is noise.

Inputs are counts by the same bins. A *distance* says how much changed; its *p-value* how often so
much is seen when nothing did, given how many rows there are: fixed cut-offs (PSI 0.1, 0.2) alarm
on a third of small windows in which nothing changed, and never on small changes in large ones.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from processors.watch.drift.baseline import SMOOTHING
from processors.watch.drift.series import Floats, Ints, whole_numbers
from processors.watch.drift.special import chi2_sf, normal_sf

ROWS_PER_BIN_MIN = 10
"""With fewer rows a bin in either window no distance means anything: ``insufficient_data``."""
EXPECTED_MIN = 1.0
"""Bins with less expected in the smaller window count as one for a p-value. Below one expected row
chi-squared laws fail (Cochran 1954); one bin of its own keeps a new category from hiding in
another. Measured: false alarms at 5% and 0.5% are as stated from 100 rows on."""
SIMULATIONS = 4000
SIMULATION_SEED = 20_260
"""Fixed, so that the same windows always get the same p-value."""


class ReportState(StrEnum):
    """Whether a comparison says anything."""

    OK = "ok"
    INSUFFICIENT_DATA = "insufficient_data"


@dataclass(frozen=True, slots=True)
class Measure:
    """A distance and how often chance reaches it; None where it has no meaning."""

    value: float
    p: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two windows compared. Distances are there whenever both have rows, p-values only if ``ok``.

    ``ks`` and ``w1`` need an order of the bins and are None without; ``w1`` is in standard
    deviations of the reference.
    """

    state: ReportState
    reference_rows: int
    rows: int
    bins_used: int
    psi: Measure | None = None
    js: Measure | None = None
    hellinger: Measure | None = None
    linf: Measure | None = None
    chi2: Measure | None = None
    ks: Measure | None = None
    w1: Measure | None = None


def compare(
    reference: npt.ArrayLike,
    current: npt.ArrayLike,
    positions: Sequence[float] | None = None,
    phi: float = 1.0,
) -> Comparison:
    """Every distance between two windows' counts [B].

    ``positions`` [P], P <= B: a value for each of the first P bins, in order; bins beyond (such as
    ``other``) have none and count for neither KS nor W1. ``phi``: the design effect, by which
    chance is wider (Rao and Scott 1981). Raises ``ValueError`` for counts that are none, and for
    windows of different bins.
    """
    r, c = whole_numbers(reference), whole_numbers(current)
    if r.ndim != 1 or r.shape != c.shape or (r < 0).any() or (c < 0).any():
        raise ValueError("windows must be counts of the same bins")
    n, m = int(r.sum()), int(c.sum())
    used = (r + c) > 0
    bins = int(used.sum())
    if n == 0 or m == 0:
        return Comparison(ReportState.INSUFFICIENT_DATA, n, m, bins)
    enough = min(n, m) >= ROWS_PER_BIN_MIN * len(r)
    state = ReportState.OK if enough else ReportState.INSUFFICIENT_DATA
    unordered = _unordered(r[used], c[used], phi if enough else None)
    ks, w1 = _ordered(r, c, positions, phi if enough else None)
    return Comparison(state, n, m, bins, **unordered, ks=ks, w1=w1)


def psi_of(reference: Ints, current: Ints) -> float:
    """Population stability index, sum (q - p) ln(q / p), half a row added to every used bin.

    Symmetric: Jeffreys' J-divergence (Kullback and Leibler 1951). Null law
    (1/n + 1/m) chi2[B-1] (Yurdakul 2018).
    """
    used = (reference + current) > 0
    p, q = smoothed(reference[used]), smoothed(current[used])
    return float(((q - p) * np.log(q / p)).sum())


def smoothed(counts: Ints) -> Floats:
    """Shares with half a row added to every bin (Jeffreys' prior); none is 0."""
    total = counts.sum() + SMOOTHING * len(counts)
    return np.asarray((counts + SMOOTHING) / total)


def js_of(p: Floats, q: Floats) -> float:
    """Jensen-Shannon distance with base 2, 0 to 1 (Lin 1991; Endres and Schindelin 2003)."""
    middle = (p + q) / 2.0
    return math.sqrt(max(0.0, (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2.0))


def hellinger_of(p: Floats, q: Floats) -> float:
    """Hellinger distance sqrt(1 - sum sqrt(p q)), 0 to 1; summed so that equal shares give 0."""
    return math.sqrt(max(0.0, float(((np.sqrt(p) - np.sqrt(q)) ** 2).sum()) / 2.0))


def chi2_of(reference: Ints, current: Ints) -> float:
    """Pearson's two-sample chi-squared, sum (a sqrt(m/n) - b sqrt(n/m))^2 / (a + b)."""
    n, m = float(reference.sum()), float(current.sum())
    used = (reference + current) > 0
    a, b = reference[used], current[used]
    return float(((a * math.sqrt(m / n) - b * math.sqrt(n / m)) ** 2 / (a + b)).sum())


def merge_rare(reference: Ints, current: Ints) -> tuple[Ints, Ints]:
    """Both windows with the bins of which the smaller expects less than EXPECTED_MIN made one."""
    n, m = float(reference.sum()), float(current.sum())
    rare = (reference + current) * (min(n, m) / (n + m)) < EXPECTED_MIN
    if not rare.any():
        return reference, current
    return (
        np.append(reference[~rare], reference[rare].sum()),
        np.append(current[~rare], current[rare].sum()),
    )


def _relative_entropy(p: Floats, q: Floats) -> float:
    """In bits, with 0 log 0 = 0."""
    there = p > 0
    return float((p[there] * np.log2(p[there] / q[there])).sum())


def _unordered(r: Ints, c: Ints, phi: float | None) -> dict[str, Measure]:
    """Measures that know no order of the bins; without p-values where ``phi`` is None."""
    p, q = r / r.sum(), c / c.sum()
    values = {
        "psi": psi_of(r, c),
        "js": js_of(p, q),
        "hellinger": hellinger_of(p, q),
        "linf": float(np.abs(p - q).max()),
        "chi2": chi2_of(r, c),
    }
    if phi is None:
        return {name: Measure(value, None) for name, value in values.items()}
    merged_r, merged_c = merge_rare(r, c)
    # Smoothed as PSI is: without, JS and Hellinger alarm twice as often as stated on 200 rows.
    p, q = smoothed(merged_r), smoothed(merged_c)
    freedom = len(merged_r) - 1
    unit = phi * (1.0 / r.sum() + 1.0 / c.sum())
    # Each divergence is to second order a multiple of chi-squared: PSI 1, JS^2 1/(8 ln 2),
    # Hellinger^2 1/8 (Pardo, Statistical Inference Based on Divergence Measures, 2006).
    chances = {
        "psi": chi2_sf(psi_of(merged_r, merged_c) / unit, freedom),
        "js": chi2_sf(js_of(p, q) ** 2 * 8.0 * math.log(2.0) / unit, freedom),
        "hellinger": chi2_sf(hellinger_of(p, q) ** 2 * 8.0 / unit, freedom),
        "linf": _linf_p(merged_r, merged_c, unit),
        "chi2": chi2_sf(chi2_of(merged_r, merged_c) / phi, freedom),
    }
    return {name: Measure(value, chances[name]) for name, value in values.items()}


def _linf_p(r: Ints, c: Ints, unit: float) -> float:
    """Bonferroni's bound on P(any bin's share moves so far), normal approximation."""
    if len(r) < 2:
        return 1.0
    largest = float(np.abs(r / r.sum() - c / c.sum()).max())
    pooled = (r + c) / (r.sum() + c.sum())
    widths = np.sqrt(pooled * (1.0 - pooled) * unit)
    # Two bins move together, and are one comparison.
    tests = widths[:1] if len(widths) == 2 else widths
    return min(1.0, sum(2.0 * normal_sf(largest / width) for width in tests.tolist()))


def _ordered(
    r: Ints, c: Ints, positions: Sequence[float] | None, phi: float | None
) -> tuple[Measure | None, Measure | None]:
    """KS and W1 of the bins that have a position; None without any, or where one side is empty."""
    if positions is None:
        return None, None
    places = np.asarray(positions, np.float64)
    if len(places) > len(r) or not np.isfinite(places).all() or (np.diff(places) <= 0).any():
        raise ValueError("positions must rise, one for each of the first bins")
    r, c = r[: len(places)], c[: len(places)]
    n, m = int(r.sum()), int(c.sum())
    if n == 0 or m == 0 or len(places) < 2:
        return None, None
    p, q = r / n, c / m
    apart = np.abs(np.cumsum(p) - np.cumsum(q))[:-1]
    spread = math.sqrt(float((p * (places - (p * places).sum()) ** 2).sum()))
    gaps = np.diff(places) / (spread if spread > 0 else 1.0)
    ks, w1 = float(apart.max()), float((apart * gaps).sum())
    if phi is None:
        return Measure(ks, None), Measure(w1, None)
    # Kolmogorov's first term; binning only makes it larger than it need be.
    ks_p = min(1.0, 2.0 * math.exp(-2.0 * ks**2 * n * m / (n + m) / phi))
    return Measure(ks, ks_p), Measure(w1, _w1_p(r, c, gaps, w1, phi))


def _w1_p(r: Ints, c: Ints, gaps: Floats, w1: float, phi: float) -> float:
    """Share of simulated differences without change that are as large.

    Under the null the difference of two cumulative distributions is a Brownian bridge at the
    pooled one's values (del Barrio, Giné, Matrán 1999), scaled by sqrt(phi (1/n + 1/m)).
    """
    n, m = float(r.sum()), float(c.sum())
    pooled = (r + c) / (n + m)
    rng = np.random.default_rng(SIMULATION_SEED)
    steps = rng.standard_normal((SIMULATIONS, len(pooled))) * np.sqrt(pooled)
    walk = np.cumsum(steps, axis=1)
    bridge = walk - np.cumsum(pooled) * walk[:, -1:]
    scale = math.sqrt(phi * (1.0 / n + 1.0 / m))
    drawn = (np.abs(bridge[:, :-1]) * gaps).sum(axis=1) * scale
    return (1.0 + float((drawn >= w1).sum())) / (1.0 + SIMULATIONS)
