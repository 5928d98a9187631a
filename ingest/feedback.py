"""``POST /v1/feedback``: one label or a list of them, JSON; success only once they are stored.

Answers are JSON: 200 ``{"accepted": n}``; else ``{"code", "message"}`` with the status of OTLP's
refusals (400 names the field, 429 and 503 say when to send again). The tenant is the API key's, and
its quotas hold here too. Only ``application/json`` is taken: a web page can post other types to a
gateway on its visitor's machine without asking.
"""

import logging
import time
from collections.abc import Sequence
from typing import Protocol

import orjson
from aiohttp import web
from google.rpc.code_pb2 import Code
from pydantic import ValidationError

from ingest.http import announced_bytes, content_encoding, read_body
from ingest.intake import Intake, Refusal, bad_request, unavailable
from schemas.faults import first_fault
from schemas.feedback import OUT_OF_TIME, Feedback
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
        if request.content_type != "application/json":
            raise Refusal(415, Code.INVALID_ARGUMENT, "the content type must be application/json")
        if content_encoding(request) != "identity":
            raise Refusal(415, Code.INVALID_ARGUMENT, "the body must not be compressed")
        tenant = self._intake.caller(request.headers, request.remote)
        reservation = self._intake.admit_other(tenant, announced_bytes(request), MAX_BYTES)
        try:
            body = await read_body(request, reservation)
            self._intake.charge(tenant, len(body))
            said = parse(body, time.time_ns())
            await self._taker.take(tenant, said)
        except RetryableError as error:
            log.warning("feedback not stored: %s", error)
            raise unavailable("feedback cannot be stored now", _RETRY_S) from None
        finally:
            reservation.release()
        return len(said)


def parse(body: bytes, now_ns: int) -> list[Feedback]:
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
            one = Feedback.model_validate(item)
        except ValidationError as error:
            fault = first_fault(error)
            path = "".join(f".{part}" for part in fault.path if part in Feedback.model_fields)
            # An unknown field's name is the sender's text, so it is not repeated.
            reason = "an unknown field" if fault.kind == "extra_forbidden" else fault.message
            raise bad_request(f"feedback[{number}]{path}: {reason}") from None
        if not one.in_time(now_ns):
            raise bad_request(f"feedback[{number}].created_at: {OUT_OF_TIME}")
        said.append(one)
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
