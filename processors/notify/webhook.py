"""One webhook receiver: each notification is one post in Alertmanager's v4 shape, signed."""

from processors.notify.encoding import webhook_body
from processors.notify.notification import Notification
from processors.notify.posting import NS_PER_S, Answer, Channel, checked_url
from processors.notify.signature import load_keys, signature_headers
from schemas.protocols import Clock
from schemas.receivers import WebhookReceiver


class WebhookSender:
    """Delivers to one receiver. Made in a running event loop; closed by its owner."""

    def __init__(self, receiver: WebhookReceiver, clock: Clock) -> None:
        """Reads the key file. Raises ``SecretError`` or ``ReceiverError``."""
        self.name = receiver.name
        self._url = checked_url(receiver.url, receiver.name)
        self._clock = clock
        self._keys = load_keys(receiver.secret_file) if receiver.secret_file else ()
        self._channel = Channel(receiver.name, receiver.timeout_s, clock, receiver.give_up_s)

    async def close(self) -> None:
        """Close connections."""
        await self._channel.close()

    async def deliver(self, notification: Notification) -> int:
        """Ends after a 2xx; how many attempts it took. Raises ``Undelivered``."""
        body = webhook_body(notification, self.name)

        async def attempt() -> Answer:
            timestamp_s = self._clock.time_ns() // NS_PER_S
            headers = signature_headers(self._keys, notification.key, timestamp_s, body)
            return await self._channel.post(self._url, body, headers)

        return await self._channel.until_taken(attempt)
