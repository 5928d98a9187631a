"""What happens where a receiver fails: its dead letter, the fallback, the end of what it missed."""

from dataclasses import replace

import pytest

from processors.notify.delivery import failure
from processors.runtime.memory import MemoryOutputs
from schemas.alert_records import AlertDelivery
from schemas.config import NotifyConfig
from schemas.receivers import WebhookReceiver
from schemas.topics import ALERT_DELIVERIES, ATTEMPTS_HEADER
from tests.notify.receivers import WebhookServer
from tests.notify.test_encoding import transition
from tests.notify.test_stage import message, receiver, started

REPLAYED = ((ATTEMPTS_HEADER, b"1"),)


def deliveries(outputs: MemoryOutputs) -> list[tuple[str, str, str, int]]:
    """(receiver, status, outcome, attempts) of what was written down."""
    records = outputs.records(ALERT_DELIVERIES.name)
    return [
        (one.receiver, one.status, one.outcome, one.attempts)
        for one in records
        if isinstance(one, AlertDelivery)
    ]


async def test_a_refused_transition_that_is_replayed_is_sent_again_to_whoever_refused_it() -> None:
    async with WebhookServer(400) as refusing, WebhookServer() as healthy:
        both = (receiver(refusing), receiver(healthy, "other"))
        async with started(*both) as stage:
            await stage.process(message(transition(1)))
            await stage.process(replace(message(transition(1)), headers=REPLAYED))
        assert [len(server.requests) for server in (refusing, healthy)] == [2, 1]


async def test_a_new_worker_sends_what_is_replayed_and_nothing_else() -> None:
    async with WebhookServer() as server, started(receiver(server)) as stage:
        stage.recall(message(transition(1)))
        await stage.process(message(transition(1)))
        assert server.requests == []
        await stage.process(replace(message(transition(1)), headers=REPLAYED))
        assert [headers["webhook-id"] for headers, _ in server.requests] == ["transition-1"]


async def test_the_end_is_told_only_where_the_beginning_was() -> None:
    async with WebhookServer(400) as refusing, WebhookServer() as healthy:
        outputs = MemoryOutputs()
        both = (receiver(refusing), receiver(healthy, "other"))
        async with started(*both, outputs=outputs) as stage:
            await stage.process(message(transition(1)))
            await stage.process(message(transition(2, "resolved")))
        assert [alert["status"] for alert in refusing.alerts] == ["firing"]
        assert [alert["status"] for alert in healthy.alerts] == ["firing", "resolved"]
    assert sorted(deliveries(outputs)) == [
        ("other", "firing", "delivered", 1),
        ("other", "resolved", "delivered", 1),
        ("pager", "firing", "refused", 1),
    ]


async def test_the_fallback_hears_of_a_refusal_with_the_alert_itself() -> None:
    async with WebhookServer(404) as refusing, WebhookServer() as rescue:
        both = (receiver(refusing), receiver(rescue, "rescue"))
        async with started(*both, fallback="rescue") as stage:
            await stage.process(message(transition(1)))
        (alert,) = rescue.alerts
        assert alert["labels"]["alertname"] == "NotificationFailed"
        assert alert["labels"]["receiver"] == "pager"
        assert "did not take: [FIRING]" in alert["annotations"]["summary"]


async def test_the_fallback_hears_of_a_receiver_that_is_away_and_later_of_nothing_more() -> None:
    async with WebhookServer(*[503] * 12) as away, WebhookServer() as rescue:
        outputs = MemoryOutputs()
        both = (receiver(away), receiver(rescue, "rescue"))
        settings = {"fallback": "rescue", "fallback_after_s": 20}
        async with started(*both, outputs=outputs, **settings) as stage:
            await stage.process(message(transition(1)))
        assert len(rescue.requests) == 1
        assert len(away.requests) == 13
    assert ("pager", "firing", "delivered", 13) in deliveries(outputs)


async def test_a_receiver_that_stays_away_is_given_up() -> None:
    async with WebhookServer(*[503] * 500) as away:
        outputs = MemoryOutputs()
        async with started(receiver(away, give_up_s=60), outputs=outputs) as stage:
            await stage.process(message(transition(1)))
        (letter,) = outputs.letters
        assert letter.reason == "receiver_away"


async def test_what_nobody_takes_goes_to_the_fallback() -> None:
    async with WebhookServer() as pager, WebhookServer() as rescue:
        picky = receiver(pager, matchers=["service_name=elsewhere"])
        async with started(picky, receiver(rescue, "rescue"), fallback="rescue") as stage:
            await stage.process(message(transition(1)))
            taken = transition(2, fingerprint="f2", labels={"service_name": "elsewhere"})
            await stage.process(message(taken))
        assert [len(server.requests) for server in (pager, rescue)] == [1, 1]


def test_a_failure_is_one_alert_a_receiver_and_rule() -> None:
    first, second = (failure(transition(n), "pager", "receiver_away") for n in (1, 2))
    assert first.fingerprint == second.fingerprint
    assert first.transition_id != second.transition_id
    assert first.transition_id == failure(transition(1), "pager", "receiver_refused").transition_id


def test_a_fallback_is_one_of_the_receivers() -> None:
    one = WebhookReceiver(name="a", url="http://x/")
    with pytest.raises(ValueError, match="fallback: b is no receiver"):
        NotifyConfig(receivers=[one], fallback="b")
    with pytest.raises(ValueError, match="names repeat: a"):
        NotifyConfig(receivers=[one, one])
