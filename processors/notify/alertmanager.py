"""An Alertmanager cluster as a receiver: ``POST /api/v2/alerts`` to every peer.

Its peers share what was notified, not the alerts, so each gets every alert. A transition is
delivered once any peer took it; what a peer missed, or forgot in a restart, it hears with the next
repetition: open alerts are repeated while they last, ended ones for a while
(:mod:`processors.notify.repetition`), as Prometheus does.
"""

import asyncio
from collections.abc import Sequence

from pydantic import SecretStr

from processors.notify.encoding import NS_PER_S, api_alert, api_body
from processors.notify.notification import Notification
from processors.notify.posting import Answer, Channel, checked_url
from schemas.alert_records import AlertTransition
from schemas.metrics import NOTIFICATIONS
from schemas.protocols import Clock
from schemas.receivers import AlertmanagerReceiver
from schemas.secrets import secret_text

PATH = "/api/v2/alerts"
MISSED_REPETITIONS = 4
"""An open alert that is not repeated for this many intervals ends by itself."""
ALERTS_PER_REQUEST = 64


class AlertmanagerSender:
    """Delivers to every peer. Made in a running event loop; closed by its owner."""

    def __init__(self, receiver: AlertmanagerReceiver, clock: Clock) -> None:
        """Reads the authorization file. Raises ``ReceiverError`` or ``SecretFileError``."""
        self.name = receiver.name
        self.repeat_s = receiver.repeat_s
        self._urls = tuple(
            checked_url(url, receiver.name, "urls").rstrip("/") + PATH for url in receiver.urls
        )
        self._clock = clock
        key = f"notify.receivers.{receiver.name}.authorization_file"
        authorization = secret_text(SecretStr(""), receiver.authorization_file, key)
        self._headers = {"Authorization": authorization} if authorization else {}
        self._channel = Channel(receiver.name, receiver.timeout_s, clock, receiver.give_up_s)
        self._posts: set[asyncio.Task[Answer]] = set()

    async def close(self) -> None:
        """Give up what is under way and close connections."""
        for post in self._posts:
            post.cancel()
        await self._channel.close()

    async def deliver(self, notification: Notification) -> int:
        """Ends once a peer took it; how many attempts it took. Raises ``Undelivered``."""
        transitions = notification.transitions

        async def attempt() -> Answer:
            return await self._first_success(self._to_every_peer(transitions))

        return await self._channel.until_taken(attempt)

    async def repeat(self, transitions: Sequence[AlertTransition]) -> None:
        """Tell every peer once more; what fails is told with the next repetition."""
        for start in range(0, len(transitions), ALERTS_PER_REQUEST):
            posts = self._to_every_peer(transitions[start : start + ALERTS_PER_REQUEST])
            for answer in await asyncio.gather(*posts):
                outcome = "repeated" if answer.delivered else "not_repeated"
                NOTIFICATIONS.labels(self.name, outcome).inc()

    def _to_every_peer(self, transitions: Sequence[AlertTransition]) -> list[asyncio.Task[Answer]]:
        until_ns = self._clock.time_ns() + round(MISSED_REPETITIONS * self.repeat_s * NS_PER_S)
        body = api_body([api_alert(transition, until_ns) for transition in transitions])
        posts = [
            asyncio.create_task(self._channel.post(url, body, self._headers)) for url in self._urls
        ]
        for post in posts:
            self._posts.add(post)
            post.add_done_callback(self._posts.discard)
        return posts

    async def _first_success(self, posts: Sequence[asyncio.Task[Answer]]) -> Answer:
        """The first success; a slower peer's post goes on by itself. Short of one, an answer that
        says to try again before one that refuses."""
        failed = Answer("refused")
        for post in asyncio.as_completed(posts):
            answer = await post
            if answer.delivered:
                return answer
            failed = failed if answer.refused else answer
        return failed
