"""Slack incoming webhooks: one message a notification.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks. A section holds at most
3,000 characters. What is in a text is shown, not obeyed: ``&``, ``<`` and ``>`` are escaped, so
that a label cannot mention a channel or hide a link.
"""

import json
from typing import Any

from pydantic import SecretStr

from processors.notify.notification import Notification, headline, summary
from processors.notify.posting import Answer, Channel, checked_url
from processors.notify.wording import facts, paragraphs
from schemas.alert_records import AlertTransition
from schemas.protocols import Clock
from schemas.receivers import SlackReceiver
from schemas.secrets import secret_text

SECTION_CHARS = 2900
HEADLINE_CHARS = 140
"""Below the header block's limit of 150."""
ALERTS_SHOWN, BLOCKS_AN_ALERT = 8, 4
"""Of a group: its facts, description, first steps and excerpts; a message takes 50 blocks."""
COLOURS = {"page": "#d32f2f", "ticket": "#f9a825"}
RESOLVED_COLOUR, OTHER_COLOUR = "#2e7d32", "#757575"


def payload(notification: Notification) -> dict[str, Any]:
    """Body of one message. Pure."""
    title = headline(notification)
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": title[:HEADLINE_CHARS]}}
    ]
    if notification.group is None:
        blocks += _alert(notification.first, notification)
    else:
        shown = notification.transitions[:ALERTS_SHOWN]
        for one in shown:
            name = f"*[{one.status.upper()}] {_escaped(summary(one))}*"
            blocks += [
                {"type": "divider"},
                _section(name),
                *_alert(one, notification)[:BLOCKS_AN_ALERT],
            ]
        if more := len(notification.transitions) - len(shown):
            blocks.append(_section(f"and {more} more"))
    return {
        "text": _escaped(title),
        "attachments": [{"color": _colour(notification), "blocks": blocks}],
    }


def _alert(transition: AlertTransition, notification: Notification) -> list[dict[str, Any]]:
    quoted = notification.evidence_of(transition).excerpts
    listed = "\n".join(f"*{_escaped(k)}*: {_escaped(v)}" for k, v in facts(transition).items())
    said = paragraphs(transition, quoted) if transition.status == "firing" else []
    texts = [(f"*{_escaped(name)}*\n" if name else "") + _escaped(text) for name, text in said]
    return [_section(text) for text in (listed, *texts)]


class SlackSender:
    """Delivers to one channel. Made in a running event loop; closed by its owner."""

    def __init__(self, receiver: SlackReceiver, clock: Clock) -> None:
        """Reads the URL's file. Raises ``ReceiverError`` or ``SecretFileError``."""
        self.name = receiver.name
        key = f"notify.receivers.{receiver.name}.url_file"
        url = secret_text(SecretStr(""), receiver.url_file, key).strip()
        self._url = checked_url(url, receiver.name, "url_file")
        self._channel = Channel(receiver.name, receiver.timeout_s, clock, receiver.give_up_s)

    async def close(self) -> None:
        """Close connections."""
        await self._channel.close()

    async def deliver(self, notification: Notification) -> int:
        """Ends after a 2xx; how many attempts it took. Raises ``Undelivered``."""
        body = json.dumps(payload(notification), ensure_ascii=False).encode("utf-8", "replace")

        async def attempt() -> Answer:
            return await self._channel.post(self._url, body, {})

        return await self._channel.until_taken(attempt)


def _colour(notification: Notification) -> str:
    if notification.status == "resolved":
        return RESOLVED_COLOUR
    said = {one.labels.get("severity", "") for one in notification.firing}
    return next((colour for name, colour in COLOURS.items() if name in said), OTHER_COLOUR)


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:SECTION_CHARS]}}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
