"""PagerDuty Events API v2: an alert triggers an incident and resolves it, by its fingerprint.

https://developer.pagerduty.com/docs/events-api-v2. A summary has at most 1,024 characters and an
event 512 KB; both are kept here, so that a long description cannot make an alert undeliverable.
"""

import json
from typing import Any

from pydantic import SecretStr

from processors.notify.encoding import rfc3339
from processors.notify.posting import Answer, Channel, checked_url
from processors.notify.wording import facts, headline, paragraphs
from schemas.alert_records import AlertTransition
from schemas.protocols import Clock
from schemas.receivers import PagerDutyReceiver
from schemas.secrets import secret_text

SUMMARY_CHARS = 1024
TEXT_CHARS = 20_000
"""Of one annotation: a dozen of them stay below an event's limit."""
SEVERITIES = {"page": "critical", "ticket": "warning"}
"""By our label ``severity``; any other is an error."""


def event(transition: AlertTransition, routing_key: str) -> dict[str, Any]:
    """Body of one event. Pure."""
    found: dict[str, Any] = {
        "routing_key": routing_key,
        "dedup_key": transition.fingerprint,
        "event_action": "trigger" if transition.status == "firing" else "resolve",
    }
    if transition.status == "firing":
        labels = transition.labels
        texts = {title or "description": text for title, text in paragraphs(transition)}
        found["payload"] = {
            "summary": headline(transition)[:SUMMARY_CHARS],
            "source": labels.get("service_name") or transition.tenant,
            "severity": SEVERITIES.get(labels.get("severity", ""), "error"),
            "timestamp": rfc3339(transition.starts_at_ns),
            "group": transition.tenant,
            "class": transition.rule,
            "custom_details": {
                **facts(transition),
                **{title: text[:TEXT_CHARS] for title, text in texts.items()},
            },
        }
        found["client"] = "Streamgauge"
    return found


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

    async def deliver(self, transition: AlertTransition) -> int:
        """Ends after a 2xx; how many attempts it took. Raises ``Undelivered``."""
        said = event(transition, self._routing_key)
        body = json.dumps(said, ensure_ascii=False).encode("utf-8", "replace")

        async def attempt() -> Answer:
            return await self._channel.post(self._url, body, {})

        return await self._channel.until_taken(attempt)
