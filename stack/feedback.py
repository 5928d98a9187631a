"""Stores feedback: comments redacted as prompts are, then one insert into ClickHouse."""

import asyncio
import time
from collections.abc import Sequence
from typing import Literal

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error as DriverError
from urllib3.exceptions import HTTPError

from processors.operations.redact import Redactor
from schemas.config import Config
from schemas.feedback import Feedback
from schemas.protocols import RetryableError
from sql.client import connect
from sql.feedback import insert_feedback

TIMEOUT_S = 10.0


class FeedbackStore:
    """Labels into ``genai_feedback``; connects at first use, since a gateway starts without.

    Raises :class:`~processors.operations.redact.RedactionKeyError` without a redaction key.
    """

    def __init__(self, config: Config, source: Literal["api", "cli"]) -> None:
        self._settings = config.clickhouse
        self._redactor = Redactor.of(config)
        self._source = source
        self._client: Client | None = None
        self._turn = asyncio.Lock()

    async def take(self, tenant: str, said: Sequence[Feedback]) -> None:
        """Redact and store. Raises ``RetryableError`` when ClickHouse does not take it in time."""
        masked = [self._masked(tenant, one) for one in said]
        try:
            async with asyncio.timeout(TIMEOUT_S), self._turn:
                await asyncio.to_thread(self._insert, tenant, masked)
        except (DriverError, HTTPError, OSError, TimeoutError) as error:
            self._client = None
            raise RetryableError(type(error).__name__) from None

    def _insert(self, tenant: str, said: Sequence[Feedback]) -> None:
        if self._client is None:
            self._client = connect(self._settings)
        insert_feedback(self._client, tenant, said, self._source, time.time_ns())

    def _masked(self, tenant: str, one: Feedback) -> Feedback:
        """Free words may hold personal data; a person's name for themselves becomes a pseudonym
        where it is such data."""
        changed = {
            "comment": self._redactor.redact_attribute(one.comment, tenant, one.trace_id),
            "author": self._redactor.pseudonym(one.author, tenant),
            "conversation_id": self._redactor.pseudonym(one.conversation_id, tenant),
        }
        return one.model_copy(update=changed)
