"""Groups: what is told together, when, under which key, over a restart, and never lost."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from processors.notify import pagerduty, slack
from processors.notify.email import message as email_of
from processors.notify.encoding import webhook_body
from processors.notify.notification import Group, Notification, together
from processors.runtime.memory import MemoryOutputs
from schemas.alert_records import AlertTransition
from schemas.config import NotifyConfig
from schemas.encoding import encode_batch
from schemas.protocols import Message, RetryableError
from schemas.receivers import PagerDutyReceiver, WebhookReceiver
from schemas.records import encode_record
from schemas.topics import ALERT_TRANSITIONS
from tests.notify.receivers import WebhookServer
from tests.notify.test_email import NOW_NS, plain
from tests.notify.test_email import receiver as email_receiver
from tests.notify.test_encoding import GOLDEN, transition
from tests.notify.test_fallback import deliveries
from tests.notify.test_people import KEY
from tests.notify.test_stage import HurriedClock, receiver, started

SOON_S = 20.0
WAIT_S, INTERVAL_S = 2.0, 60.0


class FastClock(HurriedClock):
    """Its wall clock skips what its waits skip, so that both tell of one time."""

    def time_ns(self) -> int:
        return time.time_ns() + round(self._skipped_s * 1e9)


def at(
    clock: FastClock, *transitions: AlertTransition, since_s: float = 0.0, partition: int = 0
) -> Message:
    """A message that came so long ago."""
    value = encode_batch([encode_record(one) for one in transitions])
    timestamp_ms = clock.time_ns() // 1_000_000 - round(since_s * 1000)
    return Message(ALERT_TRANSITIONS.name, partition, 0, timestamp_ms, None, value)


def grouped(server: WebhookServer, **changes: Any) -> WebhookReceiver:
    settings = {"group_by": ["service_name"], "group_wait_s": WAIT_S}
    return receiver(server, **{**settings, "group_interval_s": INTERVAL_S, **changes})


def of(number: int, service: str = "shop", status: str = "firing") -> AlertTransition:
    """Transition ``number`` of the alert of the same number, or its end."""
    labels = {"alertname": f"Rule{number}", "severity": "ticket", "service_name": service}
    return transition(
        number if status == "firing" else 100 + number, status, f"f{number}", labels=labels,
        rule=f"Rule{number}", annotations={"summary": f"Trouble {number}"},
    )  # fmt: skip


def told(server: WebhookServer) -> list[list[tuple[str, str]]]:
    """(fingerprint, status) of each request's alerts."""
    bodies = [json.loads(body) for _, body in server.requests]
    return [[(one["fingerprint"], one["status"]) for one in body["alerts"]] for body in bodies]


def keys(server: WebhookServer) -> list[str]:
    return [headers["webhook-id"] for headers, _ in server.requests]


async def test_transitions_of_a_group_are_one_notification_and_other_groups_their_own() -> None:
    clock, outputs = FastClock(), MemoryOutputs()
    async with WebhookServer() as server:
        async with started(grouped(server), clock=clock, outputs=outputs) as stage:
            await asyncio.gather(
                stage.process(at(clock, of(1), of(2))),
                stage.process(at(clock, of(3), partition=1)),
                stage.process(at(clock, of(4, "bank"))),
            )
        assert sorted(map(len, told(server))) == [1, 3]
        body = max((json.loads(body) for _, body in server.requests), key=lambda b: len(str(b)))
    assert body["groupLabels"] == {"service_name": "shop"}
    assert body["groupKey"] == 'acme/{service_name="shop"}'
    assert body["commonLabels"] == {
        "service_name": "shop", "severity": "ticket", "tenant": "acme",
    }  # fmt: skip
    assert len(deliveries(outputs)) == 4


async def test_the_next_notification_of_a_group_waits_its_interval_and_says_what_goes_on() -> None:
    clock = FastClock()
    async with WebhookServer() as server, started(grouped(server), clock=clock) as stage:
        await stage.process(at(clock, of(1)))
        first_s = clock.monotonic()
        await stage.process(at(clock, of(2)))
        assert clock.monotonic() - first_s >= INTERVAL_S - WAIT_S - 1
    assert told(server) == [[("f1", "firing")], [("f2", "firing"), ("f1", "firing")]]


