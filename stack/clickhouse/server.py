"""ClickHouse's HTTP interface over the engine.

A request with the product's token (header ``X-Streamgauge-Token``) may do anything; any other,
and every GET, may only read (see :mod:`stack.clickhouse.policy`). Results are complete before
the first byte is sent, so a failed query is always a 500 with ``X-ClickHouse-Exception-Code``.

Not there: users, ClickHouse's own block compression (``compress=1``), external tables, sessions
(``session_id`` is accepted and has no effect). Logs name a request's id, code and time only.
"""

import asyncio
import hmac
import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO, cast

from aiohttp import BodyPartReader, web

from stack.clickhouse import bodies
from stack.clickhouse.engine import Answer, BusyError, Engine, EngineError, Request
from stack.clickhouse.policy import check_read_only
from stack.clickhouse.statement import (
    HEAD_BYTES,
    Statement,
    StatementError,
    is_insert,
    parse,
    parse_insert,
)

TOKEN_HEADER = "X-Streamgauge-Token"  # noqa: S105 (a header's name)
MAX_BODY_BYTES = 1 << 30
MAX_READ_ONLY_BODY_BYTES = 1 << 20
NOT_IMPLEMENTED = 48
CANNOT_READ = 354
_BUSY_RETRY_S = "1"

_TRANSPORT = frozenset(
    {
        "query",
        "user",
        "password",
        "database",
        "query_id",
        "session_id",
        "session_timeout",
        "session_check",
        "close_session",
        "default_format",
        "quota_key",
        "role",
        "buffer_size",
        "wait_end_of_query",
        "client_protocol_version",
        "stacktrace",
        "compress",
        "decompress",
    }
)
_CONTENT_TYPES: Mapping[str, str] = {
    "Native": "application/octet-stream",
    "RowBinary": "application/octet-stream",
    "Parquet": "application/octet-stream",
    "Arrow": "application/octet-stream",
    "ArrowStream": "application/octet-stream",
    "CSV": "text/csv; charset=UTF-8",
    "CSVWithNames": "text/csv; charset=UTF-8",
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TabSeparatedWithNames": "text/tab-separated-values; charset=UTF-8",
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
}

log = logging.getLogger("streamgauge.clickhouse")


@dataclass(slots=True)
class Call:
    """One HTTP request, taken apart. ``text`` is SQL, ``rest`` its inline data, if any."""

    params: dict[str, str]
    read_only: bool
    query_id: str
    statement: Statement
    rest: BinaryIO | None = None

    def request(self) -> Request:
        """What the engine is asked to run."""
        prefix = "param_"
        return Request(
            sql=self.statement.sql,
            output_format=self.statement.output_format or "TabSeparated",
            database=self.params.get("database") or "default",
            settings={
                name: value
                for name, value in self.params.items()
                if name not in _TRANSPORT and not name.startswith(prefix)
            },
            parameters={
                name.removeprefix(prefix): value
                for name, value in self.params.items()
                if name.startswith(prefix)
            },
            read_only=self.read_only,
        )


