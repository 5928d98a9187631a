"""Delivery to real local webhook servers: success, refusals, retries, order, repeats."""

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from processors.notify import posting
from processors.notify.posting import ReceiverError
from processors.notify.quiet import POLL_S
from processors.notify.signature import SecretError
from processors.notify.stage import NotifyStage
from processors.runtime.memory import FakeClock, MemoryOutputs, settle
from schemas.alert_records import AlertTransition
from schemas.config import ClickHouseConfig, Config, NotifyConfig, WatchConfig
from schemas.encoding import decode_batch, encode_batch
from schemas.protocols import Clock, Message, PoisonError, RetryableError
from schemas.receivers import Receiver, WebhookReceiver
from schemas.records import encode_record
from schemas.topics import ALERT_TRANSITIONS
from tests.notify.receivers import Answer, WebhookServer
from tests.notify.test_encoding import SECRET, transition

TLS = Path(__file__).resolve().parents[1] / "deploy" / "tls"
NOWHERE = "http://127.0.0.1:1"


class HurriedClock:
    """The machine's clock, but waits are a hundred times shorter; it keeps what was asked."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self._skipped_s = 0.0

    def time_ns(self) -> int:
        return time.time_ns()

    def monotonic(self) -> float:
        return time.monotonic() + self._skipped_s

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(seconds / 100)
        self._skipped_s += seconds * 0.99


@contextlib.asynccontextmanager
async def started(
    *receivers: Receiver,
    clock: Clock | None = None,
    outputs: MemoryOutputs | None = None,
    **settings: object,
) -> AsyncIterator[NotifyStage]:
    notify = NotifyConfig.model_validate({"receivers": list(receivers), **settings})
    config = Config(
        notify=notify,
        clickhouse=ClickHouseConfig(url=NOWHERE),
        watch=WatchConfig(rules_file=Path(__file__).parent / "no_rules.yaml"),
    )
    stage = NotifyStage(config, outputs or MemoryOutputs(), clock or HurriedClock())
    await stage.start()
    try:
        yield stage
    finally:
        await stage.stop()


def message(*transitions: AlertTransition) -> Message:
    value = encode_batch([encode_record(one) for one in transitions])
    return Message(ALERT_TRANSITIONS.name, 0, 0, 0, None, value)


def receiver(server: WebhookServer, name: str = "pager", **changes: object) -> WebhookReceiver:
    return WebhookReceiver.model_validate(
        {"name": name, "url": server.url, "timeout_s": 2.0, **changes}
    )


async def test_a_transition_is_posted_signed_to_every_receiver(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(SECRET)
    async with WebhookServer() as one, WebhookServer() as two:
        signed = receiver(one, secret_file=key)
        async with started(signed, receiver(two, "other")) as stage:
            await stage.process(message(transition()))
        (headers, _) = one.requests[0]
        assert headers["webhook-id"] == "transition-1"
        assert headers["webhook-signature"].startswith("v1,")
        assert headers["Content-Type"] == "application/json"
        assert "webhook-signature" not in two.requests[0][0]
        assert one.alerts[0]["labels"]["tenant"] == "acme"


@pytest.mark.parametrize(
    "failure", [500, 503, 429, 408, (302, {"Location": "/moved"}), "hang", "close"]
)
async def test_transient_failures_are_tried_again_under_the_same_id(
    failure: Answer,
) -> None:
    async with WebhookServer(failure, failure) as server:
        outputs = MemoryOutputs()
        async with started(receiver(server), outputs=outputs) as stage:
            await stage.process(message(transition()))
        assert [headers["webhook-id"] for headers, _ in server.requests] == ["transition-1"] * 3
        assert outputs.letters == []


async def test_nobody_listening_is_tried_again() -> None:
    async with WebhookServer() as server:
        gone = receiver(server)
    clock = FakeClock()
    async with started(gone, clock=clock) as stage:
        waiting = asyncio.create_task(stage.process(message(transition())))
        for _ in range(20):
            await asyncio.sleep(0.01)
            await clock.advance(60)
        assert not waiting.done()
        waiting.cancel()


async def test_tls_that_is_none_is_tried_again_and_given_up() -> None:
    async with WebhookServer() as server:
        outputs = MemoryOutputs()
        wrong = receiver(server, url=server.url.replace("http:", "https:"), give_up_s=5)
        async with started(wrong, outputs=outputs) as stage:
            await stage.process(message(transition(1)))
        assert server.requests == []
        assert [letter.reason for letter in outputs.letters] == ["receiver_away"]


async def test_a_certificate_that_nobody_vouches_for_is_shown_nothing() -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(TLS / "server.pem", TLS / "server.key")
    async with WebhookServer(tls=context) as server:
        outputs = MemoryOutputs()
        async with started(receiver(server, give_up_s=5), outputs=outputs) as stage:
            await stage.process(message(transition(1)))
        assert server.requests == []
        assert [letter.reason for letter in outputs.letters] == ["receiver_away"]


async def test_retry_after_is_honoured() -> None:
    clock = HurriedClock()
    async with (
        WebhookServer((429, {"Retry-After": "40"})) as server,
        started(receiver(server), clock=clock) as stage,
    ):
        before = clock.monotonic()
        await stage.process(message(transition()))
        assert clock.monotonic() - before >= 40
    assert max(clock.waits) <= posting.LONGEST_WAIT_S


async def test_waits_grow_to_a_cap() -> None:
    clock = HurriedClock()
    async with (
        WebhookServer(*[500] * 8) as server,
        started(receiver(server), clock=clock) as stage,
    ):
        await stage.process(message(transition()))
    waits = [seconds for seconds in clock.waits if seconds != POLL_S]  # of silences
    assert 0.5 <= waits[0] <= 1
    assert 15 <= waits[-1] <= posting.LONGEST_WAIT_S


@pytest.mark.parametrize("status", [400, 401, 404, 410, 413])
async def test_a_refused_transition_becomes_a_dead_letter_alone(status: int) -> None:
    async with WebhookServer(status) as server, WebhookServer() as healthy:
        outputs = MemoryOutputs()
        both = (receiver(server), receiver(healthy, "other"))
        async with started(*both, outputs=outputs) as stage:
            refused, taken = transition(1), transition(2, fingerprint="f2")
            await stage.process(message(refused))
            await stage.process(message(taken))
        assert len(server.requests) == 2
        assert len(healthy.requests) == 2
        (letter,) = outputs.letters
        assert (letter.stage, letter.reason) == ("notify", "receiver_refused")
        assert decode_batch(AlertTransition, letter.value) == [refused]


async def test_a_dead_receiver_holds_the_message_but_not_the_others() -> None:
    async with WebhookServer(*[500] * 1000) as dead, WebhookServer() as healthy:
        both = (receiver(dead, "dead"), receiver(healthy, "healthy"))
        async with started(*both) as stage:
            waiting = [
                asyncio.create_task(stage.process(message(transition(n, fingerprint=f"f{n}"))))
                for n in range(12)
            ]
            await healthy.received(12)
            assert not any(task.done() for task in waiting)
            dead.answers.clear()
            await asyncio.gather(*waiting)
        assert len({headers["webhook-id"] for headers, _ in dead.requests}) == 12


async def test_resolved_comes_after_its_firing() -> None:
    async with WebhookServer(500, 500, 500) as server:
        async with started(receiver(server)) as stage:
            await asyncio.gather(
                stage.process(message(transition(1, "firing"))),
                stage.process(message(transition(2, "resolved"))),
            )
        assert [alert["status"] for alert in server.alerts] == ["firing"] * 4 + ["resolved"]


async def test_what_was_delivered_is_not_sent_again() -> None:
    async with WebhookServer() as server:
        async with started(receiver(server)) as stage:
            await stage.process(message(transition(1), transition(1)))
            await stage.process(message(transition(1)))
        assert len(server.requests) == 1
        async with started(receiver(server)) as stage:
            stage.recall(message(transition(1)))
            stage.recall(Message(ALERT_TRANSITIONS.name, 0, 0, 0, None, b"\xff"))
            await stage.process(message(transition(1), transition(2)))
        assert [headers["webhook-id"] for headers, _ in server.requests] == [
            "transition-1",
            "transition-2",
        ]


async def test_stopping_with_a_dead_receiver_is_no_failure() -> None:
    async with WebhookServer(*[500] * 1000) as dead:
        async with started(receiver(dead)) as stage:
            waiting = asyncio.create_task(stage.process(message(transition(1), transition(2))))
            await dead.received(2)
        with pytest.raises(RetryableError):
            await waiting


async def test_what_is_retried_is_given_up_when_the_partition_goes() -> None:
    """From here the beginning would come after the end that the next owner tells."""
    async with WebhookServer(*[503] * 3) as away, started(receiver(away)) as stage:
        first, other = message(transition(1)), message(transition(2, fingerprint="f2"))
        going = asyncio.create_task(stage.process(first))
        staying = asyncio.create_task(stage.process(replace(other, partition=1)))
        await away.received(2)
        stage.forget(ALERT_TRANSITIONS.name, 0)
        with pytest.raises(RetryableError):
            await going
        await staying
        assert away.alerts[-1]["fingerprint"] == "f2"
        taken = len(away.requests)
        await asyncio.sleep(0.2)
        assert len(away.requests) == taken


async def test_no_receivers_is_said_once_and_acknowledged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        async with started() as stage:
            await stage.process(message(transition(1)))
            await stage.process(message(transition(2)))
    assert [record.message for record in caplog.records] == [
        "no alert receivers are configured (notify.receivers)"
    ]


async def test_bad_configuration_and_bytes_are_named(tmp_path: Path) -> None:
    for bad, error, text in (
        ({"url": "ftp://x"}, ReceiverError, r"notify\.receivers\.pager\.url"),
        ({"secret_file": tmp_path / "absent"}, SecretError, "absent"),
    ):
        given = WebhookReceiver.model_validate({"name": "pager", "url": "http://x/", **bad})
        with pytest.raises(error, match=text):
            async with started(given):
                pass
    async with started() as stage:
        with pytest.raises(PoisonError, match="undecodable_batch"):
            await stage.process(Message(ALERT_TRANSITIONS.name, 0, 0, 0, None, b"{}"))
    await settle()


async def test_logs_show_neither_url_nor_content(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with WebhookServer(500) as server, started(receiver(server)) as stage:
            await stage.process(message(transition()))
    text = " ".join(r.getMessage() for r in caplog.records if r.name.startswith("processors"))
    assert "pager" in text
    assert server.url not in text
    assert "shöp" not in text
