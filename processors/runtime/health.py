"""``/health``, ``/ready`` and ``/metrics`` of one worker, over HTTP."""

from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from schemas.metrics import REGISTRY


class HealthServer:
    """Answers probes. Raises ``OSError`` at start if the port is taken."""

    def __init__(
        self, host: str, port: int, healthy: Callable[[], bool], ready: Callable[[], bool]
    ) -> None:
        self._host = host
        self._port = port
        self._healthy = healthy
        self._ready = ready
        self._runner: web.AppRunner | None = None

    async def start(self) -> int:
        """Bind and serve; the port, chosen by the system where 0 was asked for."""
        app = web.Application()
        app.router.add_get("/health", self._answer(self._healthy))
        app.router.add_get("/ready", self._answer(self._ready))
        app.router.add_get("/metrics", _metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        await site.start()
        port: int = self._runner.addresses[0][1]
        return port

    async def stop(self) -> None:
        """Close the port."""
        if self._runner is not None:
            await self._runner.cleanup()

    @staticmethod
    def _answer(
        is_well: Callable[[], bool],
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handler(_: web.Request) -> web.StreamResponse:
            well = is_well()
            return web.Response(status=200 if well else 503, text="ok\n" if well else "not ok\n")

        return handler


async def _metrics(_: web.Request) -> web.Response:
    return web.Response(
        body=generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST}
    )
