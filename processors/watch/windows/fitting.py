"""Baselines of streams, computed again from their own past: daily, those that wait longest first.

A fixed baseline that people created goes before what a stream's past says: its frozen counts are
the shares, its windows tell how clumped rows come. Else it is the configured kind, ``seasonal`` or
``previous``. Stretches that were a drift, or silenced, are left out, so that a baseline does not
learn them.
The threshold is replayed weekly: it takes longer than all the rest, and hardly changes.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
from clickhouse_connect.driver.client import Client

from processors.watch.drift import (
    Baseline,
    BaselineState,
    Kind,
    Series,
    fit_baseline,
    guaranteed_threshold,
    replayed_threshold,
)
from processors.watch.drift.baseline import SMOOTHING
from processors.watch.drift.embedding_backtest import embedding_threshold
from processors.watch.drift.thresholds import starts_per_day
from processors.watch.windows.detecting import INSERT_SETTINGS, RATE, detector_on, detectors_of
from processors.watch.windows.embedding import EMBEDDING
from processors.watch.windows.fitting_embeddings import (
    embedding_past,
    frozen_baseline,
    hourly,
)
from processors.watch.windows.silenced import silenced_buckets, stream_labels
from schemas.config import WatchConfig
from schemas.streams import BUCKET_S, METRICS, Metric
from sql.drift import ALARMED, BOTH, DUE, EVERY_HOUR, FIXED, History, asked, histories, utc
from sql.embeddings import HOUR_S
from sql.silences import past_silences
from sql.tables import table

DAY_S = 86_400
HISTORY_S = {Kind.SEASONAL: 28 * DAY_S, Kind.PREVIOUS: 7 * DAY_S}
READY_AGAIN_S = DAY_S
WAITING_AGAIN_S = DAY_S // 4
"""A stream with too little data is looked at more often: it may have enough soon."""
REPLAY_AGAIN_S = 7 * DAY_S
MOST_AT_ONCE = 40
"""Streams of one call: 26 MB of windows, and less than half a minute."""
_STATES = {True: BaselineState.READY, False: BaselineState.INSUFFICIENT_DATA}
PATHS = 5
"""Months replayed for a threshold; 20, as in the benchmark, take four times as long."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """A threshold in use: of a detector, against a baseline."""

    detector: str
    name: str
    version: int
    log_threshold: float
    false_alarms: float | None
    replayed_s: int


@dataclass(frozen=True, slots=True)
class Due:
    """A stream whose baseline is due, as DUE has it. ``detectors``: those of its whole tenant."""

    tenant: str
    stream: str
    family: str
    metric: str
    detectors: int
    thresholds: Sequence[Sequence[Any]]
    evaluator: str
    labels: Mapping[str, str]

    def replayed(self, detector: str, fixed: "Frozen | None", now_s: int) -> Replayed | None:
        """Its last threshold, if that was replayed lately and on such a baseline."""
        for known in (Replayed(*values) for values in self.thresholds):
            if fixed:
                same = (known.name, known.version) == (fixed.name, fixed.version)
            else:
                same = known.name in HISTORY_S
            if known.detector == detector and same and known.replayed_s > now_s - REPLAY_AGAIN_S:
                return known
        return None


@dataclass(frozen=True, slots=True)
class Frozen:
    """A fixed baseline of a stream, as FIXED has it."""

    name: str
    version: int
    source: str
    from_s: int
    to_s: int
    n: int
    flagged: int
    hist: Sequence[int]

    def counts(self, detector: str) -> np.ndarray[Any, Any]:
        """Counts by the detector's bins."""
        counts = [self.n - self.flagged, self.flagged] if detector == RATE else list(self.hist)
        return np.asarray(counts, np.int64)


def series_of(history: History | None, detector: str, metric: Metric) -> Series:
    """A stream's past by the detector's bins; empty without one."""
    if history is None:
        bins = 2 if detector == RATE else len(metric.edges.bins)
        return Series.of(np.zeros(0, np.int64), np.zeros((0, bins), np.int64))
    if detector == RATE:
        return Series.of_rate(history.buckets, history.n, history.flagged)
    return Series.of(history.buckets, history.hist)


