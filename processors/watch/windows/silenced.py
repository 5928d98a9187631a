"""Which stretches of a stream's past a silence covers: no baseline learns from an incident. Pure.

A silence is about a stream if each of its matchers that names something a stream has (``tenant``,
``of``, ``evaluator``, ``metric``, a label) holds of it, and there is such a matcher. What only
alerts have, such as ``alertname`` or ``severity``, cannot be told of a stream: a silence of one
alert of a service covers that service's streams. One that names no more than an alert covers none.
"""

from collections.abc import Iterable, Mapping

from processors.watch.drift.series import BUCKET_S
from sql.silences import NS_PER_S, Silence


def stream_labels(
    tenant: str, family: str, metric: str, evaluator: str, labels: Mapping[str, str]
) -> dict[str, str]:
    """What a silence may say of a stream: the labels of its drift alerts, evaluator and metric."""
    of = evaluator or f"{family}.{metric}"
    return {**labels, "tenant": tenant, "of": of, "evaluator": evaluator, "metric": metric}


def silenced_buckets(
    silences: Iterable[Silence], labels: Mapping[str, str]
) -> list[tuple[int, int]]:
    """Ranges [first, end) of buckets in which a silence covered the stream of these labels."""
    return [
        (one.starts_at_ns // NS_PER_S // BUCKET_S, -(-one.ends_at_ns // NS_PER_S // BUCKET_S))
        for one in silences
        if _covers(one, labels)
    ]


def _covers(one: Silence, labels: Mapping[str, str]) -> bool:
    if one.tenant != labels["tenant"] or one.ends_at_ns <= one.starts_at_ns:
        return False
    about = [matcher for matcher in one.parsed if matcher.name in labels]
    return bool(about) and all(matcher.holds(labels) for matcher in about)
