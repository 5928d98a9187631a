"""When a rate most likely changed, told once its detector fired. Pure.

Page's estimate, where a walk of log ratios last left 0, takes a few flagged rows by chance shortly
before a large change for its beginning: they hold the walk up, and no factor of the mixture is as
large as the change. With the rate that is seen from a bucket on (Hinkley 1970), they do not.
"""

import math
from collections.abc import Sequence

RECENT_BUCKETS = 12
"""The hour that may hold the start: a change so large that it is dated anew fires within it."""
_EXPECTED_MIN = 1e-9
Recent = tuple[int, int, int, float]
"""A bucket: its index, rows, flagged rows, and flagged rows expected."""


def likeliest_start(
    since: int, rows: int, flagged: int, expected: float, recent: Sequence[Recent]
) -> tuple[int, tuple[int, int], tuple[float, float]] | None:
    """Bucket after ``since`` that explains what came better as a start, with counts and expected
    counts (not flagged, flagged) from there on; None if there is none.

    ``rows``, ``flagged``, ``expected``: of all from ``since`` on, of which ``recent`` are the last
    buckets, rising.
    """
    rises = flagged >= expected
    best, found = _gain(rows, flagged, expected), None
    n, k, usual = 0, 0, 0.0
    for bucket, more, of_them, usually in reversed(recent):
        if bucket <= since:
            break
        n, k, usual = n + more, k + of_them, usual + usually
        gain = _gain(n, k, usual)
        if (k >= usual) is rises and gain > best:
            best, found = gain, (bucket, (n - k, k), (n - usual, usual))
    return found


def _gain(rows: int, flagged: int, expected: float) -> float:
    """log likelihood of flagged rows at their own rate, over that at the expected one."""
    parts = ((flagged, expected), (rows - flagged, rows - expected))
    return sum(seen * math.log(seen / max(usual, _EXPECTED_MIN)) for seen, usual in parts if seen)
