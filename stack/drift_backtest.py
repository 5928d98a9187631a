"""The detectors of drift on stored windows: when they would have fired, what they can see.

Each stream is compared with the baseline that it would have had at the start: its past of so many
days before, or its fixed one. Baselines are not computed again on the way, as they are when live.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from processors.watch.drift import (
    BaselineState,
    Calibration,
    Kind,
    Replay,
    calibrate,
    fit_baseline,
    replay,
    replayed_threshold,
)
from processors.watch.drift.embedding_backtest import (
    embedding_delays,
    embedding_threshold,
    replay_embeddings,
)
from processors.watch.drift.embeddings import EmbeddingDetector
from processors.watch.drift.series import Series
from processors.watch.windows.detecting import bins_of, detector_on, detectors_of
from processors.watch.windows.embedding import EMBEDDING
from processors.watch.windows.fitting import HISTORY_S, series_of
from processors.watch.windows.fitting_embeddings import HISTORY_S as EMBEDDING_HISTORY_S
from processors.watch.windows.fitting_embeddings import hourly
from schemas.config import WatchConfig
from schemas.streams import BUCKET_S, METRICS, Metric
from sql.drift import CHOSEN, asked, histories, tenant_detectors
from sql.embeddings import HOUR_S

STATISTIC = "statistic of the means over its usual"
AT_ONCE = 40
"""Streams whose windows are read together: memory stays flat."""
Step = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream as CHOSEN has it; ``label`` its labels' values."""

    id: str
    family: str
    metric: str
    evaluator: str
    label: str


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a detector would have said of a stream; ``found`` is None without a baseline."""

    stream: Stream
    detector: str
    bins: Sequence[str]
    found: Replay | None


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What a detector can see of a stream; ``found`` is None without a baseline."""

    stream: Stream
    detector: str
    found: Calibration | None


def chosen_streams(client: Client, tenant: str, chosen: Mapping[str, str]) -> list[Stream]:
    """Streams by id, metric, evaluator and service; an empty text does not choose.

    Raises ``ValueError`` if there is none, and clickhouse-connect's errors.
    """
    found = [Stream(*row) for row in asked(client, CHOSEN, {"tenant": tenant, **chosen})]
    found = [one for one in found if (one.family, one.metric) in METRICS]
    if not found:
        raise ValueError("no such stream: see streamgauge drift streams")
    return found


def replay_streams(
    client: Client,
    tenant: str,
    streams: Sequence[Stream],
    span: tuple[int, int],
    watch: WatchConfig,
    step: Step,
) -> Iterator[Replayed]:
    """Replay [from, to) s since 1970 stream by stream; ``step`` hears of each that is done."""
    kind = Kind(watch.baseline)
    from_s, to_s = span
    detectors = tenant_detectors(client, tenant, to_s)
    for one in _of_vectors(streams):
        whole = hourly(client, tenant, one.id, from_s - EMBEDDING_HISTORY_S, to_s)
        hours = whole.between(0, from_s // HOUR_S)
        usual = hours.fitted()
        told = None
        if usual.ready:
            height = embedding_threshold(hours, usual, watch.false_alarm_days, detectors)
            judged = whole.between(from_s // HOUR_S, to_s // HOUR_S)
            told = replay_embeddings(judged, EmbeddingDetector(usual, height.log_threshold))
        step(1)
        yield Replayed(one, EMBEDDING, (STATISTIC,), told)
    for one, metric, name, series in _series(
        client, tenant, streams, (from_s - HISTORY_S[kind], to_s), step
    ):
        past = series.between(0, from_s // BUCKET_S)
        baseline = fit_baseline(past, kind)
        found = None
        if baseline.state is BaselineState.READY:
            threshold = replayed_threshold(
                past, detector_on(name, baseline), watch.false_alarm_days, detectors
            )
            ready = detector_on(name, baseline, threshold.log_threshold)
            found = replay(series.between(from_s // BUCKET_S, to_s // BUCKET_S), ready)
        yield Replayed(one, name, bins_of(metric, name), found)


def calibrate_streams(
    client: Client,
    tenant: str,
    streams: Sequence[Stream],
    to_s: int,
    watch: WatchConfig,
    step: Step,
) -> Iterator[Calibrated]:
    """Calibrate on the windows before ``to_s``; ``step`` hears of each stream that is done."""
    kind = Kind(watch.baseline)
    detectors = tenant_detectors(client, tenant, to_s)
    for one in _of_vectors(streams):
        hours = hourly(client, tenant, one.id, to_s - EMBEDDING_HISTORY_S, to_s)
        usual = hours.fitted()
        told = None
        if usual.ready:
            height = embedding_threshold(hours, usual, watch.false_alarm_days, detectors)
            delays = embedding_delays(hours, usual, height.log_threshold)
            told = Calibration(height, delays)
        step(1)
        yield Calibrated(one, EMBEDDING, told)
    span = to_s - HISTORY_S[kind], to_s
    for one, _, name, series in _series(client, tenant, streams, span, step):
        baseline = fit_baseline(series, kind)
        found = None
        if baseline.state is BaselineState.READY:
            found = calibrate(
                series, detector_on(name, baseline), watch.false_alarm_days, detectors
            )
        yield Calibrated(one, name, found)


def _of_vectors(streams: Sequence[Stream]) -> list[Stream]:
    return [one for one in streams if METRICS[one.family, one.metric].is_vector]


def _series(
    client: Client, tenant: str, streams: Sequence[Stream], span: tuple[int, int], step: Step
) -> Iterator[tuple[Stream, Metric, str, Series]]:
    """Stream, metric, detector and its series over [from, to) s since 1970; vectors left out."""
    counted = [one for one in streams if not METRICS[one.family, one.metric].is_vector]
    for start in range(0, len(counted), AT_ONCE):
        some = counted[start : start + AT_ONCE]
        windows = histories(client, tenant, [one.id for one in some], *span)
        for one in some:
            metric = METRICS[one.family, one.metric]
            for name in detectors_of(metric):
                yield one, metric, name, series_of(windows.get(one.id), name, metric)
            step(1)
