"""Slack incoming webhooks: one message a transition.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks. A section holds at most
3,000 characters. What is in a text is shown, not obeyed: ``&``, ``<`` and ``>`` are escaped, so
that a label cannot mention a channel or hide a link.
"""

import json
from typing import Any

from pydantic import SecretStr

from processors.notify.posting import Answer, Channel, checked_url
from processors.notify.wording import facts, headline, paragraphs
from schemas.alert_records import AlertTransition
from schemas.protocols import Clock
from schemas.receivers import SlackReceiver
from schemas.secrets import secret_text

SECTION_CHARS = 2900
HEADLINE_CHARS = 140
"""Below the header block's limit of 150."""
COLOURS = {"page": "#d32f2f", "ticket": "#f9a825"}
RESOLVED_COLOUR, OTHER_COLOUR = "#2e7d32", "#757575"


def payload(transition: AlertTransition) -> dict[str, Any]:
    """Body of one message. Pure."""
    title = headline(transition)
    listed = "\n".join(f"*{_escaped(k)}*: {_escaped(v)}" for k, v in facts(transition).items())
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": title[:HEADLINE_CHARS]}},
        _section(listed),
    ]
    if transition.status == "firing":
        for name, text in paragraphs(transition):
            blocks.append(_section((f"*{_escaped(name)}*\n" if name else "") + _escaped(text)))
    return {
        "text": _escaped(title),
        "attachments": [{"color": _colour(transition), "blocks": blocks}],
    }


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

    async def deliver(self, transition: AlertTransition) -> int:
        """Ends after a 2xx; how many attempts it took. Raises ``Undelivered``."""
        body = json.dumps(payload(transition), ensure_ascii=False).encode("utf-8", "replace")

        async def attempt() -> Answer:
            return await self._channel.post(self._url, body, {})

        return await self._channel.until_taken(attempt)


def _colour(transition: AlertTransition) -> str:
    if transition.status == "resolved":
        return RESOLVED_COLOUR
    return COLOURS.get(transition.labels.get("severity", ""), OTHER_COLOUR)


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:SECTION_CHARS]}}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
