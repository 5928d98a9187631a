"""OTLP/HTTP: ``POST /v1/traces`` and ``POST /v1/logs``.

Every refusal is a ``google.rpc.Status`` in the request's encoding. Order matters: whatever can be
refused without reading the body is refused before it is read. 429 and 503 with Retry-After mean
"send again"; 400, 401, 403, 404, 405, 413, 415 mean that the same request can never succeed.
"""

import asyncio
import json
import logging
import time
from typing import Any

from aiohttp import ClientError, web
from google.protobuf.message import Message
from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status

from ingest import telemetry
from ingest.body import BODY_TIMEOUT_S, CONTENT_ENCODINGS, Reservation
from ingest.intake import (
    BodyFaults,
    Intake,
    Refusal,
    bad_request,
    rejection_text,
    response_of,
    unavailable,
)
from ingest.otlp import Encoding, RejectedItem
from ingest.signals import SIGNALS, Signal
from schemas.metrics import GATEWAY_LATENCY, GATEWAY_REQUESTS

log = logging.getLogger(__name__)

_SIGNALS = {signal.path: signal for signal in SIGNALS}
_ENCODINGS: dict[str, Encoding] = {
    "application/x-protobuf": "protobuf",
    "application/json": "json",
}
_MEDIA_TYPES = {encoding: media_type for media_type, encoding in _ENCODINGS.items()}

_UNSIZED_BYTES = 64 << 10
"""Guessed of a body without Content-Length: where not even that fits, it is refused unread."""


class OtlpHttp:
    """Serves exports over HTTP."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request of any method and path."""
        own = telemetry.OWN_HEADER in request.headers
        with telemetry.OFF if own else telemetry.span("gateway.request") as span:
            response = await self._answered(request)
            span.set(telemetry.PROTOCOL, "http")
            span.set("http.response.status_code", response.status)
            span.set(telemetry.OUTCOME, "accepted" if response.status == 200 else "refused")
        return response

    async def _answered(self, request: web.Request) -> web.Response:
        started_s = time.monotonic()
        encoding = _ENCODINGS.get(request.content_type)
        try:
            response = await self._export(request, encoding)
        except Refusal as refusal:
            response = _refused(refusal, encoding or "json")
        except Exception:  # the process boundary: a bug must cost one request, and be seen
            log.exception("export failed")
            response = _refused(Refusal(500, Code.INTERNAL, "internal error"), encoding or "json")
        GATEWAY_REQUESTS.labels("http", str(response.status)).inc()
        GATEWAY_LATENCY.labels("http").observe(time.monotonic() - started_s)
        return response

    async def _export(self, request: web.Request, encoding: Encoding | None) -> web.Response:
        signal, encoding = _checked_request(request, encoding)
        tenant = self._intake.caller(request.headers, request.remote)
        reservation = self._intake.admit(tenant, announced_bytes(request))
        try:
            body = await read_body(request, reservation)
        except BaseException:
            reservation.release()
            raise
        rejected = await self._intake.export(
            signal, tenant, body, reservation, encoding, content_encoding(request)
        )
        return _succeeded(signal, rejected, encoding)


def announced_bytes(request: web.Request) -> int:
    """What the sender says of its body's size, or a guess."""
    length = request.content_length
    return _UNSIZED_BYTES if length is None else length


async def read_body(request: web.Request, reservation: Reservation) -> bytes:
    """The body as it was sent, growing the reservation. Raises :class:`Refusal`."""
    body = bytearray()
    try:
        with BodyFaults(reservation.max_bytes):
            async with asyncio.timeout(BODY_TIMEOUT_S):
                async for chunk in request.content.iter_any():
                    reservation.grow_to(len(body) + len(chunk))
                    body += chunk
    except TimeoutError:
        raise unavailable("the body took too long to arrive") from None
    except (ClientError, web.RequestPayloadError, ConnectionError):
        raise bad_request("the body ends early") from None
    return bytes(body)


def _checked_request(request: web.Request, encoding: Encoding | None) -> tuple[Signal, Encoding]:
    signal = _SIGNALS.get(request.path)
    if signal is None:
        raise Refusal(404, Code.UNIMPLEMENTED, f"only {' and '.join(_SIGNALS)} are served")
    if request.method != "POST":
        raise Refusal(405, Code.UNIMPLEMENTED, "only POST is allowed")
    if encoding is None:
        types = " or ".join(_ENCODINGS)
        raise Refusal(415, Code.INVALID_ARGUMENT, f"the content type must be {types}")
    if content_encoding(request) not in CONTENT_ENCODINGS:
        known = ", ".join(CONTENT_ENCODINGS)
        raise Refusal(415, Code.INVALID_ARGUMENT, f"the content encoding must be one of {known}")
    return signal, encoding


def content_encoding(request: web.Request) -> str:
    """``identity`` where none is named."""
    return request.headers.get("Content-Encoding", "").strip().lower() or "identity"


def _succeeded(signal: Signal, rejected: list[RejectedItem], encoding: Encoding) -> web.Response:
    document: dict[str, Any] = {}
    if rejected:
        head, *rest = signal.rejected.split("_")
        field = head + "".join(word.capitalize() for word in rest)
        document["partialSuccess"] = {
            field: str(len(rejected)),
            "errorMessage": rejection_text(rejected),
        }
    return _answer(200, response_of(signal, rejected), document, encoding)


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
