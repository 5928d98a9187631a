"""One webhook receiver: posts a transition until it is taken, or refused for good.

Only 2xx is success and no redirect is followed (a signed alert must not wander). 408, 425, 429,
3xx, 5xx, a timeout and a broken connection are tried again for ever, with capped, jittered waits
that honour ``Retry-After``; any other 4xx raises ``PoisonError``. Attempts in flight are bounded
per receiver; an alert's transitions keep their order. Neither bodies nor URLs are logged: URLs of
webhooks are secrets.
"""

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp

from processors.notify.alertmanager import webhook_body
from processors.notify.signature import load_keys, signature_headers
from processors.runtime.backoff import Backoff
from schemas.config import WebhookReceiver
from schemas.metrics import NOTIFICATIONS
from schemas.protocols import Clock, PoisonError
from schemas.records import AlertTransition

logger = logging.getLogger(__name__)

ATTEMPTS_IN_FLIGHT_MAX = 4
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 30.0
"""With an attempt's timeout less than the watchdog's patience with a worker."""
LONGEST_RETRY_AFTER_S = 3600.0
"""A receiver that asks for more is asked again after this, so that a typo there costs an hour."""
RETRIED_4XX = frozenset({408, 425, 429})
NS_PER_S = 1_000_000_000


class WebhookError(ValueError):
    """A receiver's configuration cannot be used; the text names the receiver and the field."""


class WebhookSender:
    """Delivers to one receiver. Made in a running event loop; closed by its owner."""

    def __init__(self, receiver: WebhookReceiver, clock: Clock) -> None:
        """Reads the key file. Raises ``SecretError`` or :class:`WebhookError`."""
        if not receiver.url.startswith(("http://", "https://")):
            raise WebhookError(
                f"notify.receivers.{receiver.name}.url: expected http:// or https://"
            )
        self.name = receiver.name
        self._url = receiver.url
        self._clock = clock
        self._keys = load_keys(receiver.secret_file) if receiver.secret_file else ()
        self._slots = asyncio.Semaphore(ATTEMPTS_IN_FLIGHT_MAX)
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=receiver.timeout_s)
        )

    async def close(self) -> None:
        """Close connections."""
        await self._session.close()

    async def deliver(self, transition: AlertTransition) -> None:
        """Ends after a 2xx. Raises ``PoisonError`` if the receiver refuses it for good."""
        body = webhook_body(transition, self.name)
        backoff = Backoff(self._clock, FIRST_WAIT_S, LONGEST_WAIT_S)
        while True:
            async with self._slots:
                outcome, retry_after_s = await self._attempt(transition.transition_id, body)
            NOTIFICATIONS.labels(self.name, outcome).inc()
            if outcome == "delivered":
                return
            if outcome == "refused":
                raise PoisonError("receiver_refused", f"receiver {self.name}")
            logger.warning("receiver %s: %s, attempt %d", self.name, outcome, backoff.attempts + 1)
            await self._wait(backoff, retry_after_s)

    async def _wait(self, backoff: Backoff, at_least_s: float) -> None:
        """The usual wait, and on until ``at_least_s`` in short ones: each is a sign of life."""
        not_before = self._clock.monotonic() + at_least_s
        await backoff.wait()
        while (left_s := not_before - self._clock.monotonic()) > 0:
            # A wait lasts between half and all of its step.
            await Backoff(self._clock, first_s=min(2 * left_s, LONGEST_WAIT_S)).wait()

    async def _attempt(self, message_id: str, body: bytes) -> tuple[str, float]:
        """Outcome of one request, and the seconds that the receiver asks to wait."""
        timestamp_s = self._clock.time_ns() // NS_PER_S
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "streamgauge",
            **signature_headers(self._keys, message_id, timestamp_s, body),
        }
        try:
            async with self._session.post(
                self._url, data=body, headers=headers, allow_redirects=False
            ) as response:
                status, answered = response.status, response.headers
        except TimeoutError:
            return "timed_out", 0.0
        except (aiohttp.ClientError, OSError):
            return "unreachable", 0.0
        if 200 <= status < 300:
            return "delivered", 0.0
        if 400 <= status < 500 and status not in RETRIED_4XX:
            return "refused", 0.0
        return f"http_{status}", retry_after_s(answered, timestamp_s)


def retry_after_s(headers: Mapping[str, str], now_s: float) -> float:
    """Seconds of a ``Retry-After`` header (seconds or HTTP date), bounded; 0 without one."""
    value = headers.get("Retry-After", "").strip()
    if not value:
        return 0.0
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), LONGEST_RETRY_AFTER_S)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    waited_s = (moment - datetime.fromtimestamp(now_s, UTC)).total_seconds()
    return min(max(0.0, waited_s), LONGEST_RETRY_AFTER_S)
