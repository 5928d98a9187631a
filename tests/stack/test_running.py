"""Commands beside a running embedded stack, from a shell in which nothing is set."""

import asyncio
import io
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import yaml
from rich.console import Console

from processors.app import STAGES
from schemas.config import PACKAGE_ROOT, Config, KafkaConfig, RuntimeConfig
from stack.children import child_environment
from stack.demo.run import run_demo
from stack.embedded import child_settings, embedded_config
from stack.errors import StackError
from stack.ports import free_block, free_port
from stack.running import demo_folder, marked_running, running_config
from stack.up import Stack, start_stack
from tests.stack.line import chat, export

MODELS = PACKAGE_ROOT / "models"


def settings() -> dict[str, object]:
    """Free ports, as a user who cannot have the usual ones writes them to streamgauge.yaml."""
    return {
        "kafka": {"bootstrap_servers": f"127.0.0.1:{free_port()}"},
        "clickhouse": {"url": f"http://127.0.0.1:{free_port()}"},
        "gateway": {"http_port": free_port(), "grpc_port": free_port()},
        "runtime": {"metrics_base_port": free_block(1 + len(STAGES))},
    }


@pytest.fixture
async def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stack]:
    """What ``streamgauge up`` starts in a folder."""
    for name in [name for name in os.environ if name.startswith("STREAMGAUGE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "streamgauge.yaml").write_text(yaml.safe_dump(settings()))
    stack = await start_stack(Config(), progress=lambda _: None)
    yield stack
    await stack.stop()


async def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit status, stdout, stderr of a command in a shell where nothing but PATH is set."""
    path = child_environment()["PYTHONPATH"]
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "stack.cli", *arguments, cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": path, "USER": "ann", "COLUMNS": "200"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(child.communicate(), 90)
    assert b"Traceback" not in err, err.decode()
    return child.returncode or 0, out.decode(), err.decode()


@pytest.mark.timeout(400)
async def test_every_command_finds_the_stack(stack: Stack, tmp_path: Path) -> None:
    span = chat(1)
    trace_id = span.trace_id.hex()
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{stack.config.gateway.http_port}/v1/traces"
        kind = {"Content-Type": "application/x-protobuf"}
        async with session.post(url, data=export(span), headers=kind) as response:
            assert response.status == 200
    tail = await run(tmp_path, "tail", "--since", "1h", "--count", "1", "--json")
    assert (tail[0], json.loads(tail[1])["service"]) == (0, "shop"), tail
    for _ in range(60):
        seen = await run(tmp_path, "trace", trace_id)
        if seen[0] == 0:
            break
        await asyncio.sleep(0.5)
    assert "chat gpt-4o" in seen[1], seen
    for arguments, said in (
        (["sql", "SELECT 40 + 2 AS n"], "42"),
        (["label", "correct", "--trace", trace_id, "--span", span.span_id.hex(),
          "--evaluator", "injection"], "evaluation labelled correct"),
        (["models", "deploy", "starter/injection", "--mode", "shadow"], "shadow"),
        (["migrate"], "none new"),
        (["rules", "check"], "ok"),
        (["ledger"], "balanced"),
    ):  # fmt: skip
        status, out, err = await run(tmp_path, *arguments)
        assert (status, said in out) == (0, True), (arguments, out, err)
    assert (await run(tmp_path, "status", "--json", "--max-age", "600"))[0] in (0, 1)
    assert (tmp_path / ".streamgauge" / "deployments.yaml").is_file()


def test_settings_of_a_stack_are_taken_only_while_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mine = Config()
    effective = embedded_config(mine)
    child_settings(effective)
    assert running_config(mine) is mine
    with marked_running(effective.runtime.data_dir):
        found = running_config(mine)
        assert found.clickhouse.token == effective.clickhouse.token
        assert found.privacy == effective.privacy
        assert found.kafka == effective.kafka
        with pytest.raises(StackError, match="another embedded stack"):
            marked_running(effective.runtime.data_dir).__enter__()
        elsewhere = Config(kafka=KafkaConfig(bootstrap_servers="kafka.example:9092"))
        assert running_config(elsewhere) is elsewhere
        other = Config(runtime=RuntimeConfig(data_dir=tmp_path / "other"))
        assert running_config(other) is other
        own = Config(tenant="acme", evaluate={"model": "large"})  # type: ignore[arg-type]
        merged = running_config(own)
        assert (merged.tenant, merged.evaluate.model) == ("acme", "large")
        assert merged.evaluate.threads == effective.evaluate.threads
    assert running_config(mine) is mine


def test_a_running_demo_is_found_where_nothing_else_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mine = Config()
    config = Config()
    config.runtime.data_dir = demo_folder(config.runtime.data_dir)
    of_demo = embedded_config(config)
    child_settings(of_demo)
    assert running_config(mine) is mine
    with marked_running(of_demo.runtime.data_dir):
        assert running_config(mine).clickhouse.token == of_demo.clickhouse.token
        assert running_config(mine).privacy == of_demo.privacy
        of_up = embedded_config(mine)
        child_settings(of_up)
        with marked_running(of_up.runtime.data_dir):
            assert running_config(mine).clickhouse.token == of_up.clickhouse.token
        assert running_config(mine).clickhouse.token == of_demo.clickhouse.token
    assert running_config(mine) is mine


def test_a_second_demo_leaves_the_first_ones_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = demo_folder(Config().runtime.data_dir)
    with marked_running(folder):
        (folder / "kept").touch()
        console = Console(file=io.StringIO())
        assert run_demo(Config(), once=True, count=1, rate=1.0, console=console) == 2
        assert (folder / "kept").exists()
