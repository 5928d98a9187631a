"""Calibration (Platt) and thresholds, both fitted on dev."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

F64 = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.int64]


def platt(logits: F64, labels: Labels) -> tuple[float, float]:
    """Slope and offset so that sigmoid(slope * logit + offset) is P(label 1) on these rows."""
    fit = LogisticRegression(C=1e4).fit(logits[:, None], labels)
    return float(fit.coef_[0, 0]), float(fit.intercept_[0])


def sigmoid(x: F64) -> F64:
    return 1.0 / (1.0 + np.exp(-np.clip(x, -60, 60)))


def _above(score: float) -> float:
    """The threshold printed with 4 decimals that is just above `score`."""
    return min(0.9999, math.floor(score * 1e4 + 1) / 1e4)


def at_false_positive_rate(scores: F64, labels: Labels, rate: float) -> float:
    """Lowest threshold that flags at most `rate` of the negatives."""
    negatives = np.sort(scores[labels == 0])[::-1]
    return _above(float(negatives[math.floor(rate * len(negatives))]))


def at_precision(scores: F64, labels: Labels, precision: float, least: int = 50) -> float:
    """Lowest threshold whose flagged rows (at least `least`) reach `precision`."""
    order = np.argsort(-scores)
    hits = np.cumsum(labels[order]) / np.arange(1, len(order) + 1)
    good = np.flatnonzero(hits[least:] >= precision)
    return math.floor(float(scores[order[least + good[-1] if len(good) else least]]) * 1e4) / 1e4


def at_threshold(scores: F64, labels: Labels, threshold: float) -> dict[str, float]:
    """Precision, recall and false-positive rate of `score >= threshold`; absent where undefined."""
    flagged = scores >= threshold
    positive = labels == 1
    found: dict[str, float] = {}
    if flagged.any() and positive.any():
        found["precision"] = round(float(labels[flagged].mean()), 4)
    if positive.any():
        found["recall"] = round(float(flagged[positive].mean()), 4)
    if (~positive).any():
        found["false_positive_rate"] = round(float(flagged[~positive].mean()), 4)
    return found


def auroc(scores: F64, labels: Labels) -> float | None:
    """Area under the ROC curve; None if only one class is present."""
    if len(set(labels.tolist())) < 2:
        return None
    return round(float(roc_auc_score(labels, scores)), 4)
