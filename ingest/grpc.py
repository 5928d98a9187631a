"""OTLP/gRPC: the trace and log services on ``grpc.aio``, without generated stubs.

Handlers get the request's bytes as they came (no deserialiser), so a body is parsed once, in
:mod:`ingest.intake`, and forwarded as it is. To gRPC the calls are streams of messages from the
client, on the wire the same as one: a unary handler runs only once it has its message, these read
it after key, quota, broker and bytes in flight allow. A message that is being read counts
:data:`_FRAME_BYTES`, since nobody says how long it is, and its size once it is there.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from typing import Any, NoReturn, Protocol

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from ingest import telemetry
from ingest.body import BODY_TIMEOUT_S
from ingest.intake import BodyFaults, Intake, Refusal, bad_request, response_of, unavailable
from ingest.signals import SIGNALS, Signal
from ingest.tls import grpc_credentials
from schemas.config import GatewayConfig
from schemas.metrics import GATEWAY_LATENCY, GATEWAY_REQUESTS

log = logging.getLogger(__name__)

_STATUS_METADATA = "grpc-status-details-bin"
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_FRAME_BYTES = 64 << 10
"""A call's least share of the bytes in flight: what may have come of it before it is let in."""
_STREAMS_PER_CONNECTION = 100
"""What HTTP/2 calls the least that a server should allow; a sender's further calls wait."""
_HARD_LIMIT_RATIO = 8
"""Beyond so many times the calls that fit gRPC itself refuses, without a delay to send again after,
so that senders may drop what they have. It protects memory only."""


Messages = AsyncIterable[bytes]


class Context(Protocol):
    """What is used of ``grpc.aio.ServicerContext``."""

    def peer(self) -> str: ...
    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]] | None: ...
    async def abort(
        self, code: Any, details: str, trailing_metadata: tuple[tuple[str, bytes], ...]
    ) -> NoReturn: ...


class OtlpGrpc:
    """Serves exports over gRPC."""

    def __init__(self, intake: Intake, config: GatewayConfig) -> None:
        self._intake = intake
        self._config = config
        self._message_bytes = min(config.grpc_message_bytes, config.max_body_bytes)
        fitting = max(1, config.inflight_bytes // _FRAME_BYTES)
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", self._message_bytes),
                ("grpc.max_concurrent_streams", _STREAMS_PER_CONNECTION),
                ("grpc.http2.lookahead_bytes", _FRAME_BYTES),
                ("grpc.http2.bdp_probe", 0),  # it would raise the lookahead to 4 MiB
                ("grpc.so_reuseport", 0),
            ],
            maximum_concurrent_rpcs=_HARD_LIMIT_RATIO * fitting,
        )
        self._server.add_generic_rpc_handlers((_Services(self._handler),))
        self.port = 0

    async def start(self) -> None:
        """Bind the port. Raises ``OSError`` if it is busy."""
        address = f"{self._config.host}:{self._config.grpc_port}"
        credentials = grpc_credentials(self._config)
        try:
            if credentials is None:
                self.port = self._server.add_insecure_port(address)
            else:
                self.port = self._server.add_secure_port(address, credentials)
        except RuntimeError:
            raise OSError(f"cannot listen on {address} (gateway.grpc_port)") from None
        await self._server.start()
        log.info("listening on %s:%d (gRPC)", self._config.host, self.port)

    async def stop(self, grace_s: float) -> None:
        """Refuse new calls, finish those in flight within ``grace_s``."""
        await self._server.stop(grace_s)

    def _handler(self, signal: Signal) -> Callable[[Messages, Context], Awaitable[bytes]]:
        async def export(messages: Messages, context: Context) -> bytes:
            with telemetry.span("gateway.request") as span:
                span.set(telemetry.PROTOCOL, "grpc")
                return await answered(messages, context, span)

        async def answered(messages: Messages, context: Context, span: telemetry.Span) -> bytes:
            started_s = time.monotonic()
            code = Code.OK
            try:
                return await self._export(signal, messages, context)
            except Refusal as refusal:
                code = refusal.code
                await _refuse(context, refusal)
            except grpc.aio.AbortError:
                raise
            except asyncio.CancelledError:
                code = Code.CANCELLED
                raise
            except Exception:  # the process boundary: a bug must cost one request, and be seen
                code = Code.INTERNAL
                log.exception("export failed")
                await _refuse(context, Refusal(500, Code.INTERNAL, "internal error"))
            finally:
                span.set("rpc.grpc.status_code", code)
                span.set(telemetry.OUTCOME, "accepted" if code == Code.OK else "refused")
                GATEWAY_REQUESTS.labels("grpc", Code.Name(code)).inc()
                GATEWAY_LATENCY.labels("grpc").observe(time.monotonic() - started_s)

        return export

    async def _export(self, signal: Signal, messages: Messages, context: Context) -> bytes:
        tenant = self._intake.caller(_headers(context), _peer(context))
        reservation = self._intake.admit(tenant, _FRAME_BYTES)
        try:
            with BodyFaults(self._message_bytes):
                reservation.grow_to(_FRAME_BYTES)
                body = await _only(messages)
                reservation.grow_to(len(body))
        except BaseException:
            reservation.release()
            raise
        rejected = await self._intake.export(signal, tenant, body, reservation)
        answer: bytes = response_of(signal, rejected).SerializeToString()
        return answer


class _Services(grpc.GenericRpcHandler):
    """Finds a method's handler; both sides of it are bytes."""

    def __init__(self, handler: Callable[[Signal], Any]) -> None:
        self._methods = {
            signal.grpc_method: grpc.stream_unary_rpc_method_handler(handler(signal))
            for signal in SIGNALS
        }

    def service(self, handler_call_details: Any) -> Any:
        """The handler of that method, or None for gRPC's own UNIMPLEMENTED."""
        return self._methods.get(handler_call_details.method)


async def _only(messages: Messages) -> bytes:
    """The call's message. Raises :class:`Refusal` if it is too slow or does not come.

    For one that is too long gRPC itself has answered; here it has not come.
    """
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for message in messages:
                return message
    except TimeoutError:
        raise unavailable("the message took too long to arrive") from None
    raise bad_request("no message")


class _Headers(dict[str, str]):
    """Metadata as the key ring reads HTTP headers: names in any case."""

    def get(self, key: str, default: str = "") -> str:  # type: ignore[override]
        return super().get(key.lower(), default)


def _headers(context: Context) -> _Headers:
    pairs = context.invocation_metadata() or ()
    return _Headers({key: value for key, value in pairs if isinstance(value, str)})


def _peer(context: Context) -> str | None:
    """The peer's address; grpc gives ``ipv4:127.0.0.1:5000`` or ``ipv6:%5B::1%5D:5000``."""
    kind, _, rest = context.peer().partition(":")
    address: str = rest.rpartition(":")[0].replace("%5B", "").replace("%5D", "")
    return address.strip("[]") if kind in ("ipv4", "ipv6") else None


async def _refuse(context: Context, refusal: Refusal) -> NoReturn:
    """End the call with the refusal; RetryInfo says that sending again makes sense."""
    status = Status(code=refusal.code, message=refusal.message)
    if refusal.retry_after_s is not None:
        detail = AnyMessage()
        detail.Pack(RetryInfo(retry_delay=Duration(seconds=refusal.retry_after_s)))
        status.details.append(detail)
    await context.abort(
        _CODES[refusal.code],
        refusal.message,
        trailing_metadata=((_STATUS_METADATA, status.SerializeToString()),),
    )
