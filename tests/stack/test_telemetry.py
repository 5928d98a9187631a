"""Our own spans and logs: what they say, that they never hold content, that they harm nothing."""

import asyncio
import io
import json
import logging
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession, web
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from pydantic import SecretStr, ValidationError

from ingest import telemetry
from ingest.gateway import Gateway
from schemas.config import PACKAGE_ROOT, Config, GatewayConfig, TelemetryConfig
from schemas.topics import OTLP_LOGS, OTLP_SPANS, OTLP_SPANS_GATEWAY
from stack.commands.common import log_as_json
from stack.ports import free_port
from tests.evaluate.samples import TINY
from tests.stack.line import chat, export, produce, settled, stages

SAID = "xyzzy-said-in-confidence"
LINE = ("traces", "operations", "assemble", "evaluate", "store")
Attributes = dict[str, object]


class Receiver:
    """An OTLP/HTTP receiver that keeps what comes."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        """Keep one export."""
        self.bodies.append(await request.read())
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        return web.Response()

    def spans(self) -> list[tuple[str, Attributes]]:
        """Name and attributes of every span."""
        found = []
        for body in self.bodies:
            for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                for span in (span for scope in group.scope_spans for span in scope.spans):
                    said = {
                        pair.key: getattr(pair.value, pair.value.WhichOneof("value"))
                        for pair in span.attributes
                    }
                    found.append((span.name, said))
        return found

    def of(self, name: str) -> list[Attributes]:
        """Attributes of the spans of that name."""
        return [said for found, said in self.spans() if found == name]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """On a free port."""
    found = Receiver()
    app = web.Application()
    app.router.add_post("/v1/traces", found.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


@pytest.fixture(autouse=True)
def stopped() -> Iterator[None]:
    """No test leaves the process recording."""
    yield
    telemetry.stop()


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What a daemon would log, and our own modules in full."""
    out = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    ours = [logging.getLogger(name) for name in ("ingest", "processors", "sql", "stack")]
    monkeypatch.setattr(sys, "stderr", out)
    log_as_json()
    for logger in ours:
        logger.setLevel(logging.DEBUG)
    yield out
    for logger in ours:
        logger.setLevel(logging.NOTSET)
    root.handlers[:], root.level = handlers, level


def recording(url: str, **fields: object) -> TelemetryConfig:
    """Everything is recorded and sent there."""
    return TelemetryConfig(otlp_endpoint=url, **{"sample_ratio": 1.0, **fields})  # type: ignore[arg-type]


async def ended() -> None:
    """Spans are exported; the receiver's event loop goes on meanwhile."""
    await asyncio.to_thread(telemetry.stop)


@asynccontextmanager
async def serving(config: Config) -> AsyncIterator[Gateway]:
    """A gateway that its broker answers."""
    gateway = Gateway(config)
    await gateway.start()
    try:
        async with asyncio.timeout(20):
            while not gateway._producer.available:
                await asyncio.sleep(0.05)
        yield gateway
    finally:
        await gateway.stop()


async def post(gateway: Gateway, body: bytes, path: str = "/v1/traces", **headers: str) -> int:
    """Status of one export."""
    sent = {"Content-Type": "application/x-protobuf", **headers}
    url = f"http://127.0.0.1:{gateway.http_port}{path}"
    async with ClientSession() as session, session.post(url, data=body, headers=sent) as response:
        return response.status


def logs() -> bytes:
    """A log record with content."""
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add()
    record.trace_id, record.span_id = (1).to_bytes(16, "big"), (1).to_bytes(8, "big")
    record.event_name = "gen_ai.user.message"
    record.body.kvlist_value.values.add(key="content").value.string_value = SAID
    return bytes(request.SerializeToString())


async def test_neither_spans_nor_logs_hold_content(
    line_config: Config, receiver: Receiver, logged: io.StringIO
) -> None:
    headers = SecretStr("Authorization=Bearer abc, x-team=ops")
    telemetry.start(recording(receiver.url, headers=headers), "test")
    config = line_config.model_copy(update={"evaluate": TINY})
    bad = chat(3, SAID)
    bad.span_id = b""
    junk = b"\xff\xff" + SAID.encode()
    async with serving(config) as gateway, stages(config, *LINE):
        assert await post(gateway, export(chat(1, SAID), bad, service=SAID)) == 200
        assert await post(gateway, logs(), "/v1/logs") == 200
        assert await post(gateway, junk) == 400
        broken = export(chat(4, SAID)).replace(SAID.encode(), SAID[:-1].encode() + b"\xff")
        assert await post(gateway, broken) == 200
        await produce(config, OTLP_SPANS.name, junk, partition=1)
        await produce(config, OTLP_LOGS.name, junk)
        await settled(config, *LINE)
    await ended()
    assert SAID.encode() not in b"".join(receiver.bodies)
    assert SAID not in logged.getvalue()
    lines = [json.loads(text) for text in logged.getvalue().splitlines()]
    assert {line["logger"].partition(".")[0] for line in lines} >= {"ingest", "processors"}
    assert receiver.headers[0]["authorization"] == "Bearer abc"
    assert (receiver.headers[0]["x-team"], telemetry.OWN_HEADER in receiver.headers[0]) == (
        "ops", True,
    )  # fmt: skip
    check_spans(receiver)


