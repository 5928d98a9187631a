"""Detectors over sealed windows: what they remember in, verdicts out. Blocking, batched.

For the buckets of one statement, some tenants at a time: windows, baselines and memories of their
streams are read in a query each, every detector is stepped through its windows in order, then
verdicts (``genai_drift``) and memories (``genai_detectors``) are inserted, in that order. A crash
between any two of these leaves the old memories, and the same verdicts are computed again; once a
memory is stored its windows count no more. So whoever computes a bucket, and however often, the
state is the same. A window that is not there, or counts nothing, is no evidence.

A verdict is stored for the first window of an hour, while a detector fires, and once when it stops.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from clickhouse_connect.driver.client import Client

from processors.watch.drift import (
    Baseline,
    BaselineState,
    Counted,
    Detector,
    DriftState,
    Evidence,
    HistogramDetector,
    Kind,
    RateDetector,
    State,
    Verdict,
    decide,
)
from processors.watch.drift.baseline import hours_around
from processors.watch.drift.detectors import NEVER, VERSION
from processors.watch.drift.series import BUCKETS_PER_HOUR, Floats
from processors.watch.drift.words import moved_bins, verdict_text
from processors.watch.windows.explaining import Drifting, explain
from schemas.streams import BUCKET_S, METRICS, Metric
from sql.drift import COUNTS, EVERY_HOUR, FITTED, MEMORIES, SEEN_TENANTS, asked, families_of, utc
from sql.tables import table

TENANTS_AT_ONCE = 10
"""Bounds memory here and in ClickHouse: at most 20,000 streams as configured."""
RATE, HISTOGRAM = "rate", "histogram"
FLAGGED_BINS = ("not flagged", "flagged")
INSERT_SETTINGS = {"async_insert": 0, "distributed_foreground_insert": 1}
Key = tuple[str, str, str]
"""Tenant, stream, detector."""


def detectors_of(metric: Metric) -> tuple[str, ...]:
    """Names of the detectors of a metric's streams."""
    return (RATE,) * metric.is_rate + (HISTOGRAM,) * metric.is_distribution


def bins_of(metric: Metric, detector: str) -> tuple[str, ...]:
    """What the bins of a detector hold, in words."""
    return FLAGGED_BINS if detector == RATE else metric.edges.bins


