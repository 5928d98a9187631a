"""``POST /v1/feedback``: one label or a list of them, JSON; success only once they are stored.

Answers are JSON: 200 ``{"accepted": n}``; else ``{"code", "message"}`` with the status of OTLP's
refusals (400 names the field, 503 says when to send again). The tenant is the API key's.
"""

import logging
from collections.abc import Sequence
from typing import Protocol

import orjson
from aiohttp import ClientError, web
from google.rpc.code_pb2 import Code
from pydantic import ValidationError

from ingest.intake import Intake, Refusal, bad_request, unavailable
from schemas.feedback import Feedback
from schemas.metrics import GATEWAY_REQUESTS
from schemas.protocols import RetryableError

log = logging.getLogger(__name__)

PATH = "/v1/feedback"
MAX_BYTES = 1 << 20
MAX_LABELS = 1000
_RETRY_S = 5


class FeedbackTaker(Protocol):
    """Where labels go."""

    async def take(self, tenant: str, said: Sequence[Feedback]) -> None:
        """Redact and store; returns once they are durable. Raises ``RetryableError``."""


class FeedbackApi:
    """Serves the route."""

    def __init__(self, intake: Intake, taker: FeedbackTaker) -> None:
        self._intake = intake
        self._taker = taker

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request of any method."""
        try:
            accepted = await self._take(request)
            response = web.json_response({"accepted": accepted})
        except Refusal as refusal:
            response = _refused(refusal)
        except Exception:  # the process boundary: a bug must cost one request, and be seen
            log.exception("feedback failed")
            response = _refused(Refusal(500, Code.INTERNAL, "internal error"))
        GATEWAY_REQUESTS.labels("feedback", str(response.status)).inc()
        return response

    async def _take(self, request: web.Request) -> int:
        if request.method != "POST":
            raise Refusal(405, Code.UNIMPLEMENTED, "only POST is allowed")
        tenant = self._intake.caller(request.headers, request.remote)
        said = parse(await _body(request))
        try:
            await self._taker.take(tenant, said)
        except RetryableError as error:
            log.warning("feedback not stored: %s", error)
            raise unavailable("feedback cannot be stored now", _RETRY_S) from None
        return len(said)


async def _body(request: web.Request) -> bytes:
    if (request.content_length or 0) > MAX_BYTES:
        raise Refusal(413, Code.RESOURCE_EXHAUSTED, f"the body exceeds {MAX_BYTES} bytes")
    body = bytearray()
    try:
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > MAX_BYTES:
                raise Refusal(413, Code.RESOURCE_EXHAUSTED, f"the body exceeds {MAX_BYTES} bytes")
    except (ClientError, web.RequestPayloadError, ConnectionError):
        raise bad_request("the body ends early") from None
    return bytes(body)


def parse(body: bytes) -> list[Feedback]:
    """The labels of a body. Raises :class:`Refusal` naming the first wrong field."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise bad_request("the body is not JSON") from None
    items = found if isinstance(found, list) else [found]
    if not items or len(items) > MAX_LABELS:
        raise bad_request(f"1 to {MAX_LABELS} labels are needed")
    said: list[Feedback] = []
    for number, item in enumerate(items):
        try:
            said.append(Feedback.model_validate(item))
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            path = "".join(f".{part}" for part in first["loc"] if part in Feedback.model_fields)
            # An unknown field's name is the sender's text, so it is not repeated.
            reason = "an unknown field" if first["type"] == "extra_forbidden" else first["msg"]
            raise bad_request(f"feedback[{number}]{path}: {reason}") from None
    return said


def _refused(refusal: Refusal) -> web.Response:
    response = web.json_response(
        {"code": refusal.code, "message": refusal.message}, status=refusal.status
    )
    if refusal.retry_after_s is not None:
        response.headers["Retry-After"] = str(refusal.retry_after_s)
    if refusal.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if refusal.status == 405:
        response.headers["Allow"] = "POST"
    return response
