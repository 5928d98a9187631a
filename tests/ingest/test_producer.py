"""The gateway's connection to Kafka: files that are not there, and a broker that stays away."""

import asyncio
import logging
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from ingest.gateway import Gateway
from ingest.kafka import kafka_options
from ingest.producer import GatewayProducer
from schemas.config import Config, KafkaConfig
from schemas.secrets import SecretFileError
from stack.broker import Broker
from stack.ports import free_port
from tests.ingest.conftest import StartGateway, create_topic, gateway_config
from tests.ingest.test_gateway_recovery import accepted_before
from tests.ingest.test_otlp import traces


def with_kafka(config: Config, **kafka: Any) -> Config:
    """The configuration with these settings of Kafka."""
    return config.model_copy(
        update={"kafka": KafkaConfig.model_validate(config.kafka.model_dump() | kafka)}
    )


@pytest.mark.parametrize(
    ("key", "content"),
    [("sasl_password_file", None), ("sasl_password_file", ""), ("ssl_cafile", None)],
)
def test_a_file_that_cannot_be_used_is_refused_at_the_start(
    tmp_path: Path, key: str, content: str | None
) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_text(content)
    config = with_kafka(
        gateway_config("127.0.0.1:1", tmp_path),
        security_protocol="SASL_SSL",
        sasl_username="gateway",
        sasl_password="" if key == "sasl_password_file" else "secret",
        **{key: path},
    )
    with pytest.raises(SecretFileError, match=f"kafka.{key}"):
        Gateway(config)


async def test_a_file_that_goes_away_is_logged_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    came = asyncio.Event()

    def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    password = tmp_path / "password"
    password.write_text("secret")
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    producer = GatewayProducer(
        with_kafka(
            gateway_config(address, tmp_path),
            security_protocol="SASL_PLAINTEXT",
            sasl_username="gateway",
            sasl_password_file=password,
        )
    )
    password.unlink()
    await producer.start()
    try:
        async with asyncio.timeout(10):
            while sum("kafka.sasl_password_file" in line for line in caplog.messages) < 2:
                await asyncio.sleep(0.05)
            assert not came.is_set()
            password.write_text("secret")
            await came.wait()
    finally:
        await producer.stop()
        server.close()
    assert {record.levelno for record in caplog.records if "password_file" in record.message} == {
        logging.ERROR
    }
    assert "secret" not in caplog.text


async def test_a_bug_is_logged_and_the_keeper_goes_on(
    gateway_broker: Broker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    producer = GatewayProducer(gateway_config(gateway_broker.bootstrap, tmp_path))
    bugs = iter([ZeroDivisionError])

    def failing_once(config: KafkaConfig) -> dict[str, Any]:
        for bug in bugs:
            raise bug
        return kafka_options(config)

    monkeypatch.setattr("ingest.producer.kafka_options", failing_once)
    await producer.start()
    try:
        async with asyncio.timeout(10):
            while not producer.available:
                await asyncio.sleep(0.05)
    finally:
        await producer.stop()
    assert "ZeroDivisionError" in caplog.text


def freeze(pid: int) -> None:
    """Stop a process, and wait until each of its threads is."""
    os.kill(pid, signal.SIGSTOP)
    threads = list(Path(f"/proc/{pid}/task").glob("*/stat"))
    deadline_s = time.monotonic() + 5
    while any(one.read_text().rpartition(")")[2].split()[0] != "T" for one in threads):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


async def test_a_broker_that_stays_away_gets_a_new_connection_and_what_waits_is_refused(
    start_gateway: StartGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what the configuration's files hold by then."""
    monkeypatch.setattr("ingest.producer._REPLACE_AFTER_S", 3.0)
    broker = Broker(tmp_path, free_port())
    await broker.start()
    made = 0

    def counted(config: KafkaConfig) -> dict[str, Any]:
        nonlocal made
        made += 1
        return kafka_options(config)

    monkeypatch.setattr("ingest.producer.kafka_options", counted)
    try:
        await create_topic(broker.bootstrap)
        gateway = await start_gateway(
            gateway_config(broker.bootstrap, tmp_path, produce_deadline_s=2.0)
        )
        await gateway.wait_ready()
        await accepted_before(gateway, 5)
        before = made
        freeze(broker.pid)
        waiting = asyncio.create_task(gateway.post(traces(1).SerializeToString()))
        async with asyncio.timeout(20):
            while made == before:
                await asyncio.sleep(0.1)
        assert (await waiting)[0] == 503
        async with gateway.session.get(f"{gateway.status_url}/metrics") as response:
            assert "streamgauge_gateway_inflight_bytes 0.0" in await response.text()
        os.kill(broker.pid, signal.SIGCONT)
        await accepted_before(gateway, 20)
    finally:
        os.kill(broker.pid, signal.SIGCONT)
        broker.stop()
