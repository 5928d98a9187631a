"""The dead man's switch: pinged by the alert that always fires, and by nothing else."""

from pathlib import Path
from typing import Any

import pytest

from processors.runtime.memory import MemoryOutputs
from processors.watch.builtin import watchdog
from schemas.alert_records import AlertTransition
from schemas.config import NotifyConfig
from schemas.receivers import HeartbeatReceiver
from tests.notify.receivers import WebhookServer
from tests.notify.test_encoding import transition
from tests.notify.test_stage import HurriedClock, message, receiver, started

MINUTE_NS = 60_000_000_000


@pytest.fixture
def heart(tmp_path: Path) -> Any:
    """A receiver that pings a server."""

    def made(server: WebhookServer, **changes: object) -> HeartbeatReceiver:
        path = tmp_path / "url"
        path.write_text(server.url + "\n")
        given = {"type": "heartbeat", "name": "heart", "url_file": path, "timeout_s": 0.5}
        return HeartbeatReceiver.model_validate({**given, **changes})

    return made


def beat(minutes_ago: int = 0) -> AlertTransition:
    return watchdog("acme", HurriedClock().time_ns() - minutes_ago * MINUTE_NS)


async def test_each_beat_is_a_ping_and_no_alert_is(heart: Any) -> None:
    async with WebhookServer() as server, started(heart(server)) as stage:
        await stage.process(message(beat(1), transition(1)))
        await stage.process(message(beat(), transition(2, "resolved")))
        assert [body for _, body in server.requests] == [b'{"status": "ok"}'] * 2


async def test_a_ping_may_be_a_get(heart: Any) -> None:
    async with WebhookServer() as server, started(heart(server, method="GET")) as stage:
        await stage.process(message(beat()))
        ((headers, body),) = server.requests
    assert (body, headers.get("Content-Type")) == (b"", None)


async def test_a_backlog_says_nothing_of_now(heart: Any) -> None:
    async with WebhookServer() as server, started(heart(server)) as stage:
        await stage.process(message(beat(10)))
        assert server.requests == []


async def test_a_ping_not_taken_is_left_to_the_next_one(heart: Any) -> None:
    outputs = MemoryOutputs()
    async with WebhookServer(404, 503) as server, WebhookServer() as rescue:
        both = (heart(server), receiver(rescue, "rescue"))
        async with started(*both, outputs=outputs, fallback="rescue") as stage:
            await stage.process(message(beat(1)))
            await stage.process(message(beat()))
        assert len(server.requests) == 3
        assert rescue.requests == []
    assert outputs.letters == []


def test_a_heartbeat_is_no_fallback(tmp_path: Path) -> None:
    one = HeartbeatReceiver(type="heartbeat", name="heart", url_file=tmp_path / "url")
    with pytest.raises(ValueError, match="heart is a heartbeat"):
        NotifyConfig(receivers=[one], fallback="heart")
