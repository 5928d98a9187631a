"""Matchers, and receivers that take only what theirs let through."""

import pytest
from pydantic import ValidationError

from processors.runtime.memory import FakeClock
from schemas.config import NotifyConfig
from schemas.matchers import MatcherError, parse
from tests.notify.receivers import WebhookServer
from tests.notify.test_alertmanager import cluster, posted
from tests.notify.test_encoding import transition
from tests.notify.test_stage import message, receiver, started


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        ('severity="page"', {"severity": "page"}, True),
        ("severity=page", {"severity": "page"}, True),
        ('severity="page"', {"severity": "pager"}, False),
        ('severity!="page"', {}, True),
        ('team=""', {}, True),
        ('service=~"shop|search"', {"service": "search"}, True),
        ('service=~"shop"', {"service": "workshop"}, False),
        ('service!~"test-.*"', {"service": "test-1"}, False),
        (r'path=~"a\\.b"', {"path": "axb"}, False),
        (r'name="say \"hi\" a=b"', {"name": 'say "hi" a=b'}, True),
        (' severity = "page" ', {"severity": "page"}, True),
    ],
)
def test_a_matcher_holds(text: str, labels: dict[str, str], expected: bool) -> None:
    assert parse(text).holds(labels) is expected


@pytest.mark.parametrize("text", ["", "severity", "1a=b", "a==b c", 'a="b', 'a=~"("'])
def test_what_is_no_matcher_is_refused(text: str) -> None:
    with pytest.raises(MatcherError):
        parse(text)
    with pytest.raises(ValidationError, match=r"receivers.0.webhook.matchers.0"):
        NotifyConfig.model_validate(
            {"receivers": [{"name": "a", "url": "http://a/", "matchers": [text]}]}
        )


async def test_each_receiver_gets_what_its_matchers_take() -> None:
    async with WebhookServer() as pager, WebhookServer() as everything:
        given = (
            receiver(pager, matchers=['severity="page"', 'tenant=~"acme|globex"']),
            receiver(everything, "all"),
        )
        ticket = transition(2, fingerprint="f2").model_copy(
            update={"labels": {"alertname": "A", "severity": "ticket"}}
        )
        other = transition(3, fingerprint="f3").model_copy(update={"tenant": "else"})
        async with started(*given) as stage:
            await stage.process(message(transition(), ticket, other))
        assert len(everything.requests) == 3
        assert [headers["webhook-id"] for headers, _ in pager.requests] == ["transition-1"]


async def test_what_is_not_taken_is_not_repeated_either() -> None:
    clock = FakeClock()
    async with WebhookServer() as server:
        given = cluster(server, matchers=['severity="page"'])
        async with started(given, clock=clock) as stage:
            labels = {"alertname": "A", "severity": "ticket"}
            ticket = transition(2, fingerprint="f2").model_copy(update={"labels": labels})
            stage.recall(message(transition(), ticket))
            await clock.advance(60)
            await server.received(1)
        ((alert,),) = posted(server)
        assert alert["labels"]["severity"] == "page"
