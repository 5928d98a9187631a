"""Which messages of a raw topic a replay of a time range sends."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer

from schemas.protocols import Message
from schemas.topics import ATTEMPTS_HEADER, GATEWAY_TOPICS, TENANT_HEADER
from stack.replay.resend import Resend, Step
from stack.replay.windows import Window, window_records

REASON = "time range"
"""Stands where a dead letter has its reason."""


@dataclass(slots=True)
class RangeReader:
    """Messages of one raw topic with a Kafka timestamp before ``until_ms``."""

    consumer: AIOKafkaConsumer
    windows: Sequence[Window]
    until_ms: int
    tenant: str
    """Of this tenant alone, if not empty."""
    default_tenant: str
    """Whose the open topics' messages are."""
    limit: int
    copies: int = 0
    """Messages left out because a replay wrote them: their originals are what a range means."""
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    first_ms: int | None = None
    """Time of the oldest message held, if older ones have expired."""

    async def messages(self, step: Step) -> AsyncIterator[tuple[Message, Resend]]:
        """Each with where it goes. Raises ``KafkaError``, ``TimeoutError``."""
        for window in self.windows:
            async for message in window_records(self.consumer, window):
                step(1)
                if window.expired and message.offset == window.start:
                    self.first_ms = min(self.first_ms or message.timestamp_ms, message.timestamp_ms)
                if not self._takes(message):
                    continue
                if self.limit and self.counts.total() >= self.limit:
                    return
                self.counts[REASON, message.topic] += 1
                tenant = message.header(TENANT_HEADER) or self.default_tenant
                yield message, Resend(message.topic, message.partition, 0, REASON, tenant)

    def _takes(self, message: Message) -> bool:
        if message.timestamp_ms >= self.until_ms:
            return False
        if message.header(ATTEMPTS_HEADER) is not None:
            self.copies += 1
            return False
        named = message.header(TENANT_HEADER) if message.topic in GATEWAY_TOPICS else None
        return self.tenant in ("", named or self.default_tenant)
