"""Fuzzes a running gateway: ``python -m tests.fuzz.gateway --runs 1000000 --seed 1``.

Each run is one request made of a real capture and damaged: protobuf, JSON or gRPC, sometimes
compressed, sometimes saying that it is and lying; now and then bytes that are no HTTP at all. The
gateway is a process of its own on a real broker. It must answer each within :data:`HANG_S`, never
with 500 or INTERNAL, count each, keep its memory, and still take a good request at the end.
"""

import argparse
import asyncio
import contextlib
import gzip
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import zstandard
from aiohttp import ClientSession
from google.protobuf.json_format import MessageToJson
from prometheus_client.parser import text_string_to_metric_families

from ingest.signals import LOGS, TRACES, Signal
from processors.runtime.admin import create_topics
from schemas.config import Config, KafkaConfig
from schemas.metrics import GATEWAY_REQUESTS
from stack.broker import Broker
from stack.ports import free_port
from tests.fuzz.mutate import corpus
from tests.kafka.service import Service

HANG_S = 20.0
RSS_LIMIT_BYTES = 600 << 20
AT_ONCE = 24
REQUEST_BYTES = 8 << 10
"""Captures beyond it are left out: time goes to many requests, not to large ones."""
PROGRESS_EVERY = 20_000
NASTY = (b"\x00", b"\xff" * 9, b"\x80" * 10 + b"\x01", b"\x0a\xff\xff\xff\x7f", b"{", b"[[[[", b'"',
         b"\xed\xa0\x80", b"1e999", b"\xef\xbb\xbf")  # fmt: skip
ENCODINGS = ("identity", "identity", "identity", "gzip", "zstd", "deflate", "br")


@dataclass(frozen=True, slots=True)
class Seed:
    """A real request in both encodings."""

    signal: Signal
    protobuf: bytes
    json: bytes


@dataclass(slots=True)
class Tally:
    """What came back."""

    runs: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


def seeds() -> list[Seed]:
    """One request of each item of the captures that is not large."""
    found = []
    for item in corpus():
        signal = TRACES if type(item.value) is TRACES.item_kind else LOGS
        request = signal.request_of(item.resource, item.scope, item.value)
        packed = request.SerializeToString()
        if len(packed) <= REQUEST_BYTES:
            found.append(Seed(signal, packed, MessageToJson(request, indent=None).encode()))
    return found


