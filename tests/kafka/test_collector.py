"""A real OpenTelemetry Collector, built here with Go, forwards to the gateway by our recipes.

It has the Collector's own receiver, queue and exporters. Its kafka exporter is not among them: what
that one writes is in ``tests/captures/collector``, made by this program's ``convert``.
"""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from ingest.otlp import decode_logs, decode_traces
from schemas.topics import TENANT_HEADER
from stack.ports import free_port
from tests.collector.test_encodings import ENCODINGS, WRITTEN, value_of
from tests.collector.test_recipes import RECIPES
from tests.ingest.conftest import (  # noqa: F401 (fixtures)
    RunningGateway,
    Written,
    gateway_broker,
    start_gateway,
    written,
    written_logs,
)
from tests.sdks.test_sdks import gateway  # noqa: F401 (a fixture: this gateway wants a key)

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]
SOURCE = Path(__file__).parent / "collector"
BUILT = Path(__file__).parents[2] / ".cache" / "collector"


@pytest.fixture(scope="session")
def collector() -> Path:
    """The Collector's binary, built once for these sources."""
    if shutil.which("go") is None:
        pytest.skip("go is not installed: the Collector recipes are checked statically only")
    kept = BUILT / "sources"
    sources = b"".join(path.read_bytes() for path in sorted(SOURCE.iterdir()))
    if not (kept.exists() and kept.read_bytes() == sources):
        BUILT.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["go", "build", "-trimpath", "-ldflags=-s", "-o", str(BUILT / "collector"), "."],
            cwd=SOURCE, env=os.environ | {"CGO_ENABLED": "0"}, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        kept.write_bytes(sources)
    return BUILT / "collector"


@asynccontextmanager
async def running(binary: Path, recipe: str, endpoint: str, log: Path) -> AsyncIterator[str]:
    """A Collector with that recipe; the URL of its OTLP/HTTP receiver."""
    port = free_port()
    settings = {
        "STREAMGAUGE_KEY": "key-a",
        "STREAMGAUGE_ENDPOINT": endpoint,
        "OTLP_HTTP_LISTEN": f"127.0.0.1:{port}",
        "OTLP_GRPC_LISTEN": f"127.0.0.1:{free_port()}",
    }
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            str(binary), "--config", str(RECIPES / recipe),
            "--set=service::telemetry::metrics::level=none",
            env=os.environ | settings, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        async with asyncio.timeout(30):
            while "Everything is ready" not in log.read_text():  # noqa: ASYNC240
                assert process.returncode is None, log.read_text()[-2000:]  # noqa: ASYNC240
                await asyncio.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@pytest.mark.parametrize("recipe", ["otlp-http.yaml", "otlp-grpc.yaml"])
async def test_the_gateway_recipes_deliver(
    collector: Path,
    gateway: RunningGateway,  # noqa: F811
    written: Written,  # noqa: F811
    written_logs: Written,  # noqa: F811
    tmp_path: Path,
    recipe: str,
) -> None:
    grpc = recipe == "otlp-grpc.yaml"
    endpoint = f"127.0.0.1:{gateway.grpc_port}" if grpc else f"http://127.0.0.1:{gateway.port}"
    async with (
        running(collector, recipe, endpoint, tmp_path / "collector.log") as url,
        aiohttp.ClientSession(headers={"Content-Type": "application/x-protobuf"}) as session,
    ):
        for signal in ("traces", "logs"):
            body = value_of(signal, "otlp_proto")
            async with session.post(f"{url}/v1/{signal}", data=body) as answer:
                assert answer.status == 200
        (traces,), (logs,) = await written.take(1), await written_logs.take(1)
    assert dict(traces.headers)[TENANT_HEADER] == b"team-a"
    assert decode_traces(traces.value, "protobuf").item_count == 12
    assert decode_logs(logs.value, "protobuf").item_count == 27


def test_the_captured_bytes_are_the_collectors_own(collector: Path, tmp_path: Path) -> None:
    for signal in ("traces", "logs"):
        source = WRITTEN / f"{signal}.otlp_json"
        subprocess.run([collector, "convert", signal, source, tmp_path / signal], check=True)
        for encoding in ENCODINGS:
            assert (tmp_path / f"{signal}.{encoding}").read_bytes() == value_of(signal, encoding)
