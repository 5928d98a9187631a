"""Apprise to real local servers: what it is told, what is tried again, what is refused at start."""

import json
import sys
from pathlib import Path

import pytest

from processors.notify.posting import ReceiverError
from processors.runtime.memory import MemoryOutputs
from schemas.receivers import AppriseReceiver
from tests.notify.receivers import WebhookServer
from tests.notify.test_encoding import transition
from tests.notify.test_stage import message, started

SECRET = "secret-token"


def receiver(folder: Path, *urls: str, **changes: object) -> AppriseReceiver:
    path = folder / "urls"
    path.write_text("".join(f"{url}\n" for url in urls))
    given = {"type": "apprise", "name": "long-tail", "urls_file": path, "timeout_s": 10}
    return AppriseReceiver.model_validate({**given, **changes})


def url(server: WebhookServer) -> str:
    return server.url.replace("http://", "json://")


async def test_every_url_is_told_once_though_one_is_tried_again(tmp_path: Path) -> None:
    pytest.importorskip("apprise")
    async with WebhookServer() as good, WebhookServer(500) as slow:
        one = receiver(tmp_path, "# on call", url(good), url(slow))
        async with started(one) as stage:
            await stage.process(message(transition(1)))
            await stage.process(message(transition(2, "resolved")))
        first, second = (json.loads(body) for _, body in good.requests)
        assert len(slow.requests) == 3
    assert first["title"] == "[FIRING] Prompt injection against shöp"
    assert "value: 0.97" in first["message"]
    assert [first["type"], second["type"]] == ["failure", "success"]


async def test_what_is_never_taken_is_a_dead_letter(tmp_path: Path) -> None:
    pytest.importorskip("apprise")
    outputs = MemoryOutputs()
    async with WebhookServer(*[404] * 50) as server:
        one = receiver(tmp_path, url(server), give_up_s=5)
        async with started(one, outputs=outputs) as stage:
            await stage.process(message(transition(1)))
    assert [letter.reason for letter in outputs.letters] == ["receiver_away"]


async def test_a_service_that_hangs_is_tried_again(tmp_path: Path) -> None:
    pytest.importorskip("apprise")
    async with WebhookServer("hang") as server:
        one = receiver(tmp_path, url(server) + "?rto=1&cto=1")
        async with started(one) as stage:
            await stage.process(message(transition(1)))
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("urls", "text"),
    [
        (["# none"], "has no URL"),
        (["json://127.0.0.1/a", f"nothing://{SECRET}@host"], "line 2 is no URL"),
    ],
)
async def test_a_wrong_file_is_named_and_not_shown(
    tmp_path: Path, urls: list[str], text: str
) -> None:
    pytest.importorskip("apprise")
    with pytest.raises(ReceiverError, match=text) as caught:
        async with started(receiver(tmp_path, *urls)):
            pass
    assert "notify.receivers.long-tail.urls_file" in str(caught.value)
    assert SECRET not in str(caught.value)


async def test_without_the_extra_the_worker_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(ReceiverError, match=r"streamgauge\[apprise\]"):
        async with started(receiver(tmp_path, "json://127.0.0.1/a")):
            pass
