"""HTTP to one receiver: single attempts, and attempts until it takes or refuses for good.

Only 2xx is success and no redirect is followed (a signed alert must not wander). 408, 425, 429,
3xx, 5xx, a timeout and a broken connection are tried again for ``give_up_s``, with capped, jittered
waits that honour ``Retry-After``; any other 4xx is a refusal. Attempts in flight are bounded.
Neither bodies nor URLs are logged: URLs of webhooks are secrets.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp

from processors.runtime.backoff import Backoff
from schemas.metrics import NOTIFICATIONS
from schemas.protocols import Clock, PoisonError

logger = logging.getLogger(__name__)

ATTEMPTS_IN_FLIGHT_MAX = 4
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 30.0
"""With an attempt's timeout less than the watchdog's patience with a worker."""
LONGEST_RETRY_AFTER_S = 3600.0
"""A receiver that asks for more is asked again after this, so that a typo there costs an hour."""
RETRIED_4XX = frozenset({408, 425, 429})
NS_PER_S = 1_000_000_000


class Undelivered(PoisonError):
    """A receiver refuses a transition for good, or did not take it for too long."""

    def __init__(self, reason: str, receiver: str, attempts: int) -> None:
        super().__init__(reason, f"receiver {receiver}")
        self.attempts = attempts


class ReceiverError(ValueError):
    """A receiver's configuration cannot be used; the text names the receiver and the field."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an attempt; ``retry_after_s`` is what the receiver asks to wait."""

    outcome: str
    retry_after_s: float = 0.0

    @property
    def delivered(self) -> bool:
        """It was taken."""
        return self.outcome == "delivered"

    @property
    def refused(self) -> bool:
        """It will never be taken."""
        return self.outcome == "refused"


def checked_url(url: str, receiver: str, field: str = "url") -> str:
    """The URL, or :class:`ReceiverError`."""
    if not url.startswith(("http://", "https://")):
        raise ReceiverError(f"notify.receivers.{receiver}.{field}: expected http:// or https://")
    return url


class Channel:
    """Connections to one receiver. Made in a running event loop; closed by its owner."""

    def __init__(
        self, name: str, timeout_s: float, clock: Clock, give_up_s: float = math.inf
    ) -> None:
        self.name = name
        self._give_up_s = give_up_s
        self._clock = clock
        self._slots = asyncio.Semaphore(ATTEMPTS_IN_FLIGHT_MAX)
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_s))

    async def close(self) -> None:
        """Close connections."""
        await self._session.close()

    async def until_taken(self, attempt: Callable[[], Awaitable[Answer]]) -> int:
        """Attempt until one delivers; how many it took. Raises :class:`Undelivered`."""
        begun_s = self._clock.monotonic()
        backoff = Backoff(self._clock, FIRST_WAIT_S, LONGEST_WAIT_S)
        while True:
            async with self._slots:
                answer = await attempt()
            NOTIFICATIONS.labels(self.name, answer.outcome).inc()
            attempts = backoff.attempts + 1
            if answer.delivered:
                return attempts
            if answer.refused:
                raise Undelivered("receiver_refused", self.name, attempts)
            if self._clock.monotonic() - begun_s >= self._give_up_s:
                raise Undelivered("receiver_away", self.name, attempts)
            logger.warning("receiver %s: %s, attempt %d", self.name, answer.outcome, attempts)
            await self._wait(backoff, answer.retry_after_s)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """One request with a JSON body."""
        return await self.request("POST", url, body, headers)

    async def request(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        """One request, with a JSON body or none."""
        kind = {} if body is None else {"Content-Type": "application/json"}
        sent = {**kind, "User-Agent": "streamgauge", **headers}
        try:
            async with self._session.request(
                method, url, data=body, headers=sent, allow_redirects=False
            ) as response:
                status, answered = response.status, response.headers
        except TimeoutError:
            return Answer("timed_out")
        except (aiohttp.ClientError, OSError):
            return Answer("unreachable")
        if 200 <= status < 300:
            return Answer("delivered")
        if 400 <= status < 500 and status not in RETRIED_4XX:
            return Answer("refused")
        return Answer(f"http_{status}", retry_after_s(answered, self._clock.time_ns() // NS_PER_S))

    async def _wait(self, backoff: Backoff, at_least_s: float) -> None:
        """The usual wait, and on until ``at_least_s`` in short ones: each is a sign of life."""
        not_before = self._clock.monotonic() + at_least_s
        await backoff.wait()
        while (left_s := not_before - self._clock.monotonic()) > 0:
            # A wait lasts between half and all of its step.
            await Backoff(self._clock, first_s=min(2 * left_s, LONGEST_WAIT_S)).wait()


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
