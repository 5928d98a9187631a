"""Alertmanager's webhook body, version 4: the shape that most alert tools already read.

Pure. The tenant joins the labels, since receivers identify an alert by its labels; trace ids,
count and value join the annotations, whose values are strings in that format.
"""

import json
from datetime import UTC, datetime

from schemas.records import AlertTransition

NS_PER_S = 1_000_000_000
NO_END = "0001-01-01T00:00:00Z"
"""How the format says that an alert has not ended."""


def webhook_body(transition: AlertTransition, receiver: str) -> bytes:
    """UTF-8 JSON of one transition as a notification of one alert."""
    labels = {**transition.labels, "tenant": transition.tenant}
    annotations = _annotations(transition)
    alert = {
        "status": transition.status,
        "labels": labels,
        "annotations": annotations,
        "startsAt": rfc3339(transition.starts_at_ns),
        "endsAt": NO_END if transition.ends_at_ns is None else rfc3339(transition.ends_at_ns),
        "generatorURL": "",
        "fingerprint": transition.fingerprint,
    }
    body = {
        "version": "4",
        "groupKey": f"{transition.tenant}/{transition.rule}:{transition.fingerprint}",
        "truncatedAlerts": 0,
        "status": transition.status,
        "receiver": receiver,
        "groupLabels": labels,
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": "",
        "alerts": [alert],
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def rfc3339(time_ns: int) -> str:
    """UTC with nanoseconds."""
    seconds, fraction_ns = divmod(time_ns, NS_PER_S)
    whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{fraction_ns:09d}Z" if fraction_ns else f"{whole}Z"


def _annotations(transition: AlertTransition) -> dict[str, str]:
    said = {
        "trace_ids": ",".join(transition.trace_ids),
        "count": str(transition.count),
        "value": "" if transition.value is None else f"{transition.value:.6g}",
    }
    return {**said, **transition.annotations}
