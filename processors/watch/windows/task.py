"""Runs the writer's cycles where the owner of its partition is.

One writer for all tenants and streams: its partition is that of a rule named :data:`OWNED_AS`, so
that it moves with the rules of the worker. Cycles run in a thread of their own; verdicts, signals
and rules wait for none of them. ClickHouse away or a statement refused: the next cycle finds the
same buckets unsealed and computes them from the same rows, so nothing is lost but time.
"""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

from clickhouse_connect.driver.exceptions import Error as DriverError
from urllib3.exceptions import HTTPError

from processors.watch.windows.cycle import WindowWriter
from schemas.config import Config
from schemas.identity import rule_partition
from schemas.metrics import WINDOW_CYCLES
from schemas.protocols import Clock

logger = logging.getLogger(__name__)

OWNED_AS = "drift windows"
CYCLE_S = 30.0
"""A window is there this long after its watermark at the latest, and the time its SELECT takes."""


class Windows:
    """The writer, while this worker owns its partition."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._clock = clock
        self._partition = rule_partition(config.tenant, OWNED_AS, config.kafka.partitions)
        self._config = config
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="windows")
        self._writer: WindowWriter | None = None
        self._task: asyncio.Task[None] | None = None

    def adopt(self, partition: int) -> None:
        """Begin to write, if the partition is the writer's."""
        if partition == self._partition and self._task is None:
            self._writer = WindowWriter(self._config)
            self._task = asyncio.create_task(self._run(self._writer))

    def forget(self, partition: int) -> None:
        """Another worker writes now. A statement under way ends by itself and does no harm."""
        if partition == self._partition:
            self._end()

    def stop(self) -> None:
        """End for good."""
        self._end()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def raise_if_failed(self) -> None:
        """Raise what ended the task, so that the worker stops rather than never write windows."""
        if self._task is not None and self._task.done():
            self._task.result()

    def _end(self) -> None:
        if self._writer is not None:
            self._writer.end()
            self._writer = None
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self, writer: WindowWriter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                await loop.run_in_executor(self._thread, writer.cycle)
            except (DriverError, HTTPError, OSError) as error:
                WINDOW_CYCLES.labels("failed").inc()
                code = getattr(error, "code", None)  # the text may quote what the tables hold
                logger.warning("windows wait: %s", code or type(error).__name__)
            else:
                WINDOW_CYCLES.labels("done").inc()
            await self._clock.sleep(CYCLE_S)
