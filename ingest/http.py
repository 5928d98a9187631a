"""``POST /v1/traces``: from an HTTP request to Kafka's acknowledgement and back.

Every refusal is a ``google.rpc.Status`` in the request's encoding. Order matters: whatever can be
refused without reading the body is refused before it is read. 503 with Retry-After means "send
again"; 400, 401, 403, 405, 413, 415 mean that the same request can never succeed.
"""

import asyncio
import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientError, web
from google.protobuf.message import Message
from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from ingest.body import (
    CONTENT_ENCODINGS,
    BodyTooLargeError,
    BudgetSpentError,
    CorruptBodyError,
    InflightBudget,
    Reservation,
    inflate,
)
from ingest.coalesce import Coalescer
from ingest.keys import ForbiddenError, KeyRing, UnknownKeyError
from ingest.otlp import Encoding, OtlpError, RejectedSpan, decode_traces
from ingest.producer import RECORD_OVERHEAD_BYTES, GatewayProducer
from ingest.split import split_traces
from schemas.config import Config
from schemas.metrics import GATEWAY_LATENCY, GATEWAY_REQUESTS, GATEWAY_SPANS
from schemas.protocols import RetryableError

log = logging.getLogger(__name__)

TRACES_PATH = "/v1/traces"
_ENCODINGS: dict[str, Encoding] = {
    "application/x-protobuf": "protobuf",
    "application/json": "json",
}
_MEDIA_TYPES = {encoding: media_type for media_type, encoding in _ENCODINGS.items()}

BODY_TIMEOUT_S = 30.0
"""Longest read of one body: a slow sender holds its share of the budget no longer."""
_INLINE_BYTES = 64 << 10
"""Bodies beyond it are decoded in a thread, so that they do not hold up the others."""
_UNSIZED_BYTES = 64 << 10
"""First reservation for a body without Content-Length; it grows as the body comes in."""
_DECODING_THREADS = 2
_FIRST_TAG = b"\n"
"""Of ``resource_spans``. Unknown fields in front could look like JSON to the stages."""
_SHARING_ITEMS = 100_000
"""A request of more resources, scopes and spans might put its neighbours' message over the limit
of one request."""
_OVERLOAD_RETRY_S = 1
_BROKER_RETRY_S = 5


class Refusal(Exception):
    """An answer other than success; ``message`` names the fault, never content."""

    def __init__(self, status: int, code: int, message: str, retry_after_s: int | None = None):
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class _Accepted:
    """What a body becomes: messages for Kafka, and the spans that go nowhere."""

    messages: list[bytes]
    span_count: int
    rejected: list[RejectedSpan]
    alone: bool = False
    """Whether it must not share a message: together with others it might not decode."""


