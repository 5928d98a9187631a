"""What the pipeline needs beside the runner's messages: earlier ones, and the truth about gaps."""

from collections.abc import AsyncIterator
from typing import Protocol

from schemas.protocols import History, Message


class RecallReader(Protocol):
    """Reads a partition beside the runner: a stage's history, and gaps. Retries faults for ever."""

    async def holds_any(self, topic: str, partition: int, first: int, stop: int) -> bool:
        """Whether a message lies in [first, stop)."""
        ...

    def read(
        self, topic: str, partition: int, before: int | None, anchor_ms: int, history: History
    ) -> AsyncIterator[Message]:
        """Messages of ``topic`` older than offset ``before`` (None: to its end), oldest first.

        ``anchor_ms`` is the time the window ends at where no earlier message tells it.
        """
        ...
