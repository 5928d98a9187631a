"""The OTLP gateway process: OTLP/HTTP, OTLP/gRPC, and health and metrics, each on its port.

Accepts exports, names their tenant, writes them to ``otlp_spans.gateway`` and
``otlp_logs.gateway`` and answers after the broker's acknowledgement. It starts and stays alive
without a broker (``/ready`` says no, exports get 503 or UNAVAILABLE) and recovers by itself.
SIGTERM: stop accepting, finish what is in flight, flush, close.
"""

import asyncio
import logging
import signal

import uvloop
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from ingest import telemetry
from ingest.coalesce import Coalescer
from ingest.feedback import PATH as FEEDBACK_PATH
from ingest.feedback import FeedbackApi, FeedbackTaker
from ingest.grpc import OtlpGrpc
from ingest.http import OtlpHttp
from ingest.intake import Intake, message_cap_bytes
from ingest.keys import KeyRing
from ingest.producer import GatewayProducer
from ingest.tls import http_context
from schemas.config import Config
from schemas.metrics import REGISTRY

log = logging.getLogger(__name__)

DRAIN_S = 4.0
"""Longest wait for requests in flight on SIGTERM; later ones get no answer and are sent again."""
_FLUSH_S = 1.0
"""Then, for messages whose senders wait no longer."""


def run_gateway(config: Config, feedback: FeedbackTaker | None = None) -> None:
    """Serve until SIGTERM or SIGINT; without ``feedback`` its route is not served.

    Raises :class:`ingest.keys.KeysFileError` for an unusable keys file,
    :class:`schemas.secrets.SecretFileError` for a password or certificate, ``OSError`` for a busy
    port and ``ValueError`` for headers of telemetry that cannot be read.
    """
    uvloop.run(_serve_until_signal(config, feedback))


async def _serve_until_signal(config: Config, feedback: FeedbackTaker | None) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    telemetry.start(config.telemetry, "streamgauge.gateway")
    gateway = Gateway(config, feedback)
    await gateway.start()
    try:
        await stopping.wait()
    finally:
        await gateway.stop()
        telemetry.stop()


class Gateway:
    """The gateway as a service inside a running event loop."""

    def __init__(self, config: Config, feedback: FeedbackTaker | None = None) -> None:
        """Raises :class:`ingest.keys.KeysFileError`, and :class:`schemas.secrets.SecretFileError`
        for what the connection to Kafka needs."""
        self._config = config
        self._draining = False
        keys = KeyRing(config.gateway.api_keys_file, config.tenant)
        self._producer = GatewayProducer(config)
        self._coalescer = Coalescer(
            self._producer.send,
            linger_s=config.gateway.linger_ms / 1000,
            target_bytes=config.gateway.batch_bytes,
            cap_bytes=message_cap_bytes(config),
        )
        self._intake = Intake(config, self._producer, self._coalescer, keys)
        self._http = OtlpHttp(self._intake)
        self._feedback = None if feedback is None else FeedbackApi(self._intake, feedback)
        self._grpc: OtlpGrpc | None = None
        self._exports = self._exports_runner()
        self._status = web.AppRunner(self._status_app(), access_log=None)

    async def start(self) -> None:
        """Bind every port and begin connecting to the broker.

        Raises ``OSError`` if one is busy and :class:`schemas.secrets.SecretFileError` for a
        certificate that cannot be used.
        """
        runtime, gateway = self._config.runtime, self._config.gateway
        for runner, host, port, tls in (
            (self._status, runtime.metrics_host, runtime.metrics_base_port, None),
            (self._exports, gateway.host, gateway.http_port, http_context(gateway)),
        ):
            await runner.setup()
            await web.TCPSite(runner, host, port, ssl_context=tls).start()
            log.info("listening on %s:%d", host, runner.addresses[0][1])
        if gateway.grpc_port is not None:
            self._grpc = OtlpGrpc(self._intake, gateway)  # needs the running loop
            await self._grpc.start()
        await self._producer.start()

    async def stop(self) -> None:
        """Finish what is in flight within :data:`DRAIN_S`, then close (8 s at the very most)."""
        self._draining = True
        serving = [self._exports.cleanup()]
        if self._grpc is not None:
            serving.append(self._grpc.stop(DRAIN_S))
        await asyncio.gather(*serving)
        try:
            async with asyncio.timeout(_FLUSH_S):
                await self._coalescer.drain()
        except TimeoutError:
            log.warning("stopped with messages that the broker has not acknowledged")
        await self._producer.stop()
        self._intake.close()
        await self._status.cleanup()

    @property
    def http_port(self) -> int:
        """The bound port of the exports (the configured one may be 0)."""
        return int(self._exports.addresses[0][1])

    @property
    def grpc_port(self) -> int:
        """The bound port of gRPC exports; 0 if gRPC is off."""
        return self._grpc.port if self._grpc is not None else 0

    @property
    def status_port(self) -> int:
        """The bound port of health and metrics."""
        return int(self._status.addresses[0][1])

    def _exports_runner(self) -> web.AppRunner:
        app = web.Application()
        if self._feedback is not None:
            app.router.add_route("*", FEEDBACK_PATH, self._feedback.handle)
        app.router.add_route("*", "/{path:.*}", self._http.handle)
        # aiohttp's own decompression has no bound, so bodies come as they were sent.
        return web.AppRunner(app, access_log=None, auto_decompress=False, shutdown_timeout=DRAIN_S)

    def _status_app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/health", self._health)
        app.router.add_get("/ready", self._ready)
        app.router.add_get("/metrics", self._metrics)
        return app

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _ready(self, _request: web.Request) -> web.Response:
        if self._draining:
            return web.Response(status=503, text="stopping\n")
        if not self._producer.available:
            return web.Response(status=503, text="the broker is slow or away\n")
        return web.Response(text="ok\n")

    async def _metrics(self, _request: web.Request) -> web.Response:
        response = web.Response(body=generate_latest(REGISTRY))
        response.headers["Content-Type"] = CONTENT_TYPE_LATEST
        return response
