"""A dead man's switch: an URL that is pinged once a minute, and alarms by itself when nobody does.

The ping is the alert that always fires, so it has gone the whole way of an alert: decided by
``watch``, taken by Kafka, delivered here. One that is not taken is left to the next one, and one
that comes late, from a backlog, is not sent: it would say that all is well now.
"""

from pydantic import SecretStr

from processors.notify.notification import Notification
from processors.notify.posting import NS_PER_S, Answer, Channel, checked_url
from schemas.metrics import NOTIFICATIONS
from schemas.protocols import Clock
from schemas.receivers import HeartbeatReceiver
from schemas.secrets import secret_text

LATE_S = 180
BODY = b'{"status": "ok"}'


class HeartbeatSender:
    """Pings one URL. Made in a running event loop; closed by its owner."""

    def __init__(self, receiver: HeartbeatReceiver, clock: Clock) -> None:
        """Reads the URL's file. Raises ``ReceiverError`` or ``SecretFileError``."""
        self.name = receiver.name
        key = f"notify.receivers.{receiver.name}.url_file"
        url = secret_text(SecretStr(""), receiver.url_file, key).strip()
        self._url = checked_url(url, receiver.name, "url_file")
        self._method = receiver.method
        self._clock = clock
        self._channel = Channel(receiver.name, receiver.timeout_s, clock, receiver.give_up_s)

    async def close(self) -> None:
        """Close connections."""
        await self._channel.close()

    async def deliver(self, notification: Notification) -> int:
        """Ends after a 2xx; how many attempts it took. Raises ``Undelivered``."""
        late_s = (self._clock.time_ns() - notification.first.starts_at_ns) / NS_PER_S
        if late_s > LATE_S:
            NOTIFICATIONS.labels(self.name, "late").inc()
            return 0

        async def attempt() -> Answer:
            body = BODY if self._method == "POST" else None
            return await self._channel.request(self._method, self._url, body, {})

        return await self._channel.until_taken(attempt)
