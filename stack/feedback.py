"""Stores feedback: comments redacted as prompts are, then one insert into ClickHouse."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, TypeVar

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error as DriverError
from urllib3.exceptions import HTTPError

from processors.operations.redact import Redactor
from schemas.config import Config
from schemas.feedback import Feedback
from schemas.protocols import RetryableError
from sql.client import connect
from sql.feedback import insert_feedback, is_stored

TIMEOUT_S = 10
MAX_WAITING = 32
"""Requests that wait for their insert; more would time out anyway."""

P = TypeVar("P")
T = TypeVar("T")


class FeedbackStore:
    """Labels into ``genai_feedback``; connects at first use, since a gateway starts without.

    Raises :class:`~processors.operations.redact.RedactionKeyError` without a redaction key.
    """

    def __init__(self, config: Config, source: Literal["api", "cli"]) -> None:
        self._settings = config.clickhouse
        self._redactor = Redactor.of(config)
        self._source = source
        self._client: Client | None = None
        # One thread: an insert whose sender waits no longer still runs, and the next follows it.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="feedback")
        self._waiting = 0

    async def take(self, tenant: str, said: Sequence[Feedback]) -> None:
        """Redact and store. Raises ``RetryableError`` when ClickHouse does not take it in time."""
        if self._waiting >= MAX_WAITING:
            raise RetryableError("too many requests wait")
        masked = [self._masked(tenant, one) for one in said]
        self._waiting += 1
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._in_thread(self._insert, tenant, masked)
        except (DriverError, HTTPError, OSError, TimeoutError) as error:
            raise RetryableError(type(error).__name__) from None
        finally:
            self._waiting -= 1

    async def unknown(self, tenant: str, one: Feedback) -> bool:
        """Whether nothing is stored that the label could be about. Raises clickhouse-connect's
        errors."""
        return await self._in_thread(self._unknown, tenant, self._masked(tenant, one))

    async def _in_thread(self, work: Callable[[str, P], T], tenant: str, about: P) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, work, tenant, about)

    def _insert(self, tenant: str, said: Sequence[Feedback]) -> None:
        try:
            insert_feedback(self._connected(), tenant, said, self._source, time.time_ns())
        except (DriverError, HTTPError, OSError):
            self._client = None
            raise

    def _unknown(self, tenant: str, one: Feedback) -> bool:
        return not is_stored(self._connected(), tenant, one)

    def _connected(self) -> Client:
        if self._client is None:
            self._client = connect(self._settings, answer_timeout_s=TIMEOUT_S)
        return self._client

    def _masked(self, tenant: str, one: Feedback) -> Feedback:
        """Free words may hold personal data; a person's name for themselves becomes a pseudonym
        where it is such data."""
        changed = {
            "comment": self._redactor.redact_attribute(one.comment, tenant, one.trace_id),
            "author": self._redactor.pseudonym(one.author, tenant),
            "conversation_id": self._redactor.pseudonym(one.conversation_id, tenant),
        }
        return one.model_copy(update=changed)
