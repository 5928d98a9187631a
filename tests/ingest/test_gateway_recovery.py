"""The gateway without its broker, with a frozen one, and on its way out."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession
from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status as RpcStatus

from stack.broker import Broker
from stack.ports import free_port
from tests.ingest.conftest import (
    RunningGateway,
    StartGateway,
    Written,
    create_topic,
    gateway_config,
)
from tests.ingest.test_otlp import traces

DEADLINE_S = 1.0
PROMPT_S = DEADLINE_S + 1.5


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A broker of the test's own, not started."""
    broker = Broker(tmp_path, free_port())
    yield broker
    broker.stop()


async def refused(gateway: RunningGateway) -> None:
    """One export that must be refused in time, with the hint to send it again."""
    start = time.monotonic()
    status, answer, headers = await gateway.post(traces(1).SerializeToString())
    assert status == 503
    assert int(headers["Retry-After"]) > 0
    assert RpcStatus.FromString(answer).code == Code.UNAVAILABLE
    assert time.monotonic() - start < PROMPT_S


async def accepted_before(gateway: RunningGateway, timeout_s: float) -> None:
    """Exports again and again, as a client does, until one is taken."""
    async with asyncio.timeout(timeout_s):
        while (await gateway.post(traces(1).SerializeToString()))[0] != 200:
            await asyncio.sleep(0.2)


async def test_broker_away_gives_503_and_the_gateway_recovers_by_itself(
    start_gateway: StartGateway, broker: Broker, tmp_path: Path
) -> None:
    gateway = await start_gateway(
        gateway_config(broker.bootstrap, tmp_path, produce_deadline_s=DEADLINE_S)
    )
    async with gateway.session.get(f"{gateway.status_url}/health") as response:
        assert response.status == 200, "alive without a broker"
    assert not await gateway.ready()
    await refused(gateway)

    await broker.start()
    await create_topic(broker.bootstrap)
    await gateway.wait_ready()
    await accepted_before(gateway, 5)

    broker.stop()
    await refused(gateway)
    async with asyncio.timeout(10):
        while await gateway.ready():
            await asyncio.sleep(0.05)
    await refused(gateway)

    await broker.start()
    await create_topic(broker.bootstrap)
    await accepted_before(gateway, 15)
    assert await gateway.ready()


async def test_a_frozen_broker_gives_503_within_the_deadline(
    start_gateway: StartGateway, broker: Broker, tmp_path: Path
) -> None:
    await broker.start()
    await create_topic(broker.bootstrap)
    gateway = await start_gateway(
        gateway_config(broker.bootstrap, tmp_path, produce_deadline_s=DEADLINE_S)
    )
    await gateway.wait_ready()
    await accepted_before(gateway, 5)
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        await asyncio.gather(*(refused(gateway) for _ in range(5)))
        await refused(gateway)
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    await accepted_before(gateway, 15)


@pytest.fixture
def process(
    gateway_broker: Broker, tmp_path: Path
) -> Iterator[tuple[subprocess.Popen[bytes], str, str]]:
    """(process, export URL, status URL) of a gateway as the command line runs it."""
    http_port, status_port = free_port(), free_port()
    environment = {
        "STREAMGAUGE_KAFKA__BOOTSTRAP_SERVERS": gateway_broker.bootstrap,
        "STREAMGAUGE_KAFKA__IDEMPOTENT_PRODUCER": "false",
        "STREAMGAUGE_GATEWAY__HTTP_PORT": str(http_port),
        "STREAMGAUGE_GATEWAY__GRPC_PORT": str(free_port()),
        "STREAMGAUGE_GATEWAY__LINGER_MS": "1500",
        "STREAMGAUGE_RUNTIME__METRICS_BASE_PORT": str(status_port),
        "STREAMGAUGE_CONFIG": str(tmp_path / "none.yaml"),
    }
    code = (
        "from ingest.gateway import run_gateway; from schemas.config import Config; "
        "run_gateway(Config())"
    )
    with subprocess.Popen([sys.executable, "-c", code], env=os.environ | environment) as started:
        yield (
            started,
            f"http://127.0.0.1:{http_port}/v1/traces",
            f"http://127.0.0.1:{status_port}/ready",
        )
        started.kill()


async def test_sigterm_answers_what_is_in_flight_before_it_ends(
    process: tuple[subprocess.Popen[bytes], str, str], written: Written
) -> None:
    started, exports, ready = process
    body = traces(2).SerializeToString()
    async with ClientSession() as session, asyncio.timeout(30):
        while True:
            with contextlib.suppress(ClientError):
                async with session.get(ready) as response:
                    if response.status == 200:
                        break
            await asyncio.sleep(0.1)

        async def export() -> int:
            headers = {"Content-Type": "application/x-protobuf"}
            async with session.post(exports, data=body, headers=headers) as response:
                return response.status

        in_flight = asyncio.create_task(export())
        await asyncio.sleep(0.3)  # it lingers for company
        started.send_signal(signal.SIGTERM)
        assert await in_flight == 200
        assert await asyncio.to_thread(started.wait, 10) == 0
        with pytest.raises(ClientError):
            await export()
    (record,) = await written.take(1)
    assert record.value == body
