"""The gateway, HTTP and gRPC, against raw aiokafka produce of the same bytes.

``python -m bench.gateway`` starts an embedded broker and, in turn, a gateway process fed over HTTP,
the same fed over gRPC, and a process that only produces the same values with the same producer
settings and tenant header (one message a request: the gateway may join small ones). Figures are
requests and megabytes per second of *processor time of the measured process* (user + system), so
neither the load generator nor the broker, which share the machine, count. Every request was
acknowledged by the broker. Median of alternating rounds.
"""

import argparse
import asyncio
import json
import multiprocessing
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import psutil
import uvloop
from aiokafka import AIOKafkaProducer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ingest.gateway import run_gateway
from ingest.kafka import kafka_options
from ingest.signals import TRACES
from processors.runtime.admin import create_topics
from schemas.config import Config, GatewayConfig, KafkaConfig, RuntimeConfig
from schemas.topics import OTLP_SPANS_GATEWAY, TENANT_HEADER
from stack.broker import Broker
from stack.ports import free_port

RESULTS = Path(__file__).parent / "results" / "gateway.json"
CONCURRENCY = 32
ROUNDS = 5
WARM_UP = 200
BODIES = 64
"""Different requests, sent in turn: equal ones would compress better than any traffic."""
WORDS = [
    "".join(random.Random(number).choices("aeioulnrstdmpk", k=3 + number % 7))
    for number in range(2000)
]
SIZES = {"16 spans": (16, 6000), "256 spans": (256, 600)}
"""Spans in a request, and requests in a round."""
WAYS = ("raw", "http", "grpc")
MEGABYTE = 1e6


def request_of(spans: int, rng: random.Random) -> bytes:
    """One export of chat spans of about 1.2 kB, as an SDK's batch processor makes them."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    attribute = resource.resource.attributes.add(key="service.name")
    attribute.value.string_value = "shop"
    scope = resource.scope_spans.add()
    scope.scope.name = "opentelemetry.instrumentation.openai_v2"
    for number in range(1, spans + 1):
        span = scope.spans.add(
            trace_id=rng.randbytes(16), span_id=rng.randbytes(8), name="chat gpt-4o-mini", kind=3
        )
        span.start_time_unix_nano = time.time_ns()
        span.end_time_unix_nano = span.start_time_unix_nano + 900_000_000
        text = " ".join(rng.choices(WORDS, k=60))
        for key, value in {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.input.messages": _messages("user", text),
            "gen_ai.output.messages": _messages("assistant", text),
        }.items():
            span.attributes.add(key=key).value.string_value = value
        for key in ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"):
            span.attributes.add(key=key).value.int_value = 100 + number
    return request.SerializeToString()


def _messages(role: str, text: str) -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])


Send = Callable[[bytes], Awaitable[None]]


async def at_once(send: Send, bodies: Sequence[bytes], count: int) -> None:
    """Call ``send`` so many times, :data:`CONCURRENCY` at a time."""
    left = iter(range(count))

    async def worker() -> None:
        for number in left:
            await send(bodies[number % len(bodies)])

    await asyncio.gather(*(worker() for _ in range(CONCURRENCY)))


async def fed_by_http(port: int, bodies: Sequence[bytes], count: int) -> None:
    """Send over connections that are kept; any answer but 200 is an error."""
    url = f"http://127.0.0.1:{port}{TRACES.path}"
    headers = {"Content-Type": "application/x-protobuf"}
    connector = aiohttp.TCPConnector(limit=CONCURRENCY)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def send(body: bytes) -> None:
            async with session.post(url, data=body, headers=headers) as response:
                if response.status != 200:
                    raise RuntimeError(f"HTTP {response.status}")
                await response.read()

        await at_once(send, bodies, count)


async def fed_by_grpc(port: int, bodies: Sequence[bytes], count: int) -> None:
    """Send over one channel; any status but OK is an error."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        method = channel.unary_unary(TRACES.grpc_method)

        async def send(body: bytes) -> None:
            await method(body)

        await at_once(send, bodies, count)


def produce(config: Config, bodies: Sequence[bytes], pipe: Connection) -> None:
    """The baseline's process: for each count received, produce so many and answer."""

    async def serve() -> None:
        producer = AIOKafkaProducer(
            **kafka_options(config.kafka),
            acks="all",
            enable_idempotence=config.kafka.idempotent_producer,
            compression_type="zstd",
            max_batch_size=config.gateway.batch_bytes,
            max_request_size=config.kafka.max_message_bytes,
        )
        await producer.start()

        async def send(body: bytes) -> None:
            await producer.send_and_wait(
                OTLP_SPANS_GATEWAY.name, body, headers=[(TENANT_HEADER, b"default")]
            )

        while count := await asyncio.to_thread(pipe.recv):
            await at_once(send, bodies, count)
            pipe.send(None)
        await producer.stop()

    uvloop.run(serve())


