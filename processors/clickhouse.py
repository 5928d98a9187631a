"""Rows into ClickHouse: one batcher a table, one insert at a time, one block an insert.

Rows wait at most ``insert_linger_s`` for company; ``insert`` returns when ClickHouse has taken
them. Failures:

- the server is away, overloaded, read-only or not yet migrated, or no connection can be opened (a
  password or CA file that cannot be read, whatever the reason): retried for ever with backoff and
  the same deduplication token, while other tables go on; memory stays bounded, because callers
  wait and the pipeline admits no more than its in-flight budget;
- rows are refused for what they hold: the batch is halved until the submitter whose rows are
  refused stands alone; only it gets :class:`PoisonError`. A fault of no known kind is blamed on
  rows only once the table has taken others since: until then it may be the server;
- anything else is handed to the submitters and stops the worker.

Inserts are at-least-once: tables replace by identity, so what is written twice is seen once.
"""

import asyncio
import logging
import struct
import uuid
from collections.abc import Awaitable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DataError, ProgrammingError
from clickhouse_connect.driver.exceptions import Error as DriverError
from clickhouse_connect.driver.insert import InsertContext
from urllib3.exceptions import HTTPError

from ingest import telemetry
from processors.runtime.backoff import Backoff
from processors.runtime.failpoints import failpoint
from schemas.config import ClickHouseConfig, Config
from schemas.metrics import CLICKHOUSE_INSERTS, CLICKHOUSE_ROWS
from schemas.protocols import Clock, PoisonError
from schemas.secrets import SecretFileError
from sql.client import connect
from sql.tables import Table, tables

log = logging.getLogger(__name__)

INSERT_THREADS = 4
"""Inserts that may run at once; a table never has two."""

UNKNOWN_FAULT_ATTEMPTS = 5
"""A fault of no known kind is retried this often, then the rows are tried by themselves."""

INSERT_SETTINGS: dict[str, object] = {
    # We batch ourselves; the server's own batching would acknowledge later and split blocks.
    "async_insert": 0,
    # Defaults of these moved between releases.
    "insert_deduplicate": 1,
    "deduplicate_insert": "enable",
    # One insert is one block, hence atomic per partition and deduplicated as a whole.
    "max_insert_block_size": 1_048_449,
    "min_insert_block_size_rows": 1_048_449,
    "min_insert_block_size_bytes": 256 << 20,
    "max_insert_threads": 1,
    "max_partitions_per_insert_block": 100,
    # Text indexes are built by merges: at insert they cost seven times the insert.
    "materialize_skip_indexes_on_insert": 0,
}

DATA_FAULTS = frozenset({
    6, 25, 26, 27, 32, 33, 36, 38, 41, 43, 53, 69, 70, 72, 73, 117, 130, 131, 190, 321, 349, 407,
    433, 469, 620,
})  # fmt: skip
"""Server error codes that blame the rows: parse, type, range, conversion, null, constraint."""

TRANSIENT_FAULTS = frozenset({
    3, 16, 60, 74, 75, 76, 77, 81, 159, 160, 164, 173, 192, 193, 194, 201, 202, 203, 209, 210, 225,
    236, 237, 241, 242, 243, 252, 279, 285, 286, 289, 319, 373, 394, 425, 439, 473, 497, 499, 516,
    598, 745, 774, 999, 1000, 1001, 1002,
})  # fmt: skip
"""Server error codes that pass or that an operator mends: overload, memory, too many parts, disks
and object stores, read-only, quotas, quorum, timeouts, a missing table or column (not yet
migrated), access, and what the server itself has no code for."""

_TOO_MANY_PARTS = 252  # also says that one insert spans too many partitions: the rows' fault
_SERIALISING = (DataError, struct.error, TypeError, ValueError, OverflowError, AttributeError)
_TRANSPORT = (OSError, HTTPError)


class _UnopenedError(Exception):
    """There is no connection; the text says why, and holds no secret."""


class _RowsRefusedError(Exception):
    """The rows of one insert cannot be taken; ``code`` is ClickHouse's, or the error's class.

    Not ``certain``: it may be the server that cannot.
    """

    def __init__(self, code: str, *, certain: bool = True) -> None:
        super().__init__(code)
        self.code = code
        self.certain = certain


@dataclass(slots=True)
class _Submission:
    """Rows of one caller, and what it waits for."""

    rows: Sequence[Sequence[object]]
    size_bytes: int
    done: asyncio.Future[None]
    doubted_at: int | None = None
    """How many inserts the table had taken when these rows first failed for no known reason."""


