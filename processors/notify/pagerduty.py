"""PagerDuty Events API v2: an alert triggers an incident and resolves it, by its fingerprint.

A group is one incident, by the group's key; it resolves with the last of its alerts.

https://developer.pagerduty.com/docs/events-api-v2. A summary has at most 1,024 characters and an
event 512 KB; both are kept here, so that a long description cannot make an alert undeliverable.
"""

import json
from typing import Any

from pydantic import SecretStr

from processors.notify.encoding import rfc3339
from processors.notify.notification import Notification, headline
from processors.notify.posting import Answer, Channel, checked_url
from processors.notify.wording import facts, paragraphs
from schemas.alert_records import AlertTransition
from schemas.protocols import Clock
from schemas.receivers import PagerDutyReceiver
from schemas.secrets import secret_text

SUMMARY_CHARS = 1024
TEXT_CHARS = 20_000
"""Of one annotation: a dozen of them stay below an event's limit."""
ALERTS_SHOWN, SHORT_CHARS = 20, 2_000
"""Of a group, and of one text of each: likewise."""
SEVERITIES = {"page": "critical", "ticket": "warning"}
"""By our label ``severity``; any other is an error."""


def event(notification: Notification, routing_key: str) -> dict[str, Any]:
    """Body of one event. Pure."""
    first = notification.first
    found: dict[str, Any] = {
        "routing_key": routing_key,
        "dedup_key": notification.group_key or first.fingerprint,
        "event_action": "trigger" if notification.status == "firing" else "resolve",
    }
    if notification.status == "firing":
        labels = notification.common_labels
        severities = [one.labels.get("severity", "") for one in notification.firing]
        found["payload"] = {
            "summary": headline(notification)[:SUMMARY_CHARS],
            "source": labels.get("service_name") or first.tenant,
            "severity": SEVERITIES.get(min(severities, key=_urgency), "error"),
            "timestamp": rfc3339(min(one.starts_at_ns for one in notification.firing)),
            "group": first.tenant,
            "class": first.rule,
            "custom_details": _details(notification),
        }
        found["client"] = "Streamgauge"
    return found


def _urgency(severity: str) -> int:
    """Ours in their order, then any other."""
    known = list(SEVERITIES)
    return known.index(severity) if severity in known else len(known)


def _details(notification: Notification) -> dict[str, Any]:
    if notification.group is None:
        return _alert(notification.first, notification, TEXT_CHARS)
    shown = notification.transitions[:ALERTS_SHOWN]
    said = [
        {"alert": one.rule, "status": one.status, **_alert(one, notification, SHORT_CHARS)}
        for one in shown
    ]
    more = len(notification.transitions) - len(said)
    return {
        **dict(notification.group.labels),
        "alerts": said,
        **({"more": str(more)} if more else {}),
    }


def _alert(
    transition: AlertTransition, notification: Notification, most_chars: int
) -> dict[str, Any]:
    shown = notification.evidence_of(transition)
    texts = {title or "description": text for title, text in paragraphs(transition, shown.excerpts)}
    return {
        **{name: value[:most_chars] for name, value in facts(transition).items()},
        **{title: text[:most_chars] for title, text in texts.items()},
    }


class PagerDutySender:
    """Delivers to one integration. Made in a running event loop; closed by its owner."""

    def __init__(self, receiver: PagerDutyReceiver, clock: Clock) -> None:
        """Reads the key file. Raises ``ReceiverError`` or ``SecretFileError``."""
        self.name = receiver.name
        self._url = checked_url(receiver.url, receiver.name)
        key = f"notify.receivers.{receiver.name}.routing_key_file"
        self._routing_key = secret_text(SecretStr(""), receiver.routing_key_file, key).strip()
        self._channel = Channel(receiver.name, receiver.timeout_s, clock, receiver.give_up_s)

    async def close(self) -> None:
        """Close connections."""
        await self._channel.close()

    async def deliver(self, notification: Notification) -> int:
        """Ends after a 2xx; how many attempts it took. Raises ``Undelivered``."""
        said = event(notification, self._routing_key)
        body = json.dumps(said, ensure_ascii=False).encode("utf-8", "replace")

        async def attempt() -> Answer:
            return await self._channel.post(self._url, body, {})

        return await self._channel.until_taken(attempt)
