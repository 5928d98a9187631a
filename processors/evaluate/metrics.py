"""Measures of a binary classifier from scores and labels; None where they are not defined."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


def auroc(scores: F64, labels: Labels) -> float | None:
    """Area under the ROC curve: the chance that a positive outranks a negative, ties half.

    By ranks (Mann and Whitney 1947).
    """
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return None
    _, group, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[group]
    won = float(ranks[labels == 1].sum()) - positives * (positives + 1) / 2
    return won / (positives * negatives)


def average_precision(scores: F64, labels: Labels) -> float | None:
    """Sum over thresholds of precision times the gain in recall, rows of one score together."""
    if not labels.any():
        return None
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(labels[order])
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    precision = hits[ends] / (ends + 1)
    recall = hits[ends] / hits[-1]
    return float(np.sum(precision * np.diff(recall, prepend=0.0)))


@dataclass(frozen=True, slots=True)
class Rates:
    """What flagging ``score >= threshold`` means for these rows."""

    precision: float | None
    recall: float | None
    f1: float | None
    false_positive_rate: float | None


def rates(scores: F64, labels: Labels, threshold: float) -> Rates:
    """Rates at one threshold."""
    flagged = scores >= threshold
    hits = int(labels[flagged].sum())
    positives = int(labels.sum())
    negatives = len(labels) - positives
    missed = positives - hits
    false = int(flagged.sum()) - hits
    return Rates(
        precision=hits / (hits + false) if hits + false else None,
        recall=hits / positives if positives else None,
        f1=2 * hits / (2 * hits + false + missed) if hits + false + missed else None,
        false_positive_rate=false / negatives if negatives else None,
    )


def recall_at_false_positive_rate(scores: F64, labels: Labels, limit: float) -> float | None:
    """The highest recall of any threshold that flags at most this share of the negatives."""
    positives, negatives = scores[labels == 1], np.sort(scores[labels == 0])[::-1]
    if not len(positives) or not len(negatives):
        return None
    allowed = int(limit * len(negatives))
    # Strictly above the first negative that may not be flagged.
    return float((positives > negatives[allowed]).mean()) if allowed < len(negatives) else 1.0


def arrays(scores: Sequence[float], labels: Sequence[int]) -> tuple[F64, Labels]:
    """Scores and labels as the functions above take them."""
    return np.asarray(scores, np.float64), np.asarray(labels, np.int64)
