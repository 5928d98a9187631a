"""Whether evidence supports a claim, by a head over the embeddings of both texts. Blocking."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from processors.evaluate.graphs import F32, Model, run_support
from processors.evaluate.scores import TextScores
from processors.evaluate.support_features import FEATURE_NAMES, support_features


@dataclass(frozen=True, slots=True)
class SupportPair:
    """A claim and a piece of evidence; for a ``two_texts`` task with the scores (embeddings) of
    both texts."""

    claim: str
    evidence: str
    claim_scores: TextScores | None = None
    evidence_scores: TextScores | None = None


def score_support(model: Model, pairs: Sequence[SupportPair]) -> list[float | None]:
    """Features and one run of the head, row by row if that fails. Blocking."""
    claims: list[F32] = []
    evidence: list[F32] = []
    usable: list[int] = []
    for index, pair in enumerate(pairs):
        left, right = _embedding(pair.claim_scores), _embedding(pair.evidence_scores)
        if left is not None and right is not None:
            claims.append(left)
            evidence.append(right)
            usable.append(index)
    found: list[float | None] = [None] * len(pairs)
    if not usable:
        return found
    features = np.empty((len(usable), len(FEATURE_NAMES)), np.float32)
    for row, index in enumerate(usable):
        features[row] = support_features(pairs[index].claim, pairs[index].evidence)
    left, right = np.stack(claims), np.stack(evidence)
    scores = _run_support(model, left, right, features)
    for row, index in enumerate(usable):
        score = scores[row]
        if not 0 <= score <= 1:
            one = slice(row, row + 1)
            score = _run_support(model, left[one], right[one], features[one])[0]
        found[index] = float(score) if 0 <= score <= 1 else None
    return found


def _embedding(scores: TextScores | None) -> F32 | None:
    return None if scores is None else scores.embedding


def _run_support(model: Model, claims: F32, evidence: F32, features: F32) -> F32:
    """The head's scores; NaN for every row when the run fails."""
    try:
        return run_support(model, claims, evidence, features)
    # The edge of native code: whatever it raises becomes the state of these pairs.
    except Exception:
        return np.full(len(claims), np.nan, np.float32)
