"""A busy port is named with the option that moves it, before anything starts."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.config import ClickHouseConfig, Config, GatewayConfig, KafkaConfig, RuntimeConfig
from stack.ports import PortClaim, PortError, check_free, free_block, free_port, is_free
from stack.up import start_stack


@pytest.fixture
def busy() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def test_every_busy_port_is_named(busy: int) -> None:
    free = free_port()
    assert is_free("127.0.0.1", free)
    assert not is_free("127.0.0.1", busy)
    claims = [
        PortClaim("OTLP", "127.0.0.1", busy, "gateway.http_port"),
        PortClaim("ClickHouse", "127.0.0.1", free, "clickhouse.url"),
    ]
    with pytest.raises(PortError) as caught:
        check_free(claims)
    text = str(caught.value)
    assert f"port {busy} on 127.0.0.1, wanted by OTLP, is in use" in text
    assert "gateway.http_port" in text
    assert "STREAMGAUGE_GATEWAY__HTTP_PORT" in text
    assert "ClickHouse" not in text


def test_one_port_for_two_parts_is_refused() -> None:
    port = free_port()
    claims = [PortClaim(part, "127.0.0.1", port, f"{part}.port") for part in ("a", "b")]
    with pytest.raises(PortError, match=r"wanted by a and by b: set b\.port"):
        check_free(claims)


def test_no_port_is_soon_given_again_nor_one_that_connections_get() -> None:
    ports = [free_port() for _ in range(500)]
    first = free_block(8)
    ports += range(first, first + 8)
    assert len(set(ports)) == len(ports)
    assert max(ports) < 32_768  # Linux gives outgoing connections 32768 to 60999


async def test_the_stack_says_so_before_it_starts_anything(busy: int, tmp_path: Path) -> None:
    config = Config(
        kafka=KafkaConfig(bootstrap_servers=f"127.0.0.1:{free_port()}"),
        clickhouse=ClickHouseConfig(url=f"http://127.0.0.1:{busy}"),
        gateway=GatewayConfig(http_port=free_port(), grpc_port=free_port()),
        runtime=RuntimeConfig(data_dir=tmp_path, metrics_base_port=free_port()),
    )
    with pytest.raises(PortError, match=rf"port {busy} .*ClickHouse.*clickhouse\.url"):
        await start_stack(config, progress=pytest.fail)
    assert not (tmp_path / "logs").exists()
