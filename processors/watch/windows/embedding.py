"""The detector of prompt embeddings over sealed hours. Blocking, batched.

As :mod:`processors.watch.windows.detecting` for counts: windows, baselines and memories are read
in a query each, every detector is stepped through its hours in order, then verdicts and memories
are inserted. An hour counts once and in order, so whoever computes it again changes nothing. It
counts once the windows are sealed up to its end: what comes later is in the windows, and in the
baselines made of them, but in no detector.

A drift is explained by what makes it: of the calls of the hour the users, models, prompts and
releases that lie farthest along the direction in which prompts moved, and calls to look at.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from clickhouse_connect.driver.client import Client

from processors.watch.drift.baseline import Kind
from processors.watch.drift.embedding_verdicts import (
    MEANS,
    EmbeddingVerdict,
    decide_embedding,
)
from processors.watch.drift.embeddings import (
    NEVER,
    VARIANCE_FLOOR,
    VERSION,
    EmbeddingBaseline,
    EmbeddingDetector,
    EmbeddingState,
    Moments,
    p_values,
)
from processors.watch.drift.series import Floats
from processors.watch.drift.verdict import DriftState
from processors.watch.drift.words import shift_text
from processors.watch.windows.detecting import insert_drift, insert_memories
from processors.watch.windows.explaining import Drifting, name_new
from schemas.streams import PROMPTS
from sql.drift import RELATED, asked, utc
from sql.embeddings import (
    HOUR_S,
    Rows,
    farthest_along,
    fitted_of,
    hours_of_all,
    hours_with_windows,
    last_bucket,
    memories_of,
    shares_of_shift,
)

EMBEDDING = "embedding"
GROUPS_NAMED = 3
SAMPLES = 3
Key = tuple[str, str]
"""Tenant, stream."""


@dataclass(frozen=True, slots=True)
class FittedEmbedding:
    """A baseline as stored."""

    kind: Kind
    name: str
    version: int
    log_threshold: float
    baseline: EmbeddingBaseline

    @property
    def key(self) -> str:
        """What a memory was gathered against: a fixed baseline's next version starts anew."""
        return f"{self.name}/{self.version}" if self.kind is Kind.FIXED else self.name


def judge_hours(client: Client, from_s: int, until_s: int, now_s: int, began_ns: int) -> None:
    """Step the detectors through the hours that end in (from, until], s since 1970.

    ``began_ns``: a time before any of this was read. Raises clickhouse-connect's errors; then it is
    to be called again with the same times.
    """
    first, end = from_s // HOUR_S * HOUR_S, until_s // HOUR_S * HOUR_S
    for hour in hours_with_windows(client, first, end) if first < end else ():
        _judge(client, hours_of_all(client, hour * HOUR_S, (hour + 1) * HOUR_S), now_s, began_ns)


