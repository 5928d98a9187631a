"""How large a change is, with an interval, and what it is made of."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from processors.watch.drift.distances import psi_of, smoothed
from processors.watch.drift.series import Floats, Ints

Z95 = 1.959963984540054
"""Two-sided 95% of the normal distribution."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95% interval."""

    value: float
    low: float
    high: float


def rate_ratio(
    reference: tuple[int, int], current: tuple[int, int], phi: float = 1.0
) -> Interval | None:
    """Current over reference share; each (not flagged, flagged). None if either has no rows.

    Half a flagged row is added to each side, so that none is a division by zero; the interval is
    Katz's on the logarithm (Katz et al. 1978), its variance times ``phi``.
    """
    n, m = sum(reference), sum(current)
    if n <= 0 or m <= 0:
        return None
    a, b = reference[1] + 0.5, current[1] + 0.5
    ratio = (b / (m + 0.5)) / (a / (n + 0.5))
    variance = phi * max(0.0, 1.0 / b - 1.0 / (m + 0.5) + 1.0 / a - 1.0 / (n + 0.5))
    width = math.exp(Z95 * math.sqrt(variance))
    return Interval(ratio, ratio / width, ratio * width)


def rate_difference(
    reference: tuple[int, int], current: tuple[int, int], phi: float = 1.0
) -> Interval | None:
    """Current less reference share. None if either has no rows.

    Agresti and Caffo's interval (2000): one row of each kind added to both, variance times ``phi``.
    """
    n, m = sum(reference), sum(current)
    if n <= 0 or m <= 0:
        return None
    p, q = (reference[1] + 1.0) / (n + 2.0), (current[1] + 1.0) / (m + 2.0)
    width = Z95 * math.sqrt(phi * (p * (1.0 - p) / (n + 2.0) + q * (1.0 - q) / (m + 2.0)))
    middle = q - p
    plain = current[1] / m - reference[1] / n
    return Interval(plain, max(-1.0, middle - width), min(1.0, middle + width))


def mean_difference(
    reference: tuple[int, float, float], current: tuple[int, float, float], phi: float = 1.0
) -> Interval | None:
    """Current less reference mean, in standard deviations of the reference (Glass's delta).

    Each side: rows, sum, sum of squares. The interval is Welch's, normal, variance times ``phi``.
    None with fewer than two rows, a reference without spread, or sums that are no numbers.
    """
    (n, sum_n, square_n), (m, sum_m, square_m) = reference, current
    if min(n, m) < 2 or not all(map(math.isfinite, (sum_n, square_n, sum_m, square_m))):
        return None
    var_n = max(0.0, (square_n - sum_n**2 / n) / (n - 1))
    var_m = max(0.0, (square_m - sum_m**2 / m) / (m - 1))
    # Below what cancellation leaves of a constant there is no spread to measure by.
    if var_n <= 1e-12 * max(square_n / n, 1e-300):
        return None
    deviation = math.sqrt(var_n)
    middle = (sum_m / m - sum_n / n) / deviation
    width = Z95 * math.sqrt(phi * (var_n / n + var_m / m)) / deviation
    return Interval(middle, middle - width, middle + width)


def psi_interval(reference: Ints, current: Ints, phi: float = 1.0) -> Interval | None:
    """PSI of two windows' counts [B] less what chance adds, with its interval, never below 0.

    Chance adds (B - 1) phi (1/n + 1/m) in the mean and twice its square over B - 1 to the
    variance; the delta method gives the rest. None if either has no rows.
    """
    n, m = float(reference.sum()), float(current.sum())
    if n <= 0 or m <= 0:
        return None
    used = (reference + current) > 0
    p, q = smoothed(reference[used]), smoothed(current[used])
    freedom = int(used.sum()) - 1
    unit = phi * (1.0 / n + 1.0 / m)
    variance = phi * (_variance(q, p) / m + _variance(p, q) / n) + 2.0 * freedom * unit**2
    value = max(0.0, psi_of(reference, current) - freedom * unit)
    width = Z95 * math.sqrt(variance)
    return Interval(value, max(0.0, value - width), value + width)


def _variance(own: Floats, other: Floats) -> float:
    """Variance, times rows, of PSI from one side's shares: of its gradient under them."""
    gradient = np.log(own / other) + 1.0 - other / own
    mean = float((own * gradient).sum())
    return max(0.0, float((own * gradient**2).sum()) - mean**2)


def bin_contributions(reference: Ints, current: Ints) -> Floats:
    """What each bin [B] adds to PSI; they sum to it, none is negative."""
    used = (reference + current) > 0
    parts = np.zeros(len(reference))
    if reference.sum() > 0 and current.sum() > 0:
        p, q = smoothed(reference[used]), smoothed(current[used])
        parts[used] = (q - p) * np.log(q / p)
    return parts


@dataclass(frozen=True, slots=True)
class Contribution:
    """What a group adds to the distance: ``total`` = ``mix`` + ``within``.

    ``mix``: it grew or shrank as a part of the traffic. ``within``: its own distribution changed.
    Negative: it held the change back.
    """

    group: str
    total: float
    mix: float
    within: float
    rows: int


def group_contributions(
    reference: Mapping[str, Ints], current: Mapping[str, Ints]
) -> tuple[Contribution, ...]:
    """Contributions of groups (services, models, users ..) with counts [B], largest first.

    Every bin's change q - p is a sum over groups; weighed by ln(q / p), as PSI weighs it, the
    totals sum to sum (q - p) ln(q / p) with shares smoothed in the logarithm only. Kitagawa's
    decomposition (1955) splits each. A group that is in one window only is all mix.
    """
    if not reference or not current:
        return ()
    all_r = np.sum([np.asarray(counts) for counts in reference.values()], axis=0)
    all_c = np.sum([np.asarray(counts) for counts in current.values()], axis=0)
    n, m = float(all_r.sum()), float(all_c.sum())
    if n <= 0 or m <= 0:
        return ()
    used = (all_r + all_c) > 0
    weight = np.zeros(len(all_r))
    weight[used] = np.log(smoothed(all_c[used]) / smoothed(all_r[used]))
    nothing = np.zeros(len(all_r), np.int64)
    found = []
    for group in sorted({*reference, *current}):
        r, c = reference.get(group, nothing), current.get(group, nothing)
        rows_r, rows_c = float(r.sum()), float(c.sum())
        total = float(((c / m - r / n) * weight).sum())
        within = 0.0
        if rows_r > 0 and rows_c > 0:
            share = (rows_r / n + rows_c / m) / 2.0
            within = share * float(((c / rows_c - r / rows_r) * weight).sum())
        found.append(Contribution(group, total, total - within, within, int(rows_c)))
    return tuple(sorted(found, key=lambda one: (-one.total, one.group)))
