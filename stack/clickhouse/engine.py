"""Runs statements on chdb with limits, a fresh connection each.

A chdb connection runs one query at a time and keeps what SET changed; opening one takes 0.2 ms,
so every request gets its own: nothing waits behind another's scan and no setting leaks. Lanes
(threads with a bounded queue) keep inserts, the product's statements and analysts' reads apart.

Failure behaviour: :class:`EngineError` carries ClickHouse's code and text. A lane whose queue is
full refuses at once. Statements are never logged: they may hold content.
"""

import asyncio
import json
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeVar

from stack.clickhouse.policy import refused_functions

Lane = Literal["insert", "product", "read_only"]
T = TypeVar("T")

MIB = 1 << 20
LANE_THREADS: Mapping[Lane, int] = {"insert": 2, "product": 3, "read_only": 2}
LANE_QUEUE = 64
INSERT_CHUNK_BYTES = 4 * MIB
TOO_MANY_QUERIES = 202
UNKNOWN_EXCEPTION = 1002
_CODE = re.compile(r"Code: (\d+)\.")
_SETTINGS_CLAUSE = re.compile(r"(.*?)(\bSETTINGS\s.*)?\Z", re.IGNORECASE | re.DOTALL)
_SETTING_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z")

SERVER_OPTIONS: Mapping[str, int] = {
    "mark_cache_size": 64 * MIB,
    "index_mark_cache_size": 16 * MIB,
    "background_pool_size": 2,
    "background_schedule_pool_size": 4,
}
QUERY_LIMITS: Mapping[str, int] = {
    "max_execution_time": 60,
    "max_memory_usage": 512 * MIB,
    "max_result_rows": 1_000_000,
    "max_result_bytes": 256 * MIB,
    "max_threads": 2,
}
"""Of a request with the product's token; it may change them."""
READ_ONLY_LIMITS: Mapping[str, int] = {
    "max_execution_time": 30,
    "max_memory_usage": 384 * MIB,
    "max_result_rows": 200_000,
    "max_result_bytes": 64 * MIB,
    "max_threads": 2,
}
"""Of a request without it; it may only lower them."""


class EngineError(Exception):
    """ClickHouse refused or failed; ``code`` is its error code, the text its message."""

    def __init__(self, text: str, code: int | None = None) -> None:
        super().__init__(text)
        match = _CODE.search(text)
        self.code = code or (int(match.group(1)) if match else UNKNOWN_EXCEPTION)


class BusyError(EngineError):
    """The lane's queue is full: try again."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Result of one statement: bytes in the asked format and what it cost."""

    body: bytes
    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    result_rows: int = 0
    elapsed_ns: int = 0

    def summary(self) -> str:
        """Value of the ``X-ClickHouse-Summary`` header."""
        counts = {
            "read_rows": self.read_rows,
            "read_bytes": self.read_bytes,
            "written_rows": self.written_rows,
            "written_bytes": self.written_bytes,
            "total_rows_to_read": 0,
            "result_rows": self.result_rows,
            "result_bytes": len(self.body),
            "elapsed_ns": self.elapsed_ns,
        }
        return json.dumps({name: str(count) for name, count in counts.items()})


@dataclass(frozen=True, slots=True)
class Request:
    """One statement to run. ``settings`` are the client's, by name."""

    sql: str
    output_format: str = "TabSeparated"
    database: str = "default"
    settings: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    read_only: bool = False