def fit_due(client: Client, config: WatchConfig, now_s: int) -> int:
    """Compute the baselines that are due, a bounded number; how many. Raises as queries do."""
    given = {
        "now": now_s, "ready": READY_AGAIN_S, "waiting": WAITING_AGAIN_S, "most": MOST_AT_ONCE,
        "both": BOTH, "known": list(METRICS),
    }  # fmt: skip
    found = [Due(*row) for row in asked(client, DUE, given)]
    due = sorted(found, key=lambda one: one.tenant)
    for tenant, members in groupby(due, key=lambda one: one.tenant):
        _fit_tenant(client, config, tenant, list(members), now_s)
    return len(due)


def _fit_tenant(
    client: Client, config: WatchConfig, tenant: str, due: Sequence[Due], now_s: int
) -> None:
    kind = Kind(config.baseline)
    streams = [one.stream for one in due]
    names = [one.stream for one in due if not METRICS[one.family, one.metric].is_vector]
    oldest_s = now_s - max(HISTORY_S.values())
    given = {"tenant": tenant, "streams": streams, "from": oldest_s}
    frozen = {stream: Frozen(*rest) for stream, *rest in asked(client, FIXED, given)}
    excluded = _excluded(client, due, given, now_s)
    past = histories(client, tenant, names, now_s - HISTORY_S[kind], now_s)
    rows: list[tuple[object, ...]] = []
    for one in due:
        metric = METRICS[one.family, one.metric]
        fixed, history = frozen.get(one.stream), past.get(one.stream)
        if metric.is_vector:
            rows.append(_fit_embedding(client, config, one, fixed, excluded[one.stream], now_s))
            continue
        if fixed:
            span = (fixed.from_s, fixed.to_s)
            history = histories(client, tenant, [fixed.source], *span).get(fixed.source)
        for detector in detectors_of(metric):
            series = series_of(history, detector, metric)
            if fixed:
                baseline = _of_frozen(fit_baseline(series, Kind.FIXED), fixed.counts(detector))
            else:
                series = series.without(excluded[one.stream])
                baseline = fit_baseline(series, kind)
            known = one.replayed(detector, fixed, now_s)
            used = known or _replayed(series, baseline, detector, one, config, now_s)
            named = (fixed.name, fixed.version) if fixed else (str(kind), now_s)
            rows += _rows(one, baseline, replace(used, name=named[0], version=named[1]), now_s)
    columns = table("genai_fitted").columns
    client.insert("genai_fitted", rows, column_names=columns, settings=INSERT_SETTINGS)


