"""A verdict in a sentence, and what moved, for people. No content, only figures."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from processors.watch.drift.detectors import Evidence
from processors.watch.drift.effects import Interval, bin_contributions
from processors.watch.drift.embedding_verdicts import SPREAD, EmbeddingVerdict
from processors.watch.drift.embeddings import EmbeddingState
from processors.watch.drift.series import BUCKET_S, BUCKETS_PER_HOUR, Ints
from processors.watch.drift.verdict import DriftState, Verdict

BINS_NAMED = 3
_REASONS = {
    DriftState.SMALL: ", too small to matter",
    DriftState.INSUFFICIENT_DATA: ", too few values to say how much",
}


def verdict_text(verdict: Verdict, evidence: Evidence, bins: Sequence[str]) -> str:
    """Of a detector that fired; empty while it does not. ``bins``: what each bin holds."""
    if verdict.state not in (DriftState.DRIFT, *_REASONS) or not evidence.observed:
        return ""
    rows = sum(evidence.observed)
    since = _time(evidence.since)
    usual = np.asarray(evidence.expected)
    if len(bins) == 2:
        now, before = evidence.observed[1] / rows, evidence.expected[1] / max(usual.sum(), 1e-9)
        size = interval_text(verdict.effect, "times")
        what = f"{_share(now)} {bins[1]} instead of the usual {_share(before)}{size}"
    else:
        reference = np.rint(usual).astype(np.int64)
        moved = moved_bins(reference, np.asarray(evidence.observed, np.int64), bins)
        named = ", ".join(f"{name} {_share(p)} to {_share(q)}" for name, p, q in moved)
        size = f"PSI {verdict.effect.value:.3g}" if verdict.effect else "shape changed"
        what = f"{size}{interval_text(verdict.effect, '')}; most moved: {named}"
    return f"{what}; {rows:,} values since {since}{_REASONS.get(verdict.state, '')}"


def shift_text(verdict: EmbeddingVerdict, state: EmbeddingState) -> str:
    """Of a detector of embeddings that fired; empty while it does not."""
    if verdict.effect is None or state.seen is None:
        return ""
    what = "spread otherwise" if verdict.moved == SPREAD else "moved"
    size = f"{verdict.effect.value:.2g} standard deviations{interval_text(verdict.effect, '')}"
    since = _time(state.since * BUCKETS_PER_HOUR)
    said = f"prompts {what} by {size}; {state.seen.rows:,} prompts since {since}"
    return said + _REASONS.get(verdict.state, "")


def moved_bins(
    reference: Ints, current: Ints, bins: Sequence[str], most: int = BINS_NAMED
) -> list[tuple[str, float, float]]:
    """The bins that add most to PSI, largest first: name, share before, share now."""
    n, m = max(1, int(reference.sum())), max(1, int(current.sum()))
    parts = bin_contributions(reference, current)
    order = [i for i in np.argsort(-parts, kind="stable").tolist() if parts[i] > 0][:most]
    return [(bins[i], float(reference[i]) / n, float(current[i]) / m) for i in order]


def interval_text(effect: Interval | None, unit: str) -> str:
    """Its ends in brackets; empty without one."""
    if effect is None:
        return ""
    return f" ({effect.low:.3g} to {effect.high:.3g}{' ' + unit if unit else ''})"


def _share(value: float) -> str:
    return f"{100.0 * value:.3g}%"


def _time(bucket: int) -> str:
    return datetime.fromtimestamp(bucket * BUCKET_S, UTC).strftime("%Y-%m-%d %H:%M UTC")
