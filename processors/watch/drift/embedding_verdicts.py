"""Embeddings: how far the prompts moved, and whether that is a drift that somebody should see.

The effect is a distance in standard deviations of the baseline, the root of its mean square over
dimensions: 0.1 is about what a tenth of the prompts make that become quite other ones. It is told
of the means or of the second moments, whichever moved further.
"""

import math
from dataclasses import dataclass

from processors.watch.drift.effects import Z95, Interval
from processors.watch.drift.embeddings import (
    NEVER,
    SILENCE_HOURS,
    EmbeddingBaseline,
    EmbeddingState,
    Moments,
    statistics,
)
from processors.watch.drift.verdict import DriftState, Severity

MEANS, SPREAD = "means", "spread"
"""What moved: where prompts lie on average, or how widely and in what shape they spread."""


@dataclass(frozen=True, slots=True)
class EmbeddingPolicy:
    """Floors of the effect, and after how many hours a change is a ticket only."""

    effect: float = 0.1
    page_effect: float = 0.3
    slow_hours: int = 6


@dataclass(frozen=True, slots=True)
class EmbeddingVerdict:
    """``effect`` in standard deviations; ``moved`` says of what, ``means`` or ``spread``."""

    state: DriftState
    severity: Severity = Severity.NONE
    effect: Interval | None = None
    moved: str = ""


def embedding_effect(baseline: EmbeddingBaseline, current: Moments) -> tuple[Interval, str] | None:
    """How far moments are from the baseline, with a 95% interval, and what moved.

    A statistic over its scale is about non-central chi-squared: its mean is freedom + lambda, its
    variance 2 (freedom + 2 lambda), and lambda is the squared distance over the standard error of
    a difference. None where nothing can be compared.
    """
    if not baseline.moments.rows or not current.rows:
        return None
    unit = 1.0 / baseline.moments.rows + 1.0 / current.rows
    found = []
    for name, value, scale, freedom in zip(
        (MEANS, SPREAD), statistics(baseline.moments, current), baseline.scale,
        baseline.freedom, strict=True,
    ):  # fmt: skip
        shift = value / scale - freedom
        width = Z95 * math.sqrt(2.0 * (freedom + 2.0 * max(0.0, shift)))
        to_distance = scale * unit / max(1, len(current.sum1))
        low, middle, high = (
            math.sqrt(max(0.0, edge) * to_distance)
            for edge in (shift - width, shift, shift + width)
        )
        found.append((Interval(middle, low, high), name))
    return max(found, key=lambda one: one[0].value)


def decide_embedding(
    state: EmbeddingState,
    baseline: EmbeddingBaseline,
    now_hour: int,
    policy: EmbeddingPolicy | None = None,
) -> EmbeddingVerdict:
    """The verdict after an hour, as :func:`~.verdict.decide` has it for counts."""
    policy = policy or EmbeddingPolicy()
    if not baseline.ready:
        return EmbeddingVerdict(DriftState.NO_BASELINE)
    if state.hour == NEVER or now_hour - state.hour > SILENCE_HOURS:
        return EmbeddingVerdict(DriftState.SILENT)
    if state.fired_at == NEVER:
        return EmbeddingVerdict(DriftState.STEADY)
    told = embedding_effect(baseline, state.seen) if state.seen else None
    if told is None:
        return EmbeddingVerdict(DriftState.INSUFFICIENT_DATA)
    effect, moved = told
    if effect.value < policy.effect:
        return EmbeddingVerdict(DriftState.SMALL, Severity.NONE, effect, moved)
    slow = state.fired_at - state.since > policy.slow_hours
    page = effect.value >= policy.page_effect and not slow
    severity = Severity.PAGE if page else Severity.TICKET
    return EmbeddingVerdict(DriftState.DRIFT, severity, effect, moved)
