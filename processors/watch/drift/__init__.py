"""The mathematics of drift: pure functions over counts, no input or output, numpy only.

A stream is counted in buckets of 5 minutes (indices since 1970) by fixed bins; a rate is the two
bins (not flagged, flagged). In the order of a stream's life:

1. ``Series.of(buckets, counts)`` or ``Series.of_rate(buckets, rows, flagged)``: a history.
2. ``fit_baseline(series, kind, excluded)``: what is usual, and how clumped rows come.
3. ``replayed_threshold(series, detector, target_days, streams, seed)``: how much evidence alarms.
4. ``RateDetector`` or ``HistogramDetector`` ``.step(state, bucket, counts, now)``: a new state and
   the evidence, for each sealed bucket; ``State.dumps`` and ``loads`` carry it over a restart.
   ``EmbeddingDetector.step(state, hour, moments, now)`` is the same for embeddings.
5. ``decide(evidence, baseline, now, policy)``: the verdict; ``release_change(before, after)``: a
   release against its predecessor.
6. ``compare(reference, current, positions, phi)``, the intervals of ``effects`` and
   ``group_contributions``: what a report on merged windows says.
7. ``replay`` and ``calibrate``: the same detector on the past. ``picture.picture`` draws a replay;
   it needs the optional extra ``pictures``, so it is imported by itself.

What cannot be said is a state (``insufficient_data``, ``late``, ``silent``, ..), never an exception
or a division by zero; ``ValueError`` is for callers that pass what are no counts. Every formula
names its source where it stands; ``docs/drift.md`` explains them.
"""

from processors.watch.drift.backtest import Calibration, Replay, calibrate, replay
from processors.watch.drift.baseline import Baseline, BaselineState, Kind, fit_baseline
from processors.watch.drift.detectors import (
    Counted,
    Detector,
    Direction,
    Evidence,
    HistogramDetector,
    RateDetector,
    State,
)
from processors.watch.drift.distances import Comparison, Measure, ReportState, compare
from processors.watch.drift.effects import (
    Contribution,
    Interval,
    bin_contributions,
    group_contributions,
    mean_difference,
    psi_interval,
    rate_difference,
    rate_ratio,
)
from processors.watch.drift.embeddings import (
    EmbeddingBaseline,
    EmbeddingDetector,
    EmbeddingState,
    Moments,
    fit_embedding_baseline,
)
from processors.watch.drift.series import Series, rate_counts
from processors.watch.drift.thresholds import Threshold, guaranteed_threshold, replayed_threshold
from processors.watch.drift.verdict import (
    DriftState,
    Policy,
    ReleaseChange,
    Severity,
    Verdict,
    decide,
    release_change,
)

__all__ = [
    "Baseline",
    "BaselineState",
    "Calibration",
    "Comparison",
    "Contribution",
    "Counted",
    "Detector",
    "Direction",
    "DriftState",
    "EmbeddingBaseline",
    "EmbeddingDetector",
    "EmbeddingState",
    "Evidence",
    "HistogramDetector",
    "Interval",
    "Kind",
    "Measure",
    "Moments",
    "Policy",
    "RateDetector",
    "ReleaseChange",
    "Replay",
    "ReportState",
    "Series",
    "Severity",
    "State",
    "Threshold",
    "Verdict",
    "bin_contributions",
    "calibrate",
    "compare",
    "decide",
    "fit_baseline",
    "fit_embedding_baseline",
    "group_contributions",
    "guaranteed_threshold",
    "mean_difference",
    "psi_interval",
    "rate_counts",
    "rate_difference",
    "rate_ratio",
    "release_change",
    "replay",
    "replayed_threshold",
]
