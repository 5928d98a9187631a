"""A local webhook that takes the demo's alerts, as an on-call tool would."""

import asyncio
from types import TracebackType
from typing import Any

from aiohttp import web


class WebhookInbox:
    """Listens on a free loopback port; ``alerts`` holds every alert of every notification."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, Any]] = []
        self.url = ""
        self.arrived = asyncio.Event()
        application = web.Application()
        application.router.add_post("/alerts", self._take)
        self._runner = web.AppRunner(application)

    async def __aenter__(self) -> "WebhookInbox":
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/alerts"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.alerts.extend(body.get("alerts", []))
        self.arrived.set()
        return web.Response(text="ok")
