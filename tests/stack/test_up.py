"""The whole embedded stack: up, a part killed and back, down with nothing left."""

import asyncio
import os
import signal
from pathlib import Path

import aiohttp
import psutil
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from processors.app import STAGES
from schemas.config import ClickHouseConfig, Config, GatewayConfig, KafkaConfig, RuntimeConfig
from schemas.topics import TOPICS
from stack.ports import free_block, free_port, is_free
from stack.up import Stack, start_stack


async def until_back(stack: Stack, name: str, killed: int) -> None:
    child = stack.children[name]
    for _ in range(600):
        if child.pid not in (None, killed):
            break
        await asyncio.sleep(0.1)
    await child.wait_ready(60.0)


def kill(stack: Stack, name: str) -> int:
    pid = stack.children[name].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    return pid


@pytest.mark.timeout(300)
async def test_up_and_down(tmp_path: Path) -> None:
    config = Config(
        kafka=KafkaConfig(bootstrap_servers=f"127.0.0.1:{free_port()}"),
        clickhouse=ClickHouseConfig(url=f"http://127.0.0.1:{free_port()}"),
        gateway=GatewayConfig(http_port=free_port(), grpc_port=free_port()),
        runtime=RuntimeConfig(data_dir=tmp_path, metrics_base_port=free_block(1 + len(STAGES))),
    )
    lines: list[str] = []
    stack = await start_stack(config, progress=lines.append)
    try:
        names = {"broker", "clickhouse", "gateway", *(stage.name for stage in STAGES)}
        assert set(stack.children) == names
        assert {line.removesuffix(": ready") for line in lines} >= names
        assert 100 << 20 < stack.pss_bytes() < 3 << 30
        async with aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{config.gateway.http_port}/v1/traces"
            async with session.post(
                url, json={"resourceSpans": []}, headers={"Content-Type": "application/json"}
            ) as response:
                assert response.status == 200
        await until_back(stack, "broker", kill(stack, "broker"))
        assert await has_topics(config.kafka.bootstrap_servers)
        pids = [child.pid for child in stack.children.values() if child.pid is not None]
    finally:
        await stack.stop()
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
    assert is_free("127.0.0.1", config.gateway.http_port)


async def has_topics(bootstrap: str) -> bool:
    """Whether the restarted broker gets its topics back."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        for _ in range(150):
            if {topic.name for topic in TOPICS} <= set(await admin.list_topics()):
                return True
            await asyncio.sleep(0.2)
    finally:
        await admin.close()
    return False
