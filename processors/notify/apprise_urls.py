"""Whatever Apprise can reach: chat, SMS, push and a hundred more, by its URLs. An optional extra.

https://github.com/caronc/apprise. Its calls block, so they run in a thread of their own; its
answer is coarse (taken or not), so that everything not taken is tried again, and there is no
refusal: for paging take a receiver that knows its service. Each URL of the file is told for itself;
those that took a notification are not told it again while the others are tried.
"""

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pydantic import SecretStr

from processors.notify.notification import Notification, headline
from processors.notify.posting import Answer, Channel, ReceiverError
from processors.notify.wording import plain_text
from schemas.protocols import Clock
from schemas.receivers import AppriseReceiver
from schemas.secrets import secret_text

logging.getLogger("apprise").setLevel(logging.CRITICAL)
# It logs what it sends. What became of an attempt is said by ours.

KINDS = {"page": "failure", "ticket": "warning"}
"""Apprise's, by our label ``severity``; any other is a warning."""


class AppriseSender:
    """Delivers to the URLs of one file. Made in a running event loop; closed by its owner."""

    def __init__(self, receiver: AppriseReceiver, clock: Clock) -> None:
        """Reads the file. Raises ``ReceiverError`` or ``SecretFileError``, neither with an URL."""
        self.name = receiver.name
        key = f"notify.receivers.{receiver.name}.urls_file"
        text = secret_text(SecretStr(""), receiver.urls_file, key)
        try:
            import apprise  # noqa: PLC0415 - an optional extra
        except ImportError:
            raise ReceiverError(
                f"notify.receivers.{receiver.name}: needs pip install 'streamgauge[apprise]'"
            ) from None
        self._targets: list[Any] = []
        asset = apprise.AppriseAsset(app_id="Streamgauge", async_mode=False, secure_logging=True)
        lines = [line.strip() for line in text.splitlines()]
        for number, line in enumerate(lines, start=1):
            if not line or line.startswith("#"):
                continue
            target = apprise.Apprise(asset=asset)
            if not target.add(line):
                raise ReceiverError(f"{key}: line {number} is no URL that Apprise knows")
            self._targets.append(target)
        if not self._targets:
            raise ReceiverError(f"{key}: has no URL")
        self._timeout_s = receiver.timeout_s
        self._channel = Channel(receiver.name, receiver.timeout_s, clock, receiver.give_up_s)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="apprise")

    async def close(self) -> None:
        """Give up the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        await self._channel.close()

    async def deliver(self, notification: Notification) -> int:
        """Ends once every URL took it; how many attempts it took. Raises ``Undelivered``."""
        waiting = list(self._targets)
        said = {"title": headline(notification), "body": plain_text(notification)}
        kind = _kind(notification)

        async def attempt() -> Answer:
            for target in list(waiting):
                answer = await self._tell(target, said, kind)
                if not answer.delivered:
                    return answer
                waiting.remove(target)
            return Answer("delivered")

        return await self._channel.until_taken(attempt)

    async def _tell(self, target: Any, said: Mapping[str, str], kind: str) -> Answer:
        loop = asyncio.get_running_loop()
        telling = loop.run_in_executor(
            self._thread, lambda: bool(target.notify(notify_type=kind, **said))
        )
        try:
            taken = await asyncio.wait_for(telling, self._timeout_s)
        except TimeoutError:
            return Answer("timed_out")
        return Answer("delivered" if taken else "not_taken")


def _kind(notification: Notification) -> str:
    if notification.status == "resolved":
        return "success"
    said = {one.labels.get("severity", "") for one in notification.firing}
    return next((kind for severity, kind in KINDS.items() if severity in said), "warning")