async def ready(port: int) -> None:
    """Return once the gateway's /ready says yes."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(30):
        while True:
            try:
                async with session.get(f"http://127.0.0.1:{port}/ready") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)


def processor_s(pid: int) -> float:
    """User and system time of a process so far."""
    used = psutil.Process(pid).cpu_times()
    return float(used.user + used.system)


async def one_round(
    way: str, config: Config, bodies: Sequence[bytes], count: int
) -> tuple[float, float]:
    """(processor seconds, seconds) of one round in a new process, after a warm-up."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    if way == "raw":
        process = spawn.Process(target=produce, args=(config, bodies, theirs))
    else:
        process = spawn.Process(target=run_gateway, args=(config,))
    process.start()
    assert process.pid is not None

    async def feed(number: int) -> None:
        if way == "raw":
            ours.send(number)
            await asyncio.to_thread(ours.recv)
        elif way == "http":
            await fed_by_http(config.gateway.http_port, bodies, number)
        else:
            assert config.gateway.grpc_port is not None
            await fed_by_grpc(config.gateway.grpc_port, bodies, number)

    try:
        if way != "raw":
            await ready(config.runtime.metrics_base_port)
        await feed(WARM_UP)
        used_s, began_s = processor_s(process.pid), time.perf_counter()
        await feed(count)
        return processor_s(process.pid) - used_s, time.perf_counter() - began_s
    finally:
        process.terminate()
        process.join(30)
        process.kill()


async def measure(size: str, repeats: int) -> dict[str, Any]:
    """All ways for one size of request, on a broker of its own (it keeps all in memory)."""
    spans, count = SIZES[size]
    rng = random.Random(7)
    bodies = [request_of(spans, rng) for _ in range(BODIES)]
    mean_bytes = sum(map(len, bodies)) / len(bodies)
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for number in range(repeats):
        for way in WAYS if number % 2 == 0 else reversed(WAYS):
            with tempfile.TemporaryDirectory() as folder:
                broker = Broker(Path(folder), free_port())
                await broker.start()
                config = Config(
                    kafka=KafkaConfig(
                        bootstrap_servers=broker.bootstrap, idempotent_producer=False
                    ),
                    gateway=GatewayConfig(http_port=free_port(), grpc_port=free_port()),
                    runtime=RuntimeConfig(metrics_base_port=free_port(), data_dir=Path(folder)),
                )
                try:
                    await create_topics(config)
                    used_s, wall_s = await one_round(way, config, bodies, count)
                finally:
                    broker.stop()
            found[way].append(
                {
                    "requests_per_core_s": count / used_s,
                    "megabytes_per_core_s": count * mean_bytes / MEGABYTE / used_s,
                    "cores": used_s / wall_s,
                }
            )
            print(f"{size}, {way}: {found[way][-1]['requests_per_core_s']:,.0f} requests/s/core")
    result: dict[str, Any] = {"spans": spans, "bytes": round(mean_bytes), "requests": count}
    for way, values in found.items():
        result[way] = {key: statistics.median(value[key] for value in values) for key in values[0]}
    for way in ("http", "grpc"):
        ratios = [
            one["requests_per_core_s"] / raw["requests_per_core_s"]
            for one, raw in zip(found[way], found["raw"], strict=True)
        ]
        result[way]["ratio_to_raw"] = statistics.median(ratios)
        result[way]["ratio_range"] = [min(ratios), max(ratios)]
    return result


def main() -> None:
    """Measure, print, write ``bench/results/gateway.json``."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    result = {size: asyncio.run(measure(size, given.rounds)) for size in SIZES}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(
        json.dumps({"concurrency": CONCURRENCY, "rounds": given.rounds, **result}, indent=2) + "\n"
    )
    for size, figures in result.items():
        for way in WAYS:
            one = figures[way]
            print(
                f"{size}, {way}: {one['requests_per_core_s']:,.0f} requests/s/core,"
                f" {one['megabytes_per_core_s']:,.1f} MB/s/core,"
                f" {one.get('ratio_to_raw', 1):.2f} of raw"
            )


if __name__ == "__main__":
    main()