class ClickHouseSink:
    """A :class:`schemas.protocols.TableSink`. Belongs to one event loop."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._threads = ThreadPoolExecutor(INSERT_THREADS, thread_name_prefix="clickhouse")
        self._writers = {
            table.name: _TableWriter(table, config.clickhouse, clock, self._threads)
            for table in tables().values()
        }

    def insert(self, table: str, rows: Sequence[Sequence[object]]) -> Awaitable[None]:
        """Queue rows in the column order of :func:`sql.tables.table`; awaits their insert.

        Transient faults are retried inside, for ever. Raises :class:`PoisonError` if these rows
        alone are refused for their content, ``KeyError`` for an unknown table.
        """
        return self._writers[table].submit(rows)

    async def close(self) -> None:
        """Stop; what still waits is cancelled (its messages are not acknowledged)."""
        for writer in self._writers.values():
            await writer.close()
        self._threads.shutdown(wait=False, cancel_futures=True)


class _TableWriter:
    """One table's queue and the task that empties it."""

    def __init__(
        self, table: Table, config: ClickHouseConfig, clock: Clock, threads: ThreadPoolExecutor
    ) -> None:
        self._table = table
        self._config = config
        self._clock = clock
        self._threads = threads
        self._queue: list[_Submission] = []
        self._rows = 0
        self._bytes = 0
        self._arrived = asyncio.Event()
        self._full = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._connection = _Connection(table, config)
        self._taken = 0

    def submit(self, rows: Sequence[Sequence[object]]) -> asyncio.Future[None]:
        """Queue rows; the future ends with their insert."""
        done = asyncio.get_running_loop().create_future()
        if not rows:
            done.set_result(None)
            return done
        self._put(_Submission(rows, _size_bytes(rows), done))
        if self._rows >= self._config.insert_rows or self._bytes >= self._config.insert_bytes:
            self._full.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"insert {self._table.name}")
        return done

    def _put(self, submission: _Submission) -> None:
        self._queue.append(submission)
        self._rows += len(submission.rows)
        self._bytes += submission.size_bytes
        self._arrived.set()

    async def close(self) -> None:
        """Cancel the task and everything queued."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        for submission in self._queue:
            submission.done.cancel()

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            await self._linger()
            batch = self._take()
            try:
                await self._write(batch)
            except asyncio.CancelledError:
                for submission in batch:
                    submission.done.cancel()
                raise
            except Exception as error:
                # Boundary of this task: nobody awaits it, so its submitters must learn and stop.
                _settle(batch, error)

    async def _linger(self) -> None:
        """Wait for company: until the batch is full or its first row has waited long enough."""
        timer = asyncio.ensure_future(self._clock.sleep(self._config.insert_linger_s))
        full = asyncio.ensure_future(self._full.wait())
        try:
            await asyncio.wait((timer, full), return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            full.cancel()

    def _take(self) -> list[_Submission]:
        """As many submissions as one insert may hold, oldest first; at least one."""
        rows = size_bytes = count = 0
        for submission in self._queue:
            rows += len(submission.rows)
            size_bytes += submission.size_bytes
            if count and (
                rows > self._config.insert_rows or size_bytes > self._config.insert_bytes
            ):
                break
            count += 1
        batch, self._queue = self._queue[:count], self._queue[count:]
        self._rows -= sum(len(submission.rows) for submission in batch)
        self._bytes -= sum(submission.size_bytes for submission in batch)
        if not self._queue:
            self._arrived.clear()
        if self._rows < self._config.insert_rows and self._bytes < self._config.insert_bytes:
            self._full.clear()
        return batch

    async def _write(self, batch: list[_Submission]) -> None:
        """Insert a batch; on refusal halve it until the offender stands alone."""
        try:
            rows = [row for submission in batch for row in submission.rows]
            with telemetry.insert_span(self._table.name, len(rows)):
                await self._insert(rows)
        except _RowsRefusedError as error:
            if not error.certain:
                self._doubt(batch)
            if len(batch) > 1:
                half = len(batch) // 2
                await self._write(batch[:half])
                await self._write(batch[half:])
            else:
                self._refused(batch[0], error)
        else:
            failpoint("inserted")
            self._taken += 1
            _settle(batch, None)

    def _doubt(self, batch: Iterable[_Submission]) -> None:
        for submission in batch:
            if submission.doubted_at is None:
                submission.doubted_at = self._taken

    def _refused(self, submission: _Submission, error: _RowsRefusedError) -> None:
        """Blame the rows, or put them behind others that may tell whose fault it is."""
        doubted_at = submission.doubted_at
        if not error.certain and doubted_at is not None and self._taken <= doubted_at:
            self._put(submission)
            return
        CLICKHOUSE_INSERTS.labels(self._table.name, "refused").inc()
        log.error("ClickHouse refuses rows of %s (%s)", self._table.name, error.code)
        _settle([submission], PoisonError("rows_refused", f"{self._table.name}: {error.code}"))

    async def _insert(self, rows: list[Sequence[object]]) -> None:
        """One insert, retried for ever with one token. Raises :class:`_RowsRefusedError`."""
        loop = asyncio.get_running_loop()
        # Unique per insert and shared by its retries: a token reused with other rows would drop
        # them silently.
        token = uuid.uuid4().hex
        backoff = Backoff(self._clock)
        unknown_faults = 0
        while True:
            try:
                await loop.run_in_executor(self._threads, self._connection.insert, rows, token)
            except (_UnopenedError, ClickHouseError, *_TRANSPORT) as error:
                if isinstance(error, ProgrammingError) and error.code is None:
                    raise  # the client's own refusal: a setting this server lacks
                kind, code = _fault(error)
                unknown_faults += kind == "unknown"
                if kind == "data" or unknown_faults >= UNKNOWN_FAULT_ATTEMPTS:
                    raise _RowsRefusedError(code, certain=kind == "data") from None
                CLICKHOUSE_INSERTS.labels(self._table.name, "retried").inc()
                log.warning(
                    "insert of %d rows into %s failed (%s); retry %d",
                    len(rows), self._table.name, code, backoff.attempts + 1,
                )  # fmt: skip
                await backoff.wait()
            else:
                CLICKHOUSE_INSERTS.labels(self._table.name, "done").inc()
                CLICKHOUSE_ROWS.labels(self._table.name).inc(len(rows))
                return


class _Connection:
    """One table's client and its reused insert context; made anew after a transport fault.

    Used by one thread at a time: a table has one insert in flight.
    """

    def __init__(self, table: Table, config: ClickHouseConfig) -> None:
        self._table = table
        self._config = config
        self._client: Client | None = None
        self._context: InsertContext | None = None

    def insert(self, rows: Sequence[Sequence[object]], token: str) -> None:
        """Insert as columns.

        Raises :class:`_UnopenedError` without a connection, :class:`_RowsRefusedError` for rows
        that make no columns, else what clickhouse-connect raises.
        """
        try:
            client, context = self._opened()
            try:
                context.settings = {**INSERT_SETTINGS, "insert_deduplication_token": token}
                context.data = list(zip(*rows, strict=True))
                client.data_insert(context)
            except _SERIALISING as error:
                raise _RowsRefusedError(type(error).__name__) from None
        except BaseException:
            self._close()  # a fresh connection and context: the failed ones may be half-written
            raise

    def _opened(self) -> tuple[Client, InsertContext]:
        """Whatever goes wrong here is never the rows' fault."""
        try:
            return self._open()
        except SecretFileError as error:
            raise _UnopenedError(str(error)) from None
        except ProgrammingError:
            raise
        except (ClickHouseError, ValueError, *_TRANSPORT) as error:
            raise _UnopenedError(_fault(error)[1]) from None

    def _open(self) -> tuple[Client, InsertContext]:
        if self._client is None or self._context is None:
            self._client = connect(self._config)
            given = [column for column in self._table.declared if column.given]
            # Types are ours, not asked for: a column that is not there yet is then the server's
            # answer to the insert, which is retried until ``migrate`` has run.
            self._context = self._client.create_insert_context(
                self._table.name,
                column_names=[column.name for column in given],
                column_type_names=[column.type for column in given],
                column_oriented=True,
            )
        return self._client, self._context

    def _close(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = self._context = None


def _settle(batch: Iterable[_Submission], error: Exception | None) -> None:
    for submission in batch:
        if submission.done.done():
            continue  # its caller was cancelled
        if error is None:
            submission.done.set_result(None)
        else:
            submission.done.set_exception(error)


def _fault(error: Exception) -> tuple[str, str]:
    """(``transient``, ``data`` or ``unknown``; code for the log) of a failed insert.

    Never the error's text: ClickHouse quotes the offending value there.
    """
    if isinstance(error, _UnopenedError):
        return "transient", str(error)
    code = error.code if isinstance(error, DriverError) else None
    if code is None:
        # No answer from ClickHouse itself: connection refused or cut, timeout, a proxy's 5xx.
        return "transient", type(error).__name__
    named = f"ClickHouse error {code}"
    if code == _TOO_MANY_PARTS and "partitions for single INSERT" in str(error):
        return "data", named
    if code in DATA_FAULTS:
        return "data", named
    return ("transient" if code in TRANSIENT_FAULTS else "unknown"), named


def _size_bytes(rows: Sequence[Sequence[object]]) -> int:
    """Rough bytes of rows: text counts its characters, anything else eight bytes."""
    return sum(_cell_bytes(cell) for row in rows for cell in row)


def _cell_bytes(cell: object) -> int:
    if isinstance(cell, str):
        return len(cell)
    if isinstance(cell, dict):
        return sum(len(str(key)) + _cell_bytes(value) for key, value in cell.items())
    if isinstance(cell, (list, tuple)):
        return sum(map(_cell_bytes, cell))
    return 8