@dataclass(slots=True)
class Fitted:
    """A baseline as stored: shares and error by slot, of those slots that are needed."""

    revision: int
    kind: Kind
    name: str
    version: int
    state: BaselineState
    phi: float
    rows: int
    windows: int
    log_threshold: float
    slots: dict[int, tuple[Floats, float]]

    @property
    def key(self) -> str:
        """What a memory was gathered against: a fixed baseline's next version starts anew."""
        return f"{self.name}/{self.version}" if self.kind is Kind.FIXED else self.name

    def at(self, bucket: int) -> Baseline:
        """The baseline of one bucket, as :meth:`Baseline.at` has it."""
        if EVERY_HOUR in self.slots:
            shares, error = self.slots[EVERY_HOUR]
        else:
            low, high, weight = (part[0] for part in hours_around(np.array([bucket])))
            (before, low_error), (after, high_error) = self.slots[low], self.slots[high]
            shares = (1.0 - weight) * before + weight * after
            error = max(low_error, high_error)
        return Baseline(
            kind=self.kind, state=self.state, shares=shares[None], error=np.array([error]),
            phi=self.phi, rows=self.rows, buckets=self.windows, first=0, last=0,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Window:
    """A sealed window of a stream, as COUNTS has it; ``at_s`` its start."""

    tenant: str
    stream: str
    family: str
    metric: str
    at_s: int
    n: int
    flagged: int
    hist: Sequence[int]

    def counts(self, detector: str) -> Sequence[int]:
        """Counts by the detector's bins."""
        return (self.n - self.flagged, self.flagged) if detector == RATE else self.hist


@dataclass(slots=True)
class Memory:
    """What a detector goes on from; ``changed`` once it counted a window."""

    baseline: str
    state: State
    changed: bool = False


def judge(client: Client, source: str, buckets: Sequence[int], now_s: int, began_ns: int) -> None:
    """Step all detectors of a table's streams through sealed buckets of one UTC day.

    ``began_ns``: a time before any of this was read. Raises clickhouse-connect's errors; then it
    is to be called again with the same buckets.
    """
    given = {"first": buckets[0], "last": buckets[-1], "families": families_of(source)}
    tenants = [str(tenant) for (tenant,) in asked(client, SEEN_TENANTS, given)]
    for start in range(0, len(tenants), TENANTS_AT_ONCE):
        some = {**given, "tenants": tenants[start : start + TENANTS_AT_ONCE]}
        _judge(client, some, buckets, now_s, began_ns)


def _judge(
    client: Client, given: Mapping[str, object], buckets: Sequence[int], now_s: int, began_ns: int
) -> None:
    """Step the detectors of some tenants."""
    fitted = _fitted(client, given, buckets)
    if not fitted:
        return
    memories = _memories(client, given)
    rows: list[dict[str, object]] = []
    drifting: list[Drifting] = []
    for window in (Window(*row) for row in asked(client, COUNTS, given)):
        metric = METRICS.get((window.family, window.metric))
        for detector in detectors_of(metric) if metric else ():
            key = (window.tenant, window.stream, detector)
            if metric is None or key not in fitted:
                continue
            row = _step(window, detector, metric, fitted[key], memories, now_s)
            if row is None:
                continue
            row["revision"] = began_ns
            rows.append(row)
            if row["state"] == DriftState.DRIFT:
                drifting.append(
                    Drifting(row, window.family, window.metric, bins_of(metric, detector))
                )
    explain(client, drifting)
    insert_drift(client, rows)
    insert_memories(
        client,
        [_remembered(key, memory) for key, memory in memories.items() if memory.changed],
    )


def insert_drift(client: Client, rows: Iterable[dict[str, object]]) -> None:
    """Insert rows of ``genai_drift``, whose explanations are still values."""
    _insert(client, "genai_drift", [{**row, "explanation": _json(row)} for row in rows])


def insert_memories(client: Client, rows: Iterable[dict[str, object]]) -> None:
    """Insert rows of ``genai_detectors``."""
    _insert(client, "genai_detectors", rows)


def _json(row: Mapping[str, object]) -> str:
    said = row["explanation"]
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")) if said else ""


def _step(
    window: Window,
    detector: str,
    metric: Metric,
    fitted: Fitted,
    memories: dict[Key, Memory],
    now_s: int,
) -> dict[str, object] | None:
    """Count a window; a row of ``genai_drift`` where there is something to be said."""
    key = (window.tenant, window.stream, detector)
    memory = memories.get(key) or Memory(fitted.key, State())
    if memory.baseline != fitted.key:
        memory = Memory(fitted.key, memory.state.restarted())
    before, bucket = memory.state, window.at_s // BUCKET_S
    baseline = fitted.at(bucket)
    made = detector_on(detector, baseline, fitted.log_threshold)
    counts = window.counts(detector)
    memory.state, evidence = made.step(before, bucket, counts, now_s // BUCKET_S)
    if evidence.status is not Counted.COUNTED:
        return None
    memory.changed = True
    memories[key] = memory
    new_hour = bucket // BUCKETS_PER_HOUR != before.bucket // BUCKETS_PER_HOUR
    if not new_hour and not evidence.fired and before.fired_at == NEVER:
        return None
    verdict = decide(evidence, baseline, bucket)
    return _row(window, detector, metric, fitted, evidence, verdict)


def detector_on(name: str, baseline: Baseline, log_threshold: float = 0.0) -> Detector:
    """The detector of that name on a baseline."""
    made = RateDetector if name == RATE else HistogramDetector
    return made(baseline, log_threshold)


def _row(
    window: Window,
    detector: str,
    metric: Metric,
    fitted: Fitted,
    evidence: Evidence,
    verdict: Verdict,
) -> dict[str, object]:
    names = bins_of(metric, detector)
    moved: list[tuple[str, float, float]] = []
    if verdict.state is DriftState.DRIFT:
        usual = np.rint(np.asarray(evidence.expected)).astype(np.int64)
        moved = moved_bins(usual, np.asarray(evidence.observed, np.int64), names)
    effect = verdict.effect
    return {
        "tenant": window.tenant,
        "stream_id": window.stream,
        "detector": detector,
        "detector_version": str(VERSION),
        "bucket": utc(window.at_s),
        "day": utc(window.at_s).date(),
        "state": str(verdict.state),
        "severity": str(verdict.severity),
        "baseline": fitted.name,
        "baseline_version": fitted.version,
        "n": sum(evidence.observed) or window.n,
        "baseline_n": fitted.rows,
        "evidence": (evidence.log_evidence - evidence.log_threshold) / math.log(10.0),
        "p_value": None,
        "effect": effect.value if effect else None,
        "effect_low": effect.low if effect else None,
        "effect_high": effect.high if effect else None,
        "statistics": {},
        "explanation": {
            "bins": [{"bin": name, "before": p, "now": q} for name, p, q in moved]
        } if moved else {},
        "explained": verdict_text(verdict, evidence, names),
        "since": utc(max(0, verdict.since) * BUCKET_S),
        "fired_at": utc(max(0, verdict.fired_at) * BUCKET_S),
    }  # fmt: skip


def _fitted(
    client: Client, given: Mapping[str, object], buckets: Sequence[int]
) -> dict[Key, Fitted]:
    """The newest baselines of the streams of the buckets, in the hours that matter."""
    low, high, _ = hours_around(np.array(buckets) // BUCKET_S)
    slots = sorted({EVERY_HOUR, *low.tolist(), *high.tolist()})
    found: dict[Key, Fitted] = {}
    for tenant, stream, detector, slot, revision, kind, *rest in asked(
        client, FITTED, {**given, "slots": slots}
    ):
        name, version, state, shares, error, phi, n, windows, log_threshold = rest
        key = (tenant, stream, detector)
        if key not in found or found[key].revision < revision:
            found[key] = Fitted(
                revision, Kind(kind), name, version, BaselineState(state), phi, n, windows,
                log_threshold, {},
            )  # fmt: skip
        found[key].slots[slot] = (np.asarray(shares, np.float64), error)
    return found


def _memories(client: Client, given: Mapping[str, object]) -> dict[Key, Memory]:
    found = {}
    for tenant, stream, detector, baseline, memory in asked(
        client, MEMORIES, {**given, "detector_version": str(VERSION)}
    ):
        try:
            state = State.loads(memory)
        except ValueError:
            state = State()  # one that cannot be read must not hold the windows of all others
        found[tenant, stream, detector] = Memory(baseline, state)
    return found


def _remembered(key: Key, memory: Memory) -> dict[str, object]:
    tenant, stream, detector = key
    return {
        "tenant": tenant,
        "stream_id": stream,
        "detector": detector,
        "detector_version": str(VERSION),
        "revision": memory.state.bucket * BUCKET_S,
        "baseline": memory.baseline,
        "memory": memory.state.dumps(),
    }


def _insert(client: Client, name: str, values: Iterable[dict[str, object]]) -> None:
    rows = [table(name).row(row) for row in values]
    if rows:
        columns = table(name).columns
        client.insert(name, rows, column_names=columns, settings=INSERT_SETTINGS)