class Engine:
    """The engine on a folder; what an insert was answered for is there at the next start."""

    def __init__(self, path: Path, memory_bytes: int) -> None:
        from chdb import _chdb  # noqa: PLC0415 (slow, and an optional dependency)

        self._connect = _chdb.connect  # type: ignore[attr-defined]
        self._target = str(path)
        options = {"max_server_memory_usage": memory_bytes, **SERVER_OPTIONS}
        query = "&".join(f"{name}={value}" for name, value in options.items())
        # Held open for the life of the process: the engine ends with its last connection.
        self._anchor = self._connect(f"{self._target}?{query}")
        self._lanes = {
            lane: ThreadPoolExecutor(threads, thread_name_prefix=lane)
            for lane, threads in LANE_THREADS.items()
        }
        self._waiting = dict.fromkeys(LANE_THREADS, 0)
        self._waiting_lock = threading.Lock()
        self.version, self.timezone = self._column("SELECT arrayJoin([version(), timezone()])")
        self.refused_functions = refused_functions(
            self._column("SELECT name FROM system.table_functions"),
            self._column("SELECT name FROM system.functions"),
        )

    def _column(self, sql: str) -> list[str]:
        text: str = self._anchor.query(sql, "TSV", params={}).bytes().decode()
        return text.splitlines()

    async def query(self, lane: Lane, request: Request) -> Answer:
        """Run a statement. Raises :class:`EngineError`."""
        return await self._in_lane(lane, lambda: self._query(request))

    async def insert(self, request: Request, data: BinaryIO, insert_format: str) -> Answer:
        """INSERT with the data of a file, in one stream. Raises :class:`EngineError`."""
        return await self._in_lane("insert", lambda: self._insert(request, data, insert_format))

    async def _in_lane(self, lane: Lane, work: Callable[[], T]) -> T:
        with self._waiting_lock:
            if self._waiting[lane] >= LANE_QUEUE:
                raise BusyError(
                    f"Code: {TOO_MANY_QUERIES}. DB::Exception: Too many simultaneous queries. "
                    "(TOO_MANY_SIMULTANEOUS_QUERIES)"
                )
            self._waiting[lane] += 1

        def counted() -> T:
            # Counted until the work ends, even if the client has gone meanwhile.
            try:
                return work()
            finally:
                with self._waiting_lock:
                    self._waiting[lane] -= 1

        return await asyncio.get_running_loop().run_in_executor(self._lanes[lane], counted)

    def _query(self, request: Request) -> Answer:
        connection = self._prepared(request)
        try:
            result = connection.query(
                request.sql, request.output_format, params=dict(request.parameters)
            )
            return Answer(
                body=result.bytes() or b"",
                read_rows=result.storage_rows_read(),
                read_bytes=result.storage_bytes_read(),
                written_rows=result.rows_written(),
                written_bytes=result.bytes_written(),
                result_rows=result.rows_read(),
                elapsed_ns=int(result.elapsed() * 1e9),
            )
        except RuntimeError as error:
            raise EngineError(str(error)) from None
        finally:
            connection.close()

    def _insert(self, request: Request, data: BinaryIO, insert_format: str) -> Answer:
        """Spool the data and INSERT it from the file.

        Not chdb's streaming insert: measured on 26.9, its ``insert_done`` reports success for rows
        that the table then refused (too many parts, constraint, memory): they would be lost.
        """
        target, settings = _SETTINGS_CLAUSE.match(request.sql).groups()  # type: ignore[union-attr]
        connection = self._prepared(request)
        try:
            with tempfile.NamedTemporaryFile(prefix="insert-") as spooled:
                shutil.copyfileobj(data, spooled, INSERT_CHUNK_BYTES)
                spooled.flush()
                result = connection.query(
                    f"{target} FROM INFILE {_quote(spooled.name)} COMPRESSION 'none' "
                    f"{settings or ''} FORMAT {insert_format}",
                    "TSV",
                    params=dict(request.parameters),
                )
            return Answer(
                body=b"",
                written_rows=result.rows_written(),
                written_bytes=result.bytes_written(),
                elapsed_ns=int(result.elapsed() * 1e9),
            )
        except RuntimeError as error:
            raise EngineError(str(error)) from None
        finally:
            connection.close()

    def _prepared(self, request: Request) -> Any:
        """A connection with database and settings applied. Raises :class:`EngineError`."""
        connection = self._connect(self._target)
        try:
            connection.query(f"USE {_quote_name(request.database)}", "TSV", params={})
            connection.query(_set_statement(request), "TSV", params={})
        except RuntimeError as error:
            connection.close()
            raise EngineError(str(error)) from None
        return connection

    def close(self) -> None:
        """Wait for running statements and close the engine."""
        for executor in self._lanes.values():
            executor.shutdown(wait=True, cancel_futures=True)
        self._anchor.close()


def _set_statement(request: Request) -> str:
    """SET with limits and the client's settings; ``readonly`` last, as it locks the rest."""
    limits = READ_ONLY_LIMITS if request.read_only else QUERY_LIMITS
    values: dict[str, str] = {name: str(value) for name, value in limits.items()}
    values["result_overflow_mode"] = "throw"
    for name, value in request.settings.items():
        if not _SETTING_NAME.match(name):
            raise EngineError(f"Code: 115. DB::Exception: Unknown setting {name}")
        if request.read_only and name in values:
            if name in limits and value.isdigit() and 0 < int(value) < limits[name]:
                values[name] = value
            continue
        values[name] = value
    if request.read_only:
        values.pop("readonly", None)
        values["readonly"] = "1"
    return "SET " + ", ".join(f"{name} = {_quote(value)}" for name, value in values.items())


def _quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _quote_name(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
