"""The picture of what an alert is about: the series of its stream with the baseline, as PNG.

It is the drift detector's own picture (:mod:`processors.watch.drift.picture`), over a day before
the alert. Without the optional extra ``pictures`` (matplotlib) there are none.
"""

from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from processors.watch.drift import (
    BaselineState,
    Kind,
    fit_baseline,
    guaranteed_threshold,
    replay,
)
from processors.watch.windows.detecting import bins_of, detector_on, detectors_of
from processors.watch.windows.fitting import HISTORY_S, series_of
from schemas.alert_records import AlertTransition
from schemas.conditions import Measure, measure_of
from schemas.config import WatchConfig
from schemas.rules import AbsentRule, AnyRule, DriftRule, MetricRule, SignalRule, SloRule
from schemas.streams import BUCKET_S, SERVICE, DimensionSet
from sql.drift import histories, tenant_detectors
from sql.evidence import newest_stream

SHOWN_BEFORE_S = 86_400


@dataclass(frozen=True, slots=True)
class Subject:
    """What an alert is about, among the streams."""

    measure: Measure
    dimensions: DimensionSet
    labels: dict[str, str]


def subject_of(rule: AnyRule | None, transition: AlertTransition) -> Subject | None:
    """None where the rule is about no stream. Pure."""
    match rule:
        case SignalRule():
            measure, dimensions = measure_of(rule.evaluation.evaluator), SERVICE
        case MetricRule() | SloRule() | AbsentRule():
            measure, dimensions = rule.condition.measure, rule.condition.dimensions
        case DriftRule() if "of" in transition.labels:
            measure, dimensions = measure_of(transition.labels["of"]), rule.condition.dimensions
        case _:
            return None
    said = transition.labels
    labels = {name: said[name] for name in dimensions.labels if name in said}
    return Subject(measure, dimensions, labels)


def picture_of(
    client: Client, watch: WatchConfig, subject: Subject, transition: AlertTransition, now_s: int
) -> bytes | None:
    """PNG; None where there is no series to show. Blocks, for a second or two.

    Raises clickhouse-connect's errors, and ``ImportError`` without matplotlib.
    """
    from processors.watch.drift.picture import picture  # noqa: PLC0415 - an optional extra

    measure, kind = subject.measure, Kind(watch.baseline)
    named = (measure.family.name, measure.metric.name, measure.evaluator)
    tenant = transition.tenant
    stream = newest_stream(client, tenant, named, subject.dimensions.name, subject.labels)
    if stream is None:
        return None
    begun_s = transition.starts_at_ns // 1_000_000_000
    from_s = begun_s - SHOWN_BEFORE_S
    found = histories(client, tenant, [stream], from_s - HISTORY_S[kind], now_s + BUCKET_S)
    detector = detectors_of(measure.metric)[0]
    series = series_of(found.get(stream), detector, measure.metric)
    past = series.between(0, from_s // BUCKET_S)
    baseline = fit_baseline(past, kind)
    said = ""
    if baseline.state is not BaselineState.READY:
        past = series.between(0, begun_s // BUCKET_S)
        baseline, said = fit_baseline(past, kind), " (too little past for a sure baseline)"
    if not len(past):
        return None
    threshold = guaranteed_threshold(
        watch.false_alarm_days, tenant_detectors(client, tenant, now_s)
    )
    made = replay(
        series.between(from_s // BUCKET_S, now_s // BUCKET_S + 1),
        detector_on(detector, baseline, threshold),
    )
    what = " ".join([measure.evaluator or f"{named[0]}.{named[1]}", *subject.labels.values()])
    title = f"{what}: {bins_of(measure.metric, detector)[-1]}{said}"
    return picture(made, title, began_s=begun_s)
