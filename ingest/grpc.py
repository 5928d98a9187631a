"""OTLP/gRPC: the trace and log services on ``grpc.aio``, without generated stubs.

Handlers get the request's bytes as they came (no deserialiser), so a body is parsed once, in
:mod:`ingest.intake`, and forwarded as it is. gRPC reads a whole message before its handler runs:
what bounds memory here are the longest message and the number of calls served at once.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NoReturn, Protocol

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from ingest import telemetry
from ingest.intake import Intake, Refusal, response_of, unavailable
from ingest.signals import SIGNALS, Signal
from ingest.tls import grpc_credentials
from schemas.config import GatewayConfig
from schemas.metrics import GATEWAY_LATENCY, GATEWAY_REQUESTS

log = logging.getLogger(__name__)

_STATUS_METADATA = "grpc-status-details-bin"
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_FRAME_BYTES = 64 << 10
"""A message's share of the in-flight budget is at least this when calls at once are counted."""
_CALLS_MIN = 16
_HARD_LIMIT_RATIO = 8
"""Beyond so many times the calls at once gRPC itself refuses, before a body is read: without a
delay to send again after, so that senders may drop what they have. It protects memory only."""


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
        self._calls = 0
        self._calls_most = max(_CALLS_MIN, config.inflight_bytes // _FRAME_BYTES)
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", config.max_body_bytes),
                ("grpc.so_reuseport", 0),
            ],
            maximum_concurrent_rpcs=_HARD_LIMIT_RATIO * self._calls_most,
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

    def _handler(self, signal: Signal) -> Callable[[bytes, Context], Awaitable[bytes]]:
        async def export(body: bytes, context: Context) -> bytes:
            with telemetry.span("gateway.request") as span:
                span.set(telemetry.PROTOCOL, "grpc")
                return await answered(body, context, span)

        async def answered(body: bytes, context: Context, span: telemetry.Span) -> bytes:
            started_s = time.monotonic()
            code = Code.OK
            self._calls += 1
            try:
                if self._calls > self._calls_most:
                    raise unavailable("too many calls at once")
                return await self._export(signal, body, context)
            except Refusal as refusal:
                code = refusal.code
                await _refuse(context, refusal)
            except grpc.aio.AbortError:
                raise
            except Exception:  # the process boundary: a bug must cost one request, and be seen
                code = Code.INTERNAL
                log.exception("export failed")
                await _refuse(context, Refusal(500, Code.INTERNAL, "internal error"))
            finally:
                self._calls -= 1
                span.set("rpc.grpc.status_code", code)
                span.set(telemetry.OUTCOME, "accepted" if code == Code.OK else "refused")
                GATEWAY_REQUESTS.labels("grpc", Code.Name(code)).inc()
                GATEWAY_LATENCY.labels("grpc").observe(time.monotonic() - started_s)

        return export

    async def _export(self, signal: Signal, body: bytes, context: Context) -> bytes:
        tenant = self._intake.caller(_headers(context), _peer(context))
        reservation = self._intake.admit(tenant, len(body))
        rejected = await self._intake.export(signal, tenant, body, reservation)
        answer: bytes = response_of(signal, rejected).SerializeToString()
        return answer


class _Services(grpc.GenericRpcHandler):
    """Finds a method's handler; both sides of it are bytes."""

    def __init__(self, handler: Callable[[Signal], Any]) -> None:
        self._methods = {
            signal.grpc_method: grpc.unary_unary_rpc_method_handler(handler(signal))
            for signal in SIGNALS
        }

    def service(self, handler_call_details: Any) -> Any:
        """The handler of that method, or None for gRPC's own UNIMPLEMENTED."""
        return self._methods.get(handler_call_details.method)


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