async def test_the_end_is_never_in_the_notification_of_its_beginning() -> None:
    clock = FastClock()
    async with WebhookServer() as server, started(grouped(server), clock=clock) as stage:
        await stage.process(at(clock, of(1), of(1, status="resolved")))
    assert told(server) == [[("f1", "firing")], [("f1", "resolved")]]


async def test_what_comes_late_into_a_backlog_does_not_put_ends_before_beginnings() -> None:
    """After a restart both are long due; the first one still settles when the second has."""
    clock = FastClock()
    async with WebhookServer() as server, started(grouped(server), clock=clock) as stage:
        begun = at(clock, of(1), since_s=200)
        also = at(clock, of(2), since_s=199.5, partition=1)
        ended = at(clock, of(1, status="resolved"), since_s=100)
        telling = [asyncio.create_task(stage.process(one)) for one in (begun, ended)]
        await clock.sleep(0.7)
        await asyncio.gather(*telling, stage.process(also))
    assert told(server) == [
        [("f1", "firing"), ("f2", "firing")], [("f1", "resolved"), ("f2", "firing")]
    ]  # fmt: skip


async def test_the_end_of_what_was_refused_is_not_told() -> None:
    clock, outputs = FastClock(), MemoryOutputs()
    async with (
        WebhookServer(400) as server,
        started(grouped(server), clock=clock, outputs=outputs) as stage,
    ):
        await stage.process(at(clock, of(1), of(2)))
        await stage.process(at(clock, of(1, status="resolved"), of(2, status="resolved")))
    assert told(server) == [[("f1", "firing"), ("f2", "firing")]]
    assert [letter.reason for letter in outputs.letters] == ["receiver_refused"] * 2


async def test_a_worker_that_died_after_the_answer_and_the_next_one_tell_under_one_key() -> None:
    clock = FastClock()
    early, late = at(clock, of(1)), at(clock, of(2), partition=1)
    async with WebhookServer() as server:
        for _ in range(2):  # the second time nothing was committed
            async with started(grouped(server), clock=clock) as stage:
                await asyncio.gather(stage.process(early), stage.process(late))
        async with started(grouped(server), clock=clock) as stage:  # one of two was committed
            stage.recall(early)
            await stage.process(late)
    first, *repeats = keys(server)
    assert repeats == [first, first]
    assert told(server) == [[("f1", "firing"), ("f2", "firing")]] * 3


async def test_a_new_worker_keeps_the_groups_interval() -> None:
    clock = FastClock()
    past = at(clock, of(1), since_s=10)
    async with WebhookServer() as server, started(grouped(server), clock=clock) as stage:
        stage.recall(past)
        begun_s = clock.monotonic()
        await stage.process(at(clock, of(2)))
        assert clock.monotonic() - begun_s >= INTERVAL_S - 10 - 1
    assert told(server) == [[("f2", "firing"), ("f1", "firing")]]


async def test_a_group_is_reminded_of_as_one() -> None:
    clock = FastClock()
    async with WebhookServer() as server:
        reminding = grouped(server, repeat_interval_s=120)
        async with started(reminding, clock=clock) as stage:
            await stage.process(at(clock, of(1), of(2)))
            async with asyncio.timeout(SOON_S):
                await server.received(3)
    assert {len(alerts) for alerts in told(server)} == {2}
    assert len(set(keys(server))) == len(server.requests)


async def test_a_worker_killed_while_a_group_waits_has_lost_nothing() -> None:
    clock = FastClock()
    messages = [at(clock, of(1)), at(clock, of(2))]
    async with WebhookServer() as server:
        waits = grouped(server, group_wait_s=600)
        async with started(waits, clock=clock) as stage:
            waiting = [asyncio.create_task(stage.process(one)) for one in messages]
            await asyncio.sleep(0.05)
        for task in waiting:
            with pytest.raises(RetryableError):  # unacknowledged
                await task
        assert server.requests == []
        async with started(waits, clock=clock) as stage:
            await asyncio.gather(*map(stage.process, messages))
        assert told(server) == [[("f1", "firing"), ("f2", "firing")]]


async def test_a_revoked_partition_is_left_to_its_new_owner() -> None:
    clock = FastClock()
    async with WebhookServer() as server, started(grouped(server), clock=clock) as stage:
        gone = asyncio.create_task(stage.process(at(clock, of(1), partition=1)))
        kept = asyncio.create_task(stage.process(at(clock, of(2))))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        stage.forget(ALERT_TRANSITIONS.name, 1)
        with pytest.raises(RetryableError):
            await gone
        await kept
    assert told(server) == [[("f2", "firing")]]


