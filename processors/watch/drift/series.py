"""A stream's history: counts by 5-minute bucket, sorted, each bucket once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

BUCKET_S = 300
BUCKETS_PER_HOUR = 12
BUCKETS_PER_DAY = 288
BUCKETS_PER_WEEK = 7 * BUCKETS_PER_DAY
COUNT_MAX = 2**53
"""Larger counts are no counts of rows: they are a sum that overflowed."""


@dataclass(frozen=True, slots=True)
class Series:
    """Counts of one stream.

    ``buckets``: int64[T], indices of 5 minutes since 1970, strictly rising; a bucket without rows
    is left out. ``counts``: int64[T, B], rows of each bucket by bin. A rate is a histogram of two
    bins: rows not flagged, rows flagged.
    """

    buckets: Ints
    counts: Ints

    @classmethod
    def of(cls, buckets: npt.ArrayLike, counts: npt.ArrayLike) -> "Series":
        """A series of histograms [T, B]; see :meth:`of_rate` for rates.

        Rows may come in any order; of a bucket given several times (a window recomputed) the last
        one stands; buckets without rows are dropped. Raises ``ValueError`` for shapes that do not
        fit and for counts that are negative, fractional, NaN or absurdly large.
        """
        index, table = whole_numbers(buckets), whole_numbers(counts)
        if index.ndim != 1 or table.ndim != 2 or len(index) != len(table):
            raise ValueError("buckets must be [T] and counts [T, B]")
        if table.shape[1] < 2:
            raise ValueError("counts need at least two bins")
        if (table < 0).any():
            raise ValueError("negative count")
        # The last of equal buckets: unique() of the reversed array keeps each one's first.
        kept, places = np.unique(index[::-1], return_index=True)
        table = table[::-1][places]
        filled = table.sum(axis=1) > 0
        return cls(kept[filled], table[filled])

    @classmethod
    def of_rate(
        cls, buckets: npt.ArrayLike, rows: npt.ArrayLike, flagged: npt.ArrayLike
    ) -> "Series":
        """A series of a rate: ``flagged`` of ``rows``, each [T]. Raises like :meth:`of`."""
        n, k = whole_numbers(rows), whole_numbers(flagged)
        return cls.of(buckets, np.stack([n - k, k], axis=-1))

    def __len__(self) -> int:
        return len(self.buckets)

    @property
    def rows(self) -> Ints:
        """int64[T]: rows of each bucket."""
        return np.asarray(self.counts.sum(axis=1))

    def between(self, first: int, end: int) -> "Series":
        """The buckets from ``first`` up to, not including, ``end``."""
        low, high = np.searchsorted(self.buckets, [first, end])
        return Series(self.buckets[low:high], self.counts[low:high])

    def without(self, ranges: Iterable[tuple[int, int]]) -> "Series":
        """Less the ranges [first, end): alarms, silences, canaries."""
        keep = np.ones(len(self.buckets), bool)
        for first, end in ranges:
            keep &= (self.buckets < first) | (self.buckets >= end)
        return Series(self.buckets[keep], self.counts[keep])

    def total(self) -> Ints:
        """int64[B]: counts of the whole series, one merged window."""
        return np.asarray(self.counts.sum(axis=0))


def whole_numbers(values: npt.ArrayLike) -> Ints:
    """As int64. Raises ``ValueError`` for what is no whole number: NaN, infinity, a fraction."""
    given = np.asarray(values)
    if given.dtype.kind in "iub":
        return given.astype(np.int64)
    if given.dtype.kind != "f":
        if given.size == 0:
            return given.astype(np.int64)
        raise ValueError(f"counts must be numbers, not {given.dtype}")
    if not np.isfinite(given).all() or (given != np.floor(given)).any():
        raise ValueError("counts must be whole numbers")
    if (np.abs(given) > COUNT_MAX).any():
        raise ValueError("count too large")
    return given.astype(np.int64)


def rate_counts(rows: int, flagged: int) -> tuple[int, int]:
    """A bucket of a rate as the two bins that a detector's ``step`` takes.

    Raises ``ValueError`` if more are flagged than there are.
    """
    if not 0 <= flagged <= rows:
        raise ValueError(f"{flagged} flagged of {rows}")
    return rows - flagged, flagged


def usable_counts(counts: Sequence[int] | Ints, bins: int) -> bool:
    """Whether counts of one bucket can be counted: so many bins, each a number not below 0."""
    if len(counts) != bins:
        return False
    return all(0 <= count <= COUNT_MAX for count in counts)
