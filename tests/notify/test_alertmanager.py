"""Alertmanager as a receiver: every peer, repetition, and what a slow or dead one costs.

``tests/kafka/test_alertmanager.py`` has a real one.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from processors.notify.repetition import ENDED_REPEATED_NS, Repetition
from processors.runtime.memory import FakeClock, MemoryOutputs
from schemas.alert_records import AlertTransition
from schemas.config import NotifyConfig
from schemas.encoding import decode_batch
from schemas.receivers import AlertmanagerReceiver
from tests.notify.receivers import Answer, WebhookServer
from tests.notify.test_encoding import GOLDEN, transition
from tests.notify.test_stage import message, started

AGAIN = 900_000_000_000


def cluster(*servers: WebhookServer, **changes: object) -> AlertmanagerReceiver:
    return AlertmanagerReceiver.model_validate(
        {
            "type": "alertmanager",
            "name": "am",
            "urls": [server.base for server in servers],
            "timeout_s": 0.5,
            **changes,
        }
    )


def posted(server: WebhookServer) -> list[list[dict[str, Any]]]:
    return [json.loads(body) for _, body in server.requests]


def test_receivers_are_told_apart_by_their_type() -> None:
    config = NotifyConfig.model_validate(
        {
            "receivers": [
                {"name": "hook", "url": "http://h/"},
                {"name": "am", "type": "alertmanager", "urls": ["http://am:9093"]},
            ]
        }
    )
    assert [receiver.type for receiver in config.receivers] == ["webhook", "alertmanager"]


async def test_every_peer_gets_the_alert(tmp_path: Path) -> None:
    secret = tmp_path / "authorization"
    secret.write_text("Bearer abc\n")
    clock = FakeClock()
    async with WebhookServer() as one, WebhookServer() as two:
        given = cluster(one, two, authorization_file=secret)
        async with started(given, clock=clock) as stage:
            await stage.process(message(transition(1), transition(2, "resolved")))
            await one.received(2)
            await two.received(2)
        for server in (one, two):
            assert server.requests[0][0]["Authorization"] == "Bearer abc"
            expected = json.loads((GOLDEN / "alertmanager_api.json").read_text())
            assert posted(server) == expected


@pytest.mark.parametrize("fault", [500, "hang", "close", 400])
async def test_one_peer_is_enough_and_a_slow_one_holds_nobody(fault: Answer) -> None:
    async with (
        WebhookServer(*[fault] * 5) as bad,
        WebhookServer() as good,
        started(cluster(bad, good, timeout_s=600)) as stage,
    ):
        await stage.process(message(transition()))
        assert len(good.requests) == 1


async def test_without_any_peer_it_is_tried_again() -> None:
    async with WebhookServer(503, 500) as one, WebhookServer(500, 400) as two:
        outputs = MemoryOutputs()
        async with started(cluster(one, two), outputs=outputs) as stage:
            await stage.process(message(transition()))
        assert (len(one.requests), len(two.requests)) == (3, 3)
        assert outputs.letters == []


async def test_what_every_peer_refuses_becomes_a_dead_letter() -> None:
    async with WebhookServer(400) as one, WebhookServer(400) as two:
        outputs = MemoryOutputs()
        async with started(cluster(one, two), outputs=outputs) as stage:
            await stage.process(message(transition()))
        (letter,) = outputs.letters
        assert letter.reason == "receiver_refused"
        assert decode_batch(AlertTransition, letter.value) == [transition()]


async def test_open_alerts_are_repeated_until_they_end_elsewhere() -> None:
    clock = FakeClock()
    async with WebhookServer() as server, started(cluster(server), clock=clock) as stage:
        stage.recall(message(transition(1)))
        for count in (1, 2):
            await clock.advance(60)
            await server.received(count)
        first, second = posted(server)
        assert first[0]["startsAt"] == second[0]["startsAt"] == "2026-01-01T00:00:00Z"
        assert first[0]["endsAt"] == "2026-01-01T00:05:00Z", "four repetitions after this one"
        assert second[0]["endsAt"] == "2026-01-01T00:06:00Z"
        stage.forget("genai.alert_transitions.v1", 0)
        await clock.advance(300)
        await asyncio.sleep(0.1)
        assert len(server.requests) == 2


async def test_a_peer_that_was_away_hears_of_it_with_the_next_repetition() -> None:
    clock = FakeClock()
    async with WebhookServer(500) as away, WebhookServer() as there:
        async with started(cluster(away, there), clock=clock) as stage:
            await stage.process(message(transition()))
            await away.received(1)
            await clock.advance(60)
            await away.received(2)
        assert posted(away)[1][0]["labels"]["alertname"] == "PromptInjection"


def at(start_ns: int, status: str = "firing", end_ns: int | None = None) -> AlertTransition:
    changes = {"starts_at_ns": start_ns, "ends_at_ns": end_ns}
    return transition(status=status).model_copy(update=changes)


def test_the_newest_word_on_an_alert_is_repeated_whatever_the_order() -> None:
    clock = FakeClock()
    now = clock.time_ns()
    first, ended, later = at(now - AGAIN), at(now - AGAIN, "resolved", now), at(now)
    for order, expected in (
        ((first, ended), ended),
        ((first, ended, first), ended),
        ((first, ended, later), later),
        ((later, first, ended), later),
    ):
        repetition = Repetition(clock)
        repetition.note(3, order)
        assert repetition.current() == [expected]


async def test_an_end_is_repeated_for_a_while_only() -> None:
    clock = FakeClock()
    repetition = Repetition(clock)
    repetition.note(0, [at(clock.time_ns(), "resolved", clock.time_ns())])
    assert repetition.current()
    await clock.advance(ENDED_REPEATED_NS / 1e9 + 1)
    assert not repetition.current()
