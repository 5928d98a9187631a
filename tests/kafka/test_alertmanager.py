"""A real Alertmanager cluster of two, built here with Go, takes our alerts and notifies."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import groupby
from pathlib import Path

import aiohttp
import pytest

from processors.notify.stage import NotifyStage
from processors.runtime.clock import SystemClock
from processors.runtime.memory import MemoryOutputs
from schemas.alert_records import AlertTransition
from schemas.config import Config, NotifyConfig
from schemas.receivers import AlertmanagerReceiver
from stack.ports import free_port
from tests.notify.receivers import WebhookServer
from tests.notify.test_encoding import transition
from tests.notify.test_stage import message

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]
VERSION = "v0.28.1"
BUILT = Path(__file__).parents[2] / ".cache" / f"alertmanager-{VERSION}"
CONFIG = """
route: {{receiver: hook, group_by: ["..."], group_wait: 2s, group_interval: 2s}}
receivers:
  - name: hook
    webhook_configs: [{{url: "{url}", send_resolved: true}}]
"""


@pytest.fixture(scope="session")
def alertmanager() -> Path:
    """Its binary, built once."""
    if shutil.which("go") is None:
        pytest.skip("go is not installed: no real Alertmanager was tried")
    binary = BUILT / "alertmanager"
    if not binary.exists():
        BUILT.mkdir(parents=True, exist_ok=True)
        module = f"github.com/prometheus/alertmanager/cmd/alertmanager@{VERSION}"
        done = subprocess.run(
            ["go", "install", "-trimpath", module],
            env=os.environ | {"GOBIN": str(BUILT), "CGO_ENABLED": "0"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
    return binary


class Peer:
    """One Alertmanager; may be killed and started again with an empty memory."""

    def __init__(self, binary: Path, folder: Path, hook: str, gossip: int, others: list[int]):
        folder.mkdir()
        (folder / "am.yml").write_text(CONFIG.format(url=hook))
        self.port = free_port()
        self._log = folder / "log"
        self._command = [
            str(binary), f"--config.file={folder / 'am.yml'}", f"--storage.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            f"--cluster.listen-address=127.0.0.1:{gossip}", "--cluster.settle-timeout=1s",
            *(f"--cluster.peer=127.0.0.1:{port}" for port in others),
        ]  # fmt: skip
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdout=log, stderr=log
            )
        async with asyncio.timeout(30), aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.get(f"{self.url}/-/ready") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                assert self._process.returncode is None, self._log.read_text()[-2000:]
                await asyncio.sleep(0.1)

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def alerts(self) -> list[dict[str, object]]:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.url}/api/v2/alerts") as answer,
        ):
            found: list[dict[str, object]] = await answer.json()
            return found


@asynccontextmanager
async def cluster(binary: Path, folder: Path, hook: str) -> AsyncIterator[list[Peer]]:
    ports = [free_port(), free_port()]
    peers = [
        Peer(binary, folder / str(number), hook, port, [p for p in ports if p != port])
        for number, port in enumerate(ports)
    ]
    try:
        await asyncio.gather(*(peer.start() for peer in peers))
        yield peers
    finally:
        await asyncio.gather(*(peer.kill() for peer in peers))


def now(status: str) -> AlertTransition:
    now_ns = SystemClock().time_ns()
    ends = {"ends_at_ns": now_ns} if status == "resolved" else {"starts_at_ns": now_ns - 10**10}
    return transition(status=status).model_copy(update=ends)


async def test_a_cluster_takes_our_alerts_and_hears_again_after_a_restart(
    alertmanager: Path, tmp_path: Path
) -> None:
    async with WebhookServer() as hook, cluster(alertmanager, tmp_path, hook.url) as peers:
        receiver = AlertmanagerReceiver(
            type="alertmanager", name="am", urls=[peer.url for peer in peers], repeat_s=0.5
        )
        config = Config(notify=NotifyConfig(receivers=[receiver]))
        stage = NotifyStage(config, MemoryOutputs(), SystemClock())
        await stage.start()
        try:
            firing = now("firing")
            await stage.process(message(firing))
            await hook.received(1)
            for peer in peers:
                (alert,) = await peer.alerts()
                assert alert["labels"] == {**firing.labels, "tenant": "acme"}

            await peers[1].kill()
            await peers[1].start()
            async with asyncio.timeout(10):
                while not await peers[1].alerts():  # it forgot, and hears again
                    await asyncio.sleep(0.2)

            ended = now("resolved").model_copy(
                update={"starts_at_ns": firing.starts_at_ns, "transition_id": "transition-2"}
            )
            await stage.process(message(ended))
            async with asyncio.timeout(30):
                while hook.alerts[-1]["status"] != "resolved":
                    await asyncio.sleep(0.2)
        finally:
            await stage.stop()
        # A peer that lost its memory may notify again: Alertmanager prefers that to silence.
        told = [status for status, _ in groupby(alert["status"] for alert in hook.alerts)]
        assert told == ["firing", "resolved"]
        assert hook.alerts[0]["annotations"]["summary"] == "Prompt injection against shöp"