def check_spans(receiver: Receiver) -> None:
    """Of the traffic above."""
    requests = receiver.of("gateway.request")
    told = [(r[telemetry.OUTCOME], r["http.response.status_code"]) for r in requests]
    assert told.count(("accepted", 200)) == 3
    assert told.count(("refused", 400)) == 1
    assert (1, 1, "default") in [
        (r.get(telemetry.RECORDS), r.get(telemetry.REJECTED), r.get(telemetry.TENANT))
        for r in requests
    ]
    places = (telemetry.TOPIC, telemetry.PARTITION, telemetry.OFFSET)
    messages = receiver.of("stage.message")
    produced = {tuple(one[name] for name in places) for one in receiver.of("gateway.produce")}
    read = {
        tuple(one[name] for name in places)
        for one in messages
        if one[telemetry.STAGE] == "operations"
    }
    assert produced <= read, "joined by topic, partition and offset"
    assert {one[telemetry.STAGE] for one in messages} == set(LINE)
    assert {one[telemetry.OUTCOME] for one in messages} == {"done", "dead"}
    assert {one[telemetry.ERROR] for one in messages if one[telemetry.OUTCOME] == "dead"} == {
        "undecodable_otlp", "parts_dead",
    }  # fmt: skip
    assert all(
        one[telemetry.RECORDS] >= 1  # type: ignore[operator]
        for one in messages
        if one[telemetry.TOPIC] == OTLP_SPANS_GATEWAY.name
    )
    batches = receiver.of("inference.batch")
    assert {(one[telemetry.MODEL], one[telemetry.DEVICE]) for one in batches} == {("tiny", "cpu")}
    for one in batches:
        texts, tokens, padded = (
            one[name] for name in (telemetry.TEXTS, telemetry.TOKENS, telemetry.PADDED_TOKENS)
        )
        assert 1 <= texts <= tokens <= padded  # type: ignore[operator]
    tables = {one["db.collection.name"] for one in receiver.of("clickhouse.insert")}
    assert tables >= {"otel_spans", "genai_ledger", "genai_operations", "genai_dead_letters"}


async def test_a_receiver_that_is_away_harms_nothing(
    line_config: Config, logged: io.StringIO
) -> None:
    telemetry.start(recording(f"http://127.0.0.1:{free_port()}"), "test")
    async with serving(line_config) as gateway:
        for number in range(20):
            assert await post(gateway, export(chat(100 + number))) == 200
    began = time.monotonic()
    await ended()
    assert time.monotonic() - began < 4
    await asyncio.sleep(0.2)
    assert logged.getvalue().count("takes no spans") <= 1
    assert "Traceback" not in logged.getvalue()


async def test_exports_of_our_own_make_no_spans(line_config: Config, receiver: Receiver) -> None:
    telemetry.start(recording(receiver.url), "test")
    async with serving(line_config) as gateway:
        own = {telemetry.OWN_HEADER: "1"}
        assert await post(gateway, export(chat(200)), **own) == 200
        assert await post(gateway, export(chat(201))) == 200
    await ended()
    assert len(receiver.of("gateway.request")) == 1


async def test_nothing_is_sent_at_a_share_of_zero(receiver: Receiver) -> None:
    telemetry.start(recording(receiver.url, sample_ratio=0.0), "test")
    with telemetry.span("work") as span:
        span.set("a", 1)
        telemetry.note("b", 2)
    await ended()
    assert receiver.bodies == []


async def test_an_error_is_its_class_and_an_ended_span_hears_nothing(receiver: Receiver) -> None:
    telemetry.start(recording(receiver.url), "test")
    work = telemetry.span("work")

    def fail() -> None:
        with work:
            telemetry.note("inside", True)
            raise KeyError(SAID)

    with pytest.raises(KeyError):
        fail()
    work.set("late", 1)
    telemetry.note("late", 1)
    await ended()
    assert receiver.spans() == [("work", {"inside": True, telemetry.ERROR: "KeyError"})]
    assert SAID.encode() not in b"".join(receiver.bodies)


def test_off_is_free() -> None:
    program = (
        "import sys, ingest.gateway, processors.runtime.worker, processors.clickhouse\n"
        "from ingest import telemetry\n"
        "from schemas.config import TelemetryConfig\n"
        "telemetry.start(TelemetryConfig(), 'test')\n"
        "assert telemetry.span('x') is telemetry.span('y') is telemetry.OFF\n"
        "assert 'opentelemetry.sdk.trace' not in sys.modules\n"
        "assert 'opentelemetry.exporter' not in sys.modules\n"
        "telemetry.stop()\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=PACKAGE_ROOT, check=True)


def test_an_echo_is_refused() -> None:
    gateway = GatewayConfig(http_port=4999)
    ours = "http://localhost:4999"
    with pytest.raises(ValidationError, match="our own gateway"):
        Config(gateway=gateway, telemetry=recording(ours))
    assert Config(gateway=gateway, telemetry=TelemetryConfig(otlp_endpoint=ours))
    assert Config(gateway=gateway, telemetry=recording("http://localhost:4998"))


def test_headers_that_cannot_be_read_are_named() -> None:
    with pytest.raises(ValueError, match=r"telemetry\.headers"):
        telemetry.start(recording("http://127.0.0.1:1", headers=SecretStr("nonsense")), "test")