class TracesEndpoint:
    """Serves exports; one instance per gateway process."""

    def __init__(
        self, config: Config, producer: GatewayProducer, coalescer: Coalescer, keys: KeyRing
    ) -> None:
        self._gateway = config.gateway
        self._message_bytes = message_cap_bytes(config)
        self._producer = producer
        self._coalescer = coalescer
        self._keys = keys
        self._budget = InflightBudget(config.gateway.inflight_bytes)
        self._threads = ThreadPoolExecutor(_DECODING_THREADS, thread_name_prefix="decode")

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request of any method and path."""
        started_s = time.monotonic()
        encoding = _ENCODINGS.get(request.content_type)
        try:
            response = await self._export(request, encoding)
        except Refusal as refusal:
            response = _refused(refusal, encoding or "json")
        except Exception:  # the process boundary: a bug must cost one request, and be seen
            log.exception("export failed")
            response = _refused(Refusal(500, Code.INTERNAL, "internal error"), encoding or "json")
        GATEWAY_REQUESTS.labels(str(response.status)).inc()
        GATEWAY_LATENCY.observe(time.monotonic() - started_s)
        return response

    async def _export(self, request: web.Request, encoding: Encoding | None) -> web.Response:
        # Step 1. Refuse what can be refused unread.
        encoding = _checked_request(request, encoding)
        tenant = self._tenant(request)
        if not self._producer.available:
            raise _unavailable("the broker is slow or away", _BROKER_RETRY_S)
        reservation = self._reserved(request)
        pending: list[asyncio.Future[None]] = []
        try:
            # Step 2. Read, inflate, decode, split.
            body = await self._body(request, reservation)
            accepted = await self._decoded(request, body, encoding, reservation)
            # Step 3. Queue every message, then wait for all acknowledgements.
            pending = [
                self._coalescer.submit(tenant, message, accepted.alone)
                for message in accepted.messages
            ]
            await self._acknowledged(pending)
        finally:
            # A message past its deadline still holds memory until the broker or aiokafka ends it.
            _when_all_done(pending, reservation)
        GATEWAY_SPANS.labels(tenant, "accepted").inc(accepted.span_count)
        GATEWAY_SPANS.labels(tenant, "rejected").inc(len(accepted.rejected))
        return _succeeded(accepted.rejected, encoding)

    def _tenant(self, request: web.Request) -> str:
        try:
            return self._keys.tenant(request.headers, request.remote)
        except UnknownKeyError as error:
            raise Refusal(401, Code.UNAUTHENTICATED, str(error)) from None
        except ForbiddenError as error:
            raise Refusal(403, Code.PERMISSION_DENIED, str(error)) from None

    def _reserved(self, request: web.Request) -> Reservation:
        length = request.content_length
        size_bytes = _UNSIZED_BYTES if length is None else length
        with _BodyFaults(self._gateway.max_body_bytes):
            return Reservation(self._budget, size_bytes, self._gateway.max_body_bytes)

    async def _body(self, request: web.Request, reservation: Reservation) -> bytes:
        body = bytearray()
        try:
            with _BodyFaults(self._gateway.max_body_bytes):
                async with asyncio.timeout(BODY_TIMEOUT_S):
                    async for chunk in request.content.iter_any():
                        reservation.grow_to(len(body) + len(chunk))
                        body += chunk
        except TimeoutError:
            raise _unavailable("the body took too long to arrive", _OVERLOAD_RETRY_S) from None
        except (ClientError, web.RequestPayloadError, ConnectionError):
            raise _bad_request("the body ends early") from None
        return bytes(body)

    async def _decoded(
        self, request: web.Request, body: bytes, encoding: Encoding, reservation: Reservation
    ) -> _Accepted:
        packing = _content_encoding(request)
        if len(body) <= _INLINE_BYTES and packing == "identity":
            return self._accepted(body, packing, encoding, reservation)
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, self._accepted, body, packing, encoding, reservation
        )

    def _accepted(
        self, body: bytes, packing: str, encoding: Encoding, reservation: Reservation
    ) -> _Accepted:
        """Runs in a thread for large bodies: touches nothing but its arguments."""
        with _BodyFaults(self._gateway.max_body_bytes):
            value = inflate(body, packing, reservation)
        try:
            decoded = decode_traces(value, encoding)
        except OtlpError as error:
            raise _bad_request(error.reason) from None
        rejected = decoded.rejected
        if decoded.span_count == 0:
            return _Accepted([], 0, rejected)
        if encoding == "json" or rejected or not value.startswith(_FIRST_TAG):
            value = decoded.request.SerializeToString()
        if len(value) <= self._message_bytes:
            alone = bool(decoded.repaired) or decoded.items > _SHARING_ITEMS
            return _Accepted([value], decoded.span_count, rejected, alone)
        split = split_traces(decoded.request, self._message_bytes)
        return _Accepted(
            split.pieces, decoded.span_count - len(split.rejected), rejected + split.rejected
        )

    async def _acknowledged(self, pending: list[asyncio.Future[None]]) -> None:
        if not pending:
            return
        await asyncio.wait(pending, timeout=self._gateway.produce_deadline_s)
        if not all(future.done() for future in pending):
            raise _unavailable("the broker did not acknowledge in time", _BROKER_RETRY_S)
        try:
            for future in pending:
                future.result()
        except (RetryableError, asyncio.CancelledError):
            raise _unavailable("the broker did not take the spans", _BROKER_RETRY_S) from None

    def close(self) -> None:
        """Stop the decoding threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def message_cap_bytes(config: Config) -> int:
    """Most bytes of one Kafka value, so that the record with its headers stays below the limit."""
    return config.kafka.max_message_bytes - RECORD_OVERHEAD_BYTES