class ClickHouseServer:
    """Handlers over one engine; ``token`` is the product's."""

    def __init__(self, engine: Engine, token: str) -> None:
        self._engine = engine
        self._token = token.encode()

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        for path in ("/ping", "/replicas_status"):
            app.router.add_get(path, self._ok)
        app.router.add_route("*", "/", self._statement)
        return app

    async def _ok(self, request: web.Request) -> web.Response:
        return web.Response(text="Ok.\n")

    async def _statement(self, request: web.Request) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD", "POST"):
            return web.Response(status=405)
        if request.method != "POST" and "query" not in request.query:
            return await self._ok(request)
        query_id = request.query.get("query_id") or str(uuid.uuid4())
        try:
            call, answer = await self._run(request, query_id)
        except (EngineError, StatementError) as error:
            return self._failure(error, query_id)
        except bodies.BodyError as error:
            text = f"Code: {CANNOT_READ}. DB::Exception: {error}. (CANNOT_DECOMPRESS)"
            return self._failure(EngineError(text), query_id)
        return await self._answer(request, call, answer)

    async def _run(self, request: web.Request, query_id: str) -> tuple[Call, Answer]:
        given = request.headers.get(TOKEN_HEADER, "").encode()
        trusted = hmac.compare_digest(given, self._token) and request.method == "POST"
        limit = MAX_BODY_BYTES if trusted else MAX_READ_ONLY_BODY_BYTES
        params = dict(request.query)
        if request.content_type == "multipart/form-data":
            params.update(await _form_fields(request))
            body = await bodies.spool(request, limit)
        else:
            body = await bodies.spool(request, limit)
        try:
            call = await asyncio.to_thread(
                _take_apart, request.headers, params, body, not trusted, query_id
            )
            if call.rest is not None and trusted:
                sink = call.statement.insert_format or ""
                return call, await self._engine.insert(call.request(), call.rest, sink)
            asked = call.request()
            if not trusted:
                check_read_only(call.statement, asked.parameters, self._engine.refused_functions)
            return call, await self._engine.query("product" if trusted else "read_only", asked)
        finally:
            body.close()

    async def _answer(self, request: web.Request, call: Call, answer: Answer) -> web.StreamResponse:
        headers = self._headers(call.query_id)
        headers["X-ClickHouse-Summary"] = answer.summary()
        content_type = "text/plain; charset=UTF-8"
        if call.statement.output_format is not None:
            headers["X-ClickHouse-Format"] = call.statement.output_format
            content_type = _CONTENT_TYPES.get(call.statement.output_format, content_type)
        headers["Content-Type"] = content_type
        body = answer.body
        if call.params.get("enable_http_compression") == "1" and body:
            encoding = bodies.negotiated(request.headers.get("Accept-Encoding", ""))
            if encoding:
                headers["Content-Encoding"] = encoding
                body = await asyncio.to_thread(bodies.encode, body, encoding)
        return web.Response(body=body, headers=headers)

    def _failure(self, error: EngineError | StatementError, query_id: str) -> web.Response:
        log.info("query %s failed with code %d", query_id, error.code)
        headers = self._headers(query_id)
        headers["X-ClickHouse-Exception-Code"] = str(error.code)
        status = 500
        if isinstance(error, BusyError):
            status = 503
            headers["Retry-After"] = _BUSY_RETRY_S
        text = f"{error} (version {self._engine.version} (embedded))\n"
        return web.Response(status=status, headers=headers, text=text)

    def _headers(self, query_id: str) -> dict[str, str]:
        return {
            "X-ClickHouse-Server-Display-Name": "streamgauge",
            "X-ClickHouse-Query-Id": query_id,
            "X-ClickHouse-Timezone": self._engine.timezone,
        }


async def _form_fields(request: web.Request) -> dict[str, str]:
    """Fields of a multipart form: the query and its parameters. External tables are refused."""
    fields: dict[str, str] = {}
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader) or part.filename or not part.name:
            raise StatementError(
                NOT_IMPLEMENTED, "NOT_IMPLEMENTED", "external tables are not supported here"
            )
        fields[part.name] = await part.text()
    return fields


def _take_apart(
    headers: Mapping[str, str],
    params: dict[str, str],
    body: BinaryIO,
    read_only: bool,
    query_id: str,
) -> Call:
    """Find the statement and its data. Raises StatementError or BodyError."""
    for name in ("compress", "decompress"):
        if params.get(name, "0") not in ("", "0"):
            raise StatementError(
                NOT_IMPLEMENTED, "NOT_IMPLEMENTED", f"{name}=1 is not supported here: use HTTP's"
            )
    file = bodies.decoded(body, headers.get("Content-Encoding", "").lower())
    head = bodies.read_at_most(file, HEAD_BYTES)
    in_url = params.get("query", "")
    text = (in_url.encode() + b"\n" + head) if in_url else head
    if is_insert(text[:HEAD_BYTES]):
        insert = parse_insert(text)
        if insert is not None:
            rest = cast(BinaryIO, bodies.Rest(text, insert.data_offset, file))
            return Call(params, read_only, query_id, insert, rest)
    if bodies.read_at_most(file, 1):
        raise bodies.BodyError(f"a statement is larger than {HEAD_BYTES} bytes")
    default_format = params.get("default_format") or headers.get(
        "X-ClickHouse-Format", "TabSeparated"
    )
    sql = text.decode("utf-8", "replace")
    return Call(params, read_only, query_id, parse(sql, default_format))
