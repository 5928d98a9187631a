"""A real webhook server that answers as it is told."""

import asyncio
import json
import ssl
from collections.abc import Mapping
from typing import Any, Literal

from aiohttp import web

Answer = int | tuple[int, Mapping[str, str]] | Literal["hang", "close"]
"""A status, a status with headers, or a fault."""


class WebhookServer:
    """Listens on a free loopback port, with ``tls`` over it. ``answers`` are used in turn, then
    200."""

    def __init__(self, *answers: Answer, tls: ssl.SSLContext | None = None) -> None:
        self.answers = list(answers)
        self._tls = tls
        self.requests: list[tuple[Mapping[str, str], bytes]] = []
        self.base = self.url = ""
        self._runner: web.AppRunner | None = None
        self._hung = asyncio.Event()
        self._arrived = asyncio.Condition()

    async def received(self, count: int) -> None:
        """Wait until so many requests have come."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= count)

    async def __aenter__(self) -> "WebhookServer":
        app = web.Application()
        app.router.add_route("*", "/hook", self._handle)
        app.router.add_post("/moved", self._handle)
        app.router.add_post("/api/v2/alerts", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        self.base = f"http{'s' if self._tls else ''}://127.0.0.1:{self._runner.addresses[0][1]}"
        self.url = f"{self.base}/hook"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._hung.set()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def alerts(self) -> list[dict[str, Any]]:
        """Alerts of all requests in order, refused ones included."""
        return [alert for _, body in self.requests for alert in json.loads(body)["alerts"]]

    async def _handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        async with self._arrived:
            self.requests.append((dict(request.headers), body))
            self._arrived.notify_all()
        answer = self.answers.pop(0) if self.answers else 200
        if answer == "hang":
            await self._hung.wait()
        if answer == "close":
            assert request.transport is not None
            request.transport.close()
        status, headers = answer if isinstance(answer, tuple) else (answer, {})
        return web.Response(status=status if isinstance(status, int) else 200, headers=headers)
