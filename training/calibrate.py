"""Calibration (Platt), and thresholds that hold with confidence on harmless rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import beta
from sklearn.linear_model import LogisticRegression

F64 = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.int64]

CONFIDENCE = 0.95
WARN_RATE, PAGE_RATE = 0.02, 0.001  # of harmless rows, upper limits


def platt(logits: F64, labels: Labels) -> tuple[float, float]:
    """Slope and offset so that sigmoid(slope * logit + offset) is P(label 1) on these rows."""
    fit = LogisticRegression(C=1e4).fit(logits[:, None], labels)
    return float(fit.coef_[0, 0]), float(fit.intercept_[0])


def upper_limit(hits: int, rows: int) -> float:
    """Upper one-sided 95% limit of a rate (Clopper and Pearson 1934)."""
    return 1.0 if hits >= rows else float(beta.ppf(CONFIDENCE, hits + 1, rows - hits))


def interval(hits: int, rows: int) -> tuple[float, float]:
    """Two-sided 95% interval of a rate (Clopper and Pearson 1934)."""
    if not rows:
        return 0.0, 1.0
    tail = (1 - CONFIDENCE) / 2
    low = 0.0 if hits == 0 else float(beta.ppf(tail, hits, rows - hits + 1))
    high = 1.0 if hits == rows else float(beta.ppf(1 - tail, hits + 1, rows - hits))
    return low, high


def allowed(rows: int, rate: float) -> int:
    """Most false positives whose upper limit stays within ``rate``; -1 if not even none does."""
    hits = -1
    while upper_limit(hits + 1, rows) <= rate:
        hits += 1
    return hits


def threshold(harmless: F64, rate: float) -> float:
    """Lowest threshold (4 decimals) whose false-positive rate, at its upper limit, is ``rate``."""
    hits = allowed(len(harmless), rate)
    if hits < 0:
        raise ValueError(f"{len(harmless)} harmless rows cannot show a rate of {rate}")
    ordered = np.sort(harmless)[::-1]
    return min(0.9999, math.floor(float(ordered[hits]) * 1e4 + 1) / 1e4)


def reliability(scores: F64, labels: Labels, bins: int = 10) -> list[tuple[float, float, int]]:
    """Mean score, share of label 1 and rows of each tenth of [0, 1] that has any."""
    place = np.minimum((scores * bins).astype(int), bins - 1)
    return [
        (
            float(scores[place == b].mean()),
            float(labels[place == b].mean()),
            int((place == b).sum()),
        )
        for b in range(bins)
        if (place == b).any()
    ]


def auroc_interval(scores: F64, labels: Labels, auroc: float) -> tuple[float, float]:
    """95% interval of an AUROC by its standard error (Hanley and McNeil 1982)."""
    positives, negatives = int(labels.sum()), int((1 - labels).sum())
    q1, q2 = auroc / (2 - auroc), 2 * auroc**2 / (1 + auroc)
    spread = auroc * (1 - auroc)
    spread += (positives - 1) * (q1 - auroc**2) + (negatives - 1) * (q2 - auroc**2)
    error = 1.96 * math.sqrt(max(0.0, spread) / (positives * negatives))
    return max(0.0, auroc - error), min(1.0, auroc + error)