def _excluded(
    client: Client, due: Sequence[Due], given: Mapping[str, Any], now_s: int
) -> dict[str, list[tuple[int, int]]]:
    """Ranges of buckets by stream that no baseline learns from: drifts and silences."""
    excluded: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for stream, since, until in asked(client, ALARMED, given):
        excluded[stream].append((since // BUCKET_S, until // BUCKET_S + 1))
    silences = past_silences(client, given["tenant"], given["from"], now_s)
    for one in due:
        said = stream_labels(one.tenant, one.family, one.metric, one.evaluator, one.labels)
        excluded[one.stream] += silenced_buckets(silences, said)
    return excluded


def _fit_embedding(
    client: Client,
    config: WatchConfig,
    due: Due,
    fixed: Frozen | None,
    excluded: Sequence[tuple[int, int]],
    now_s: int,
) -> tuple[object, ...]:
    """The row of ``genai_fitted`` of a stream of embeddings."""
    if fixed:
        past = hourly(client, due.tenant, fixed.source, fixed.from_s, fixed.to_s)
        baseline = frozen_baseline(client, due.tenant, due.stream, past)
    else:
        past = embedding_past(client, due.tenant, due.stream, now_s, excluded)
        baseline = past.fitted()
    known = due.replayed(EMBEDDING, fixed, now_s)
    if known is None:
        found = embedding_threshold(past, baseline, config.false_alarm_days, due.detectors)
        replayed_s = now_s if baseline.ready else 0
        known = Replayed(EMBEDDING, "", 0, found.log_threshold, found.false_alarms, replayed_s)
    kind = Kind.FIXED if fixed else Kind.PREVIOUS
    named = (fixed.name, fixed.version) if fixed else (str(kind), now_s)
    _, sum1, sum2, sum4 = baseline.moments.values()
    first, last = (past.hours[0], past.hours[-1] + 1) if past.hours else (0, 0)
    values: dict[str, object] = {
        **_common(due, replace(known, name=named[0], version=named[1]), now_s),
        "slot": EVERY_HOUR,
        "kind": str(kind),
        "state": str(_STATES[baseline.ready]),
        "phi": baseline.phi,
        "n": baseline.moments.rows,
        "windows": baseline.hours,
        "from_time": utc(first * HOUR_S),
        "to_time": utc(last * HOUR_S),
        "shares": [],
        "error": 0.0,
        "vector_sums": sum1,
        "vector_squares": sum2,
        "vector_fourths": sum4,
        "vector_law": [*baseline.scale, *baseline.freedom],
    }
    return table("genai_fitted").row(values)


def _replayed(
    series: Series, baseline: Baseline, detector: str, due: Due, config: WatchConfig, now_s: int
) -> Replayed:
    """A threshold for the tenant's target; without a baseline there is nothing to replay."""
    days, streams = config.false_alarm_days, due.detectors
    if baseline.state is not BaselineState.READY:
        height = guaranteed_threshold(days, streams, starts_per_day(series, baseline))
        return Replayed(detector, "", 0, height, None, 0)
    made = detector_on(detector, baseline)
    found = replayed_threshold(series, made, days, streams, paths=PATHS)
    return Replayed(detector, "", 0, found.log_threshold, found.false_alarms, now_s)


def _of_frozen(baseline: Baseline, counts: np.ndarray[Any, Any]) -> Baseline:
    """With the counts as they were frozen: late rows may have changed the windows since."""
    rows = int(counts.sum())
    if len(counts) != baseline.bins or rows == 0:
        return replace(baseline, state=BaselineState.INSUFFICIENT_DATA)
    shares = (counts + SMOOTHING) / (rows + SMOOTHING * len(counts))
    return replace(baseline, shares=shares[None], rows=rows)


def _common(due: Due, threshold: Replayed, now_s: int) -> dict[str, object]:
    """What every row of ``genai_fitted`` says."""
    return {
        "tenant": due.tenant,
        "stream_id": due.stream,
        "detector": threshold.detector,
        "revision": now_s,
        "name": threshold.name,
        "version": threshold.version,
        "log_threshold": threshold.log_threshold,
        "false_alarms": threshold.false_alarms,
        "replayed_at": utc(threshold.replayed_s),
    }


def _rows(
    due: Due, baseline: Baseline, threshold: Replayed, now_s: int
) -> list[tuple[object, ...]]:
    """Rows of ``genai_fitted``: one where every hour is alike, else one an hour."""
    alike = bool((baseline.shares == baseline.shares[0]).all()) and np.ptp(baseline.error) == 0
    slots = [EVERY_HOUR] if alike else range(len(baseline.shares))
    common: dict[str, object] = {
        **_common(due, threshold, now_s),
        "kind": str(baseline.kind),
        "state": str(baseline.state),
        "phi": baseline.phi,
        "n": baseline.rows,
        "windows": baseline.buckets,
        "from_time": utc(baseline.first * BUCKET_S),
        "to_time": utc((baseline.last + 1) * BUCKET_S),
        "vector_sums": [],
        "vector_squares": [],
        "vector_fourths": [],
        "vector_law": [],
    }
    return [
        table("genai_fitted").row(
            {
                **common,
                "slot": slot,
                "shares": baseline.shares[place].tolist(),
                "error": float(baseline.error[place]),
            }
        )
        for place, slot in enumerate(slots)
    ]
