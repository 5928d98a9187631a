"""What receivers read: Alertmanager's webhook body, version 4, and its API's alerts, version 2.

Pure. The tenant joins the labels, since receivers identify an alert by its labels; trace ids,
count and value join the annotations, whose values are strings in both formats.
"""

import json
from datetime import UTC, datetime
from typing import Any

from processors.notify.notification import Evidence, Notification, common_items, quotations
from schemas.alert_records import AlertTransition

NS_PER_S = 1_000_000_000
NO_END = "0001-01-01T00:00:00Z"
"""How the webhook's format says that an alert has not ended."""


def webhook_body(notification: Notification, receiver: str) -> bytes:
    """UTF-8 JSON of a notification of one alert, or of a group's alerts."""
    alerts = [
        _webhook_alert(one, notification.evidence_of(one)) for one in notification.transitions
    ]
    group, common = notification.group, notification.common_labels
    first = notification.first
    if group is None:
        key, grouped = f"{first.tenant}/{first.rule}:{first.fingerprint}", common
    else:
        key, grouped = group.text, dict(group.labels)
    texts = [alert["annotations"] for alert in alerts]
    body = {
        "version": "4",
        "groupKey": key,
        "truncatedAlerts": 0,
        "status": notification.status,
        "receiver": receiver,
        "groupLabels": grouped,
        "commonLabels": common,
        "commonAnnotations": common_items(texts),
        "externalURL": "",
        "alerts": alerts,
    }
    return _json(body)


def _webhook_alert(transition: AlertTransition, shown: Evidence) -> dict[str, Any]:
    quoted = quotations(shown.excerpts)
    return {
        "status": transition.status,
        "labels": _labels(transition),
        "annotations": {**_annotations(transition), **({"excerpts": quoted} if quoted else {})},
        "startsAt": rfc3339(transition.starts_at_ns),
        "endsAt": NO_END if transition.ends_at_ns is None else rfc3339(transition.ends_at_ns),
        "generatorURL": "",
        "fingerprint": transition.fingerprint,
    }


def api_alert(transition: AlertTransition, firing_until_ns: int) -> dict[str, Any]:
    """One item of ``POST /api/v2/alerts``.

    Alertmanager ends an alert by itself unless it hears of it again: a firing one ends at
    ``firing_until_ns`` if this is the last it hears.
    """
    ends_at_ns = transition.ends_at_ns
    return {
        "labels": _labels(transition),
        "annotations": _annotations(transition),
        "startsAt": rfc3339(transition.starts_at_ns),
        "endsAt": rfc3339(firing_until_ns if ends_at_ns is None else ends_at_ns),
    }


def api_body(alerts: list[dict[str, Any]]) -> bytes:
    """UTF-8 JSON of a request to ``/api/v2/alerts``."""
    return _json(alerts)


def rfc3339(time_ns: int) -> str:
    """UTC with nanoseconds."""
    seconds, fraction_ns = divmod(time_ns, NS_PER_S)
    whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{fraction_ns:09d}Z" if fraction_ns else f"{whole}Z"


def _json(body: object) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _labels(transition: AlertTransition) -> dict[str, str]:
    return {**transition.labels, "tenant": transition.tenant}


def _annotations(transition: AlertTransition) -> dict[str, str]:
    said = {
        "trace_ids": ",".join(transition.trace_ids),
        "count": str(transition.count),
        "value": "" if transition.value is None else f"{transition.value:.6g}",
    }
    return {**said, **transition.annotations}