def _judge(client: Client, found: Rows, now_s: int, began_ns: int) -> None:
    """Step the detectors through an hour of all streams: 2,000 of 64 dimensions are 12 MB."""
    streams = sorted({str(row[1]) for row in found})
    fitted = _fitted(client, streams)
    if not fitted:
        return
    memories = _memories(client, streams)
    changed: dict[Key, tuple[str, EmbeddingState]] = {}
    rows: list[dict[str, Any]] = []
    drifting: list[tuple[dict[str, Any], FittedEmbedding, EmbeddingState]] = []
    for tenant, stream, hour, n, *sums in found:
        key = (tenant, stream)
        if key not in fitted:
            continue
        one = fitted[key]
        baseline, state = memories.get(key, (one.key, EmbeddingState()))
        state = state if baseline == one.key else state.restarted()
        detector = EmbeddingDetector(one.baseline, one.log_threshold)
        current = Moments.of_sums(n, *sums)
        state, counted = detector.step(state, hour, current, now_s // HOUR_S)
        if not counted:
            continue
        memories[key] = changed[key] = (one.key, state)
        row = _row(key, one, state, current, decide_embedding(state, one.baseline, hour))
        row["revision"] = began_ns
        rows.append(row)
        if row["state"] == DriftState.DRIFT:
            drifting.append((row, one, state))
    _explain(client, drifting)
    insert_drift(client, rows)
    insert_memories(
        client,
        [
            {
                "tenant": tenant,
                "stream_id": stream,
                "detector": EMBEDDING,
                "detector_version": str(VERSION),
                "revision": last_bucket(state.hour),
                "baseline": baseline,
                "memory": state.dumps(),
            }
            for (tenant, stream), (baseline, state) in changed.items()
        ],
    )


def _row(
    key: Key,
    one: FittedEmbedding,
    state: EmbeddingState,
    current: Moments,
    verdict: EmbeddingVerdict,
) -> dict[str, Any]:
    bucket, effect = utc(last_bucket(state.hour)), verdict.effect
    means, spread = p_values(one.baseline, current)
    return {
        "tenant": key[0],
        "stream_id": key[1],
        "detector": EMBEDDING,
        "detector_version": str(VERSION),
        "bucket": bucket,
        "day": bucket.date(),
        "state": str(verdict.state),
        "severity": str(verdict.severity),
        "baseline": one.name,
        "baseline_version": one.version,
        "n": state.seen.rows if state.seen else current.rows,
        "baseline_n": one.baseline.moments.rows,
        "evidence": (state.log_evidence - one.log_threshold) / math.log(10.0),
        "p_value": None,
        "effect": effect.value if effect else None,
        "effect_low": effect.low if effect else None,
        "effect_high": effect.high if effect else None,
        "statistics": {"means_p": means, "spread_p": spread},
        "explanation": {"moved": verdict.moved} if verdict.moved else {},
        "explained": shift_text(verdict, state),
        "since": utc(max(0, state.since) * HOUR_S),
        "fired_at": utc(0 if state.fired_at == NEVER else last_bucket(state.fired_at)),
    }


def _fitted(client: Client, streams: Sequence[str]) -> dict[Key, FittedEmbedding]:
    found = {}
    for row in fitted_of(client, streams) if streams else ():
        tenant, stream, kind, name, version, n, hours, threshold, phi, *sums, law = row
        moments = Moments.of_sums(n, *sums)
        scale, freedom = (law[0], law[1]), (law[2], law[3])
        baseline = EmbeddingBaseline(moments, scale, freedom, hours, phi)
        found[tenant, stream] = FittedEmbedding(Kind(kind), name, version, threshold, baseline)
    return found


def _memories(client: Client, streams: Sequence[str]) -> dict[Key, tuple[str, EmbeddingState]]:
    found = {}
    for tenant, stream, baseline, memory in memories_of(client, str(VERSION), streams):
        try:
            state = EmbeddingState.loads(memory)
        except ValueError:
            state = EmbeddingState()  # one that cannot be read must not hold all others
        found[tenant, stream] = (baseline, state)
    return found


def _explain(
    client: Client, drifting: Sequence[tuple[dict[str, Any], FittedEmbedding, EmbeddingState]]
) -> None:
    """Add what is new, and where the means moved who makes most of it and calls to look at.

    A spread has no direction along which a call could lie.
    """
    (metric,) = PROMPTS.metrics
    name_new(client, [Drifting(row, PROMPTS.name, metric.name, ()) for row, *_ in drifting])
    newest = {
        row["stream_id"]: (row, one, state)
        for row, one, state in drifting
        if row["explanation"]["moved"] == MEANS
    }
    if not newest:
        return
    labels = {
        stream: (labels, version)
        for stream, _, labels, _, version, *_ in asked(client, RELATED, {"streams": sorted(newest)})
    }
    for stream, (row, one, state) in newest.items():
        said, encoder = labels[stream]
        middle, direction = _direction(one.baseline, state)
        hour_s = state.hour * HOUR_S
        given: dict[str, object] = {
            "tenant": row["tenant"], "encoder": encoder, "service": said["service_name"],
            "environment": said["environment"], "model": said.get("model", ""),
            "from": hour_s, "to": hour_s + HOUR_S, "middle": middle.tolist(),
            "direction": direction.tolist(), "most": GROUPS_NAMED,
        }  # fmt: skip
        row["explanation"]["groups"] = [
            {"dimension": dimension, "label": label, "n": n, "share": share}
            for dimension, label, n, share in shares_of_shift(client, given)
        ]
        row["explanation"]["samples"] = [
            {"trace_id": trace, "span_id": span}
            for trace, span in farthest_along(client, {**given, "most": SAMPLES})
        ]


def _direction(baseline: EmbeddingBaseline, state: EmbeddingState) -> tuple[Floats, Floats]:
    """Where prompts usually lie [D], and the way they moved [D], in units of their variance.

    That is the T-squared's own: a call's part is its term of the sum.
    """
    usual, seen = baseline.moments, state.seen or baseline.moments
    middle = usual.sum1 / usual.rows
    variance = np.maximum(usual.sum2 / usual.rows - middle**2, 0.0)
    floor = max(VARIANCE_FLOOR * float(variance.max(initial=0.0)), 1e-12)
    return middle, (seen.sum1 / seen.rows - middle) / np.maximum(variance, floor)