async def test_groups_do_not_hold_back_what_waits_behind_them() -> None:
    clock = FastClock()
    async with WebhookServer() as server:
        waits = grouped(server, group_wait_s=600)
        async with started(waits, clock=clock) as stage:
            begun_s = clock.monotonic()
            waiting = asyncio.create_task(stage.process(at(clock, of(1))))
            await asyncio.sleep(0.01)
            stage.relieve()
            await waiting
            assert clock.monotonic() - begun_s < 300
    assert told(server) == [[("f1", "firing")]]


async def test_a_clock_that_is_ahead_delays_no_alert_for_long() -> None:
    clock = FastClock()
    async with WebhookServer() as server, started(grouped(server), clock=clock) as stage:
        begun_s = clock.monotonic()
        await stage.process(at(clock, of(1), since_s=-86_400))
        assert clock.monotonic() - begun_s <= WAIT_S + INTERVAL_S + 5
    assert told(server) == [[("f1", "firing")]]


async def test_an_incident_of_a_group_ends_with_its_last_alert(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(KEY)
    clock = FastClock()
    async with WebhookServer() as server:
        pager = PagerDutyReceiver.model_validate(
            {
                "type": "pagerduty", "name": "pd", "routing_key_file": key, "url": server.url,
                "group_by": [], "group_wait_s": WAIT_S, "group_interval_s": 5,
            }
        )  # fmt: skip
        async with started(pager, clock=clock) as stage:
            await stage.process(at(clock, of(1), of(2)))
            await stage.process(at(clock, of(1, status="resolved")))
            await stage.process(at(clock, of(2, status="resolved")))
        sent = [json.loads(body) for _, body in server.requests]
    assert [event["event_action"] for event in sent] == ["trigger", "trigger", "resolve"]
    assert len({event["dedup_key"] for event in sent}) == 1


def flush(*new: AlertTransition, others: tuple[AlertTransition, ...] = ()) -> Notification:
    return together("pager", Group("acme", (("service_name", "shop"),)), new, others)


def test_bodies_are_as_reviewed() -> None:
    said = flush(of(1, status="resolved"), of(2), others=(of(3),))
    made = {
        "webhook": json.loads(webhook_body(said, "pager")),
        "pagerduty": pagerduty.event(said, KEY),
        "slack": slack.payload(said),
        "email": plain(email_of(said, email_receiver(), NOW_NS)),
    }
    assert made == json.loads((GOLDEN / "group.json").read_text())


def test_a_storm_stays_within_what_services_take() -> None:
    long = {"summary": "s" * 500, "description": "d" * 90_000, "first_steps": "f" * 90_000}
    storm = flush(*(of(n).model_copy(update={"annotations": long}) for n in range(300)))
    assert len(json.dumps(pagerduty.event(storm, KEY))) < 512_000
    (attachment,) = slack.payload(storm)["attachments"]
    assert len(attachment["blocks"]) <= 50
    assert "and 292 more" in json.dumps(attachment)


def test_the_key_is_of_what_is_new_in_any_order() -> None:
    assert flush(of(1), of(2)).key == flush(of(2), of(1), others=(of(3),)).key
    assert flush(of(1), of(2)).key != flush(of(1)).key


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"group_wait_s": 5}, "group_wait_s: needs group_by"),
        ({"group_by": ["..."]}, "group_by"),
        ({"group_by": [], "group_wait_s": 5000}, "group_wait_s"),
        ({"type": "alertmanager", "url": ..., "urls": ["http://a"], "group_by": []}, "group_by"),
    ],
)
def test_wrong_settings_are_refused(given: dict[str, Any], text: str) -> None:
    one = {"name": "pager", "url": "http://x/", **given}
    one = {key: value for key, value in one.items() if value is not ...}
    with pytest.raises(ValueError, match=text):
        NotifyConfig.model_validate({"receivers": [one]})


def test_a_configuration_that_is_handed_on_is_the_same() -> None:
    plain = {"name": "a", "url": "http://x/"}
    receivers = [plain, {**plain, "name": "b", "group_by": [], "group_wait_s": 5}]
    given = NotifyConfig.model_validate({"receivers": receivers})
    assert NotifyConfig.model_validate(given.model_dump(mode="json")) == given