class _BodyFaults:
    """Turns the faults of reading and inflating a body into refusals."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, BodyTooLargeError):
            text = f"the body exceeds {self._max_bytes} bytes (after decompression too)"
            raise Refusal(413, Code.RESOURCE_EXHAUSTED, text) from None
        if isinstance(error, BudgetSpentError):
            raise _unavailable("too many bytes in flight", _OVERLOAD_RETRY_S) from None
        if isinstance(error, CorruptBodyError):
            raise _bad_request(str(error)) from None


def _checked_request(request: web.Request, encoding: Encoding | None) -> Encoding:
    if request.path != TRACES_PATH:
        raise Refusal(404, Code.UNIMPLEMENTED, f"only {TRACES_PATH} is served")
    if request.method != "POST":
        raise Refusal(405, Code.UNIMPLEMENTED, "only POST is allowed")
    if encoding is None:
        types = " or ".join(_ENCODINGS)
        raise Refusal(415, Code.INVALID_ARGUMENT, f"the content type must be {types}")
    if _content_encoding(request) not in CONTENT_ENCODINGS:
        known = ", ".join(CONTENT_ENCODINGS)
        raise Refusal(415, Code.INVALID_ARGUMENT, f"the content encoding must be one of {known}")
    return encoding


def _content_encoding(request: web.Request) -> str:
    return request.headers.get("Content-Encoding", "").strip().lower() or "identity"


def _unavailable(message: str, retry_after_s: int) -> Refusal:
    return Refusal(503, Code.UNAVAILABLE, message, retry_after_s)


def _bad_request(message: str) -> Refusal:
    return Refusal(400, Code.INVALID_ARGUMENT, message)


def _when_all_done(pending: list[asyncio.Future[None]], reservation: Reservation) -> None:
    """Release the reservation once no future needs the body any more."""
    left = {future for future in pending if not future.done()}
    if not left:
        reservation.release()
        return

    def done(future: asyncio.Future[None]) -> None:
        left.discard(future)
        if not left:
            reservation.release()

    for future in tuple(left):
        future.add_done_callback(done)


def _succeeded(rejected: list[RejectedSpan], encoding: Encoding) -> web.Response:
    message = ExportTraceServiceResponse()
    document: dict[str, Any] = {}
    if rejected:
        counts: dict[str, int] = {}
        for span in rejected:
            counts[span.reason] = counts.get(span.reason, 0) + 1
        text = ", ".join(f"{reason}: {count}" for reason, count in sorted(counts.items()))
        message.partial_success.rejected_spans = len(rejected)
        message.partial_success.error_message = text
        document["partialSuccess"] = {"rejectedSpans": str(len(rejected)), "errorMessage": text}
    return _answer(200, message, document, encoding)


def _refused(refusal: Refusal, encoding: Encoding) -> web.Response:
    message = Status(code=refusal.code, message=refusal.message)
    document = {"code": refusal.code, "message": refusal.message}
    response = _answer(refusal.status, message, document, encoding)
    if refusal.retry_after_s is not None:
        response.headers["Retry-After"] = str(refusal.retry_after_s)
    if refusal.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if refusal.status == 405:
        response.headers["Allow"] = "POST"
    if refusal.status == 415:
        response.headers["Accept-Encoding"] = ", ".join(CONTENT_ENCODINGS)
    return response


def _answer(
    status: int, message: Message, document: dict[str, Any], encoding: Encoding
) -> web.Response:
    body = message.SerializeToString() if encoding == "protobuf" else json.dumps(document).encode()
    return web.Response(status=status, body=body, content_type=_MEDIA_TYPES[encoding])
