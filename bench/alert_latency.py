"""From a span's end to the notification that a receiver accepted: fast path, query, windows.

``python -m bench.alert_latency`` starts an embedded stack of its own and a webhook receiver on this
machine. Each sample is a call of a service of its own, so that it raises an alert of its own,
through gateway, broker, stages and ``notify``; its span ends when it is sent, and the time stops
when the receiver answers 200. ``--fast`` calls one by one for a rule about single verdicts of the
shipped injection model (every score hits, so that no threshold decides); then ``--timed`` calls
that failed, at random moments of ``--over`` seconds, each for two rules: a query of every minute
and a metric over windows of five minutes, with the shipped lateness and delays.
"""

import argparse
import asyncio
import json
import os
import random
import secrets
import statistics
import tempfile
import time
from pathlib import Path

import orjson
from aiohttp import ClientSession, web
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from bench.embedded import free_stack
from tests.store.otlp import attributes, request

RESULTS = Path(__file__).parent / "results" / "alert_latency.json"
RULES = """
groups:
  - name: latency
    rules:
      - {alert: Fast, evaluation: {evaluator: injection, min_score: 0}, group_by: [service_name]}
      - alert: Query
        expr: >-
          SELECT tenant, service_name, countIf(status = 'error') AS value
          FROM genai_operations FINAL
          WHERE duplicate_of = '' AND NOT rolls_up AND day >= toDate({at:DateTime}) - 1
            AND end_time > {at:DateTime} - INTERVAL 10 MINUTE AND end_time <= {at:DateTime}
          GROUP BY tenant, service_name HAVING value > 0
        interval: 1m
        watermark: genai_operations
      - {alert: Windows, metric: {of: calls.errors, above: 0.5, over: 5m}}
"""
EVERY_S = 0.5
"""Between calls of the fast path: each is alone on the line."""
FAST_PATIENCE_S, TIMED_PATIENCE_S = 60.0, 900.0
Told = tuple[str, str]
"""Rule and service."""


class Receiver:
    """A webhook on a free port that notes when it accepted what."""

    def __init__(self) -> None:
        self.accepted_s: dict[Told, float] = {}
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen."""
        app = web.Application()
        app.router.add_post("/hook", self._take)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/hook"

    async def stop(self) -> None:
        """Listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def all_of(self, expected: set[Told], patience_s: float) -> None:
        """Wait for all of them; a run that lost one is no figure."""
        until_s = time.monotonic() + patience_s
        while missing := expected - self.accepted_s.keys():
            if time.monotonic() > until_s:
                raise SystemExit(f"{len(missing)} alerts did not come, such as {min(missing)}")
            await asyncio.sleep(0.1)

    async def _take(self, taken: web.Request) -> web.Response:
        for alert in (await taken.json())["alerts"]:
            labels = alert["labels"]
            told = labels["alertname"], labels.get("service_name", "")
            if alert["status"] == "firing":
                self.accepted_s.setdefault(told, time.monotonic())
        return web.Response()


def failed_call(service: str) -> bytes:
    """An export of one chat call that fails and ends now."""
    turn = [{"role": "user", "parts": [{"type": "text", "content": f"Where is {service}?"}]}]
    said = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "m",
        "gen_ai.input.messages": json.dumps(turn),
    }
    end_ns = time.time_ns()
    span = Span(
        trace_id=secrets.token_bytes(16), span_id=secrets.token_bytes(8), name="chat m",
        kind=Span.SPAN_KIND_CLIENT, start_time_unix_nano=end_ns - 500_000_000,
        end_time_unix_nano=end_ns, attributes=attributes(said),
    )  # fmt: skip
    span.status.code = span.status.STATUS_CODE_ERROR
    return bytes(request([span], service).SerializeToString())


async def send(session: ClientSession, url: str, service: str) -> float:
    """Export one call; the monotonic second at which its span ended."""
    ended_s = time.monotonic()
    headers = {"Content-Type": "application/x-protobuf"}
    async with session.post(url, data=failed_call(service), headers=headers) as answer:
        answer.raise_for_status()
    return ended_s


def quantiles(delays_s: list[float]) -> dict[str, float]:
    """Of one path."""
    cuts = statistics.quantiles(delays_s, n=100, method="inclusive")
    return {
        "samples": len(delays_s),
        "p50_s": round(cuts[49], 2),
        "p99_s": round(cuts[98], 2),
        "max_s": round(max(delays_s), 2),
    }


async def measure(fast: int, timed: int, over_s: float) -> dict[str, object]:
    """All figures of one run."""
    receiver, rng = Receiver(), random.Random(1)
    await receiver.start()
    with tempfile.TemporaryDirectory() as folder:
        rules = Path(folder) / "rules.yaml"
        rules.write_text(RULES)
        os.environ["STREAMGAUGE_WATCH__RULES_FILE"] = str(rules)
        os.environ["STREAMGAUGE_NOTIFY__RECEIVERS"] = json.dumps(
            [{"name": "bench", "url": receiver.url}]
        )
        # Each sample is a service of its own: all of them keep windows of their own.
        os.environ["STREAMGAUGE_WATCH__STREAMS_PER_TENANT"] = "1000000"
        load = os.getloadavg()[0]
        async with free_stack() as stack, ClientSession() as session:
            url = f"http://127.0.0.1:{stack.config.gateway.http_port}/v1/traces"
            warm = {("Fast", f"warm-{n}") for n in range(3)}
            for _, service in sorted(warm):
                await send(session, url, service)
            await receiver.all_of(warm, FAST_PATIENCE_S)
            sent: dict[Told, float] = {}
            for number in range(fast):
                service = f"fast-{number}"
                sent["Fast", service] = await send(session, url, service)
                await asyncio.sleep(EVERY_S)
            await receiver.all_of(set(sent), FAST_PATIENCE_S)
            moments, begun_s = (
                sorted(rng.uniform(0, over_s) for _ in range(timed)),
                time.monotonic(),
            )
            for number, moment in enumerate(moments):
                await asyncio.sleep(max(0.0, begun_s + moment - time.monotonic()))
                ended_s = await send(session, url, f"timed-{number}")
                sent |= {(rule, f"timed-{number}"): ended_s for rule in ("Query", "Windows")}
            await receiver.all_of(set(sent), TIMED_PATIENCE_S)
    await receiver.stop()
    figures: dict[str, object] = {"load_before": round(load, 1), "timed_over_s": over_s}
    for rule in ("Fast", "Query", "Windows"):
        delays = [receiver.accepted_s[told] - at for told, at in sent.items() if told[0] == rule]
        figures[rule.lower()] = quantiles(delays)
    return figures


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--fast", type=int, default=200, help="calls of the fast path")
    parser.add_argument("--timed", type=int, default=200, help="calls of the other two")
    parser.add_argument("--over", type=float, default=900.0, help="seconds that these take")
    given = parser.parse_args()
    figures = asyncio.run(measure(given.fast, given.timed, given.over))
    RESULTS.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2) + b"\n")
    print(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())


if __name__ == "__main__":
    main()