def damaged(rng: random.Random, body: bytes, others: list[Seed]) -> bytes:
    """A few changes: bytes, cuts, repeats, splices of another request, nasty pieces."""
    value = bytearray(body)
    for _ in range(rng.randrange(5)):
        at = rng.randrange(len(value) + 1)
        match rng.randrange(6):
            case 0:
                value[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del value[at : at + rng.randrange(1, 40)]
            case 2:
                value[at:at] = value[at : at + rng.randrange(1, 200)]
            case 3:
                other = rng.choice(others).protobuf
                value[at:at] = other[: rng.randrange(len(other) + 1)]
            case 4:
                value[at:at] = rng.choice(NASTY) * rng.randrange(1, 20)
            case _:
                del value[at:]
    return bytes(value)


def packed(rng: random.Random, body: bytes) -> tuple[bytes, str]:
    """The body and what it says of its encoding: true most of the time."""
    said = rng.choice(ENCODINGS)
    if rng.random() < 0.1:
        return body, said
    if said == "gzip":
        return gzip.compress(body, 1), said
    if said == "zstd":
        return zstandard.compress(body, 1), said
    return body, said


class Connection:
    """A kept-alive HTTP connection that is opened again when the gateway closes it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def exchange(self, request: bytes) -> int:
        """Status of the answer; 0 if the connection was closed without one."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        try:
            writer.write(request)
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (int(line.partition(b":")[2]) for line in head.lower().split(b"\r\n")
                 if line.startswith(b"content-length")), 0,
            )  # fmt: skip
            await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            return 0
        if b"connection: close" in head.lower():
            self.close()
        return int(head.split(b" ", 2)[1])

    def close(self) -> None:
        """Drop it."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


class Fuzzer:
    """Sends damaged requests, several at once."""

    def __init__(self, config: Config, first_seed: int) -> None:
        self._config = config
        self._seed = first_seed
        self._seeds = seeds()
        self.tally = Tally()
        self.expected: Counter[str] = Counter()

    async def run(self, runs: int) -> None:
        """All of them."""
        numbers = iter(range(runs))
        started = time.monotonic()
        target = f"127.0.0.1:{self._config.gateway.grpc_port}"
        async with grpc.aio.insecure_channel(target) as channel:

            async def worker() -> None:
                connection = Connection(self._config.gateway.http_port)
                for number in numbers:
                    await self._one(self._seed + number, connection, channel)
                    self.tally.runs += 1
                    if self.tally.runs % PROGRESS_EVERY == 0:
                        rate = self.tally.runs / (time.monotonic() - started)
                        print(f"{self.tally.runs} runs, {rate:.0f}/s", flush=True)
                connection.close()

            await asyncio.gather(*(worker() for _ in range(AT_ONCE)))

    async def _one(self, number: int, connection: Connection, channel: "grpc.aio.Channel") -> None:
        rng = random.Random(number)
        seed = rng.choice(self._seeds)
        kind = rng.random()
        try:
            async with asyncio.timeout(HANG_S):
                if kind < 0.02:
                    await self._no_http(rng, connection, number)
                elif kind < 0.2:
                    await self._grpc(rng, seed, channel, number)
                else:
                    await self._http(rng, seed, connection, number, as_json=kind < 0.45)
        except TimeoutError:
            connection.close()
            self.tally.problems.append(f"seed {number}: no answer in {HANG_S:.0f} s")

    async def _http(
        self, rng: random.Random, seed: Seed, connection: Connection, number: int, *, as_json: bool
    ) -> None:
        body, encoding = packed(
            rng, damaged(rng, seed.json if as_json else seed.protobuf, self._seeds)
        )
        path = rng.choice((seed.signal.path, seed.signal.path, TRACES.path, LOGS.path, "/v1/x"))
        kind = "application/json" if as_json else "application/x-protobuf"
        if rng.random() < 0.02:
            kind = "text/plain"
        head = (
            f"POST {path} HTTP/1.1\r\nHost: gateway\r\nContent-Type: {kind}\r\n"
            f"Content-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        status = await connection.exchange(head.encode() + body)
        self.expected["http"] += 1
        self._note(number, f"http {status}", bad=status in (0, 500))

    async def _no_http(self, rng: random.Random, connection: Connection, number: int) -> None:
        """Garbage where a request should begin; the connection ends, the gateway does not."""
        connection.close()
        junk = (
            b"\x01" + rng.randbytes(rng.randrange(300)) + b"\r\n\r\n"
        )  # no empty line: it may wait
        status = await connection.exchange(junk)
        connection.close()
        self._note(number, f"no http {status}", bad=status == 500)

    async def _grpc(
        self, rng: random.Random, seed: Seed, channel: "grpc.aio.Channel", number: int
    ) -> None:
        body = damaged(rng, seed.protobuf, self._seeds)
        try:
            await channel.unary_unary(seed.signal.grpc_method)(body, timeout=HANG_S)
            code = "OK"
        except grpc.aio.AioRpcError as error:
            code = error.code().name
        self.expected["grpc"] += 1
        self._note(number, f"grpc {code}", bad=code in ("INTERNAL", "UNKNOWN", "DEADLINE_EXCEEDED"))

    def _note(self, number: int, answer: str, *, bad: bool) -> None:
        self.tally.answers[answer] += 1
        if bad:
            self.tally.problems.append(f"seed {number}: {answer}")


async def counted(url: str) -> Counter[str]:
    """Requests that the gateway has counted, by protocol."""
    (ours,) = GATEWAY_REQUESTS.describe()
    async with ClientSession() as session, session.get(f"{url}/metrics") as response:
        families = text_string_to_metric_families(await response.text())
        found: Counter[str] = Counter()
        for family in families:
            for sample in family.samples if family.name == ours.name else ():
                if sample.name.endswith("_total"):
                    found[sample.labels["protocol"]] += round(sample.value)
        return found


async def fuzz(folder: Path, runs: int, seed: int) -> Tally:
    """Start a broker and a gateway, send, compare what was counted."""
    broker = Broker(folder, free_port())
    await broker.start()
    gateway, config = _gateway(folder, broker.bootstrap)
    try:
        await create_topics(config)
        gateway.start()
        await asyncio.to_thread(gateway.wait_ready)
        fuzzer = Fuzzer(config, seed)
        await fuzzer.run(runs)
        tally = fuzzer.tally
        found = await counted(gateway.ready_url.removesuffix("/ready"))
        # Bytes that are no HTTP may be taken for a request with a wrong path or method: more only.
        if found["grpc"] != fuzzer.expected["grpc"] or found["http"] < fuzzer.expected["http"]:
            tally.problems.append(f"counted {dict(found)} of {dict(fuzzer.expected)}")
        if gateway.rss_bytes() > RSS_LIMIT_BYTES:
            tally.problems.append(f"the gateway holds {gateway.rss_bytes() >> 20} MiB")
        if not gateway.alive() or not await asyncio.to_thread(gateway.is_ready):
            tally.problems.append("the gateway is not ready any more")
        return tally
    finally:
        gateway.kill()
        broker.stop()


def _gateway(folder: Path, bootstrap: str) -> tuple[Service, Config]:
    ports = {"http_port": free_port(), "grpc_port": free_port()}
    metrics = free_port()
    kafka = KafkaConfig(bootstrap_servers=bootstrap, idempotent_producer=False, partitions=1)
    config = Config(kafka=kafka, gateway=ports, runtime={"metrics_base_port": metrics})
    settings = {
        "STREAMGAUGE_CONFIG": str(folder / "none.yaml"),
        "STREAMGAUGE_KAFKA": json.dumps(
            {"bootstrap_servers": bootstrap, "idempotent_producer": False}
        ),
        "STREAMGAUGE_GATEWAY": json.dumps(ports),
        "STREAMGAUGE_RUNTIME__METRICS_BASE_PORT": str(metrics),
    }
    command = [sys.executable, "-m", "stack.cli", "gateway"]
    url = f"http://127.0.0.1:{metrics}/ready"
    service = Service("gateway", command, {**os.environ, **settings}, folder / "gateway.log", url)
    return service, config


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(KeyboardInterrupt):
        tally = asyncio.run(fuzz(Path(folder), options.runs, options.seed))
        for answer, count in sorted(tally.answers.items()):
            print(f"{answer}: {count}")
        for problem, count in Counter(tally.problems).most_common(20):
            print(f"PROBLEM {problem}: {count}")
        print(f"runs={tally.runs} answers={tally.answers.total()} problems={len(tally.problems)}")
        sys.exit(1 if tally.problems else 0)


if __name__ == "__main__":
    main()
