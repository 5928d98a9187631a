"""PagerDuty and Slack: golden bodies, limits, and delivery to local servers."""

import json
from pathlib import Path

import pytest

from processors.notify import pagerduty, slack
from processors.notify.notification import alone
from processors.notify.posting import ReceiverError
from processors.runtime.memory import MemoryOutputs
from schemas.alert_records import AlertTransition
from schemas.receivers import PagerDutyReceiver, SlackReceiver
from schemas.secrets import SecretFileError
from tests.notify.receivers import WebhookServer
from tests.notify.test_encoding import GOLDEN, transition
from tests.notify.test_stage import message, started

STEPS = "1. Read the traces. 2. Block the source. 3. Tune."
KEY = "R" * 32


def alert(status: str = "firing", **changes: object) -> AlertTransition:
    annotations = {
        "summary": "Prompt injection\nagainst shöp",
        "description": "A <script> & more.",
        "first_steps": STEPS,
        "runbook_url": "https://runbooks.example.com/injection",
    }
    return transition(status=status).model_copy(update={"annotations": annotations, **changes})


@pytest.mark.parametrize("status", ["firing", "resolved"])
def test_bodies_are_as_reviewed(status: str) -> None:
    made = {
        "pagerduty": pagerduty.event(alone(alert(status)), KEY),
        "slack": slack.payload(alone(alert(status))),
    }
    golden = GOLDEN / f"people_{status}.json"
    assert made == json.loads(golden.read_text())


def test_long_texts_are_cut_to_what_the_services_take() -> None:
    long = alert(
        annotations={"summary": "s" * 5000, "description": "d" * 600_000, "first_steps": STEPS},
        labels={"alertname": "A", "service_name": "x" * 50_000},
        trace_ids=tuple(f"{n:032x}" for n in range(50)),
    )
    event = pagerduty.event(alone(long), KEY)
    assert len(event["payload"]["summary"]) == 1024
    assert len(json.dumps(event)) < 512_000
    (attachment,) = slack.payload(alone(long))["attachments"]
    assert all(len(block["text"]["text"]) <= 3000 for block in attachment["blocks"])
    assert len(attachment["blocks"][0]["text"]["text"]) <= 150


def test_a_label_cannot_mention_a_channel() -> None:
    said = json.dumps(
        slack.payload(alone(alert(labels={"alertname": "A", "service_name": "<!channel>"})))
    )
    assert "<!channel>" not in said
    assert "&lt;!channel&gt;" in said


def test_severity_follows_our_label() -> None:
    severities = {
        label: pagerduty.event(alone(alert(labels={"alertname": "A", "severity": label})), KEY)[
            "payload"
        ]
        for label in ("page", "ticket", "")
    }
    found = {label: payload["severity"] for label, payload in severities.items()}
    assert found == {"page": "critical", "ticket": "warning", "": "error"}


async def test_pagerduty_gets_events_and_429_is_waited_for(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(KEY + "\n")
    async with WebhookServer((429, {"Retry-After": "1"}), 202) as server:
        receiver = PagerDutyReceiver(
            type="pagerduty", name="pd", routing_key_file=key, url=server.url
        )
        async with started(receiver) as stage:
            await stage.process(message(alert()))
            await stage.process(message(alert("resolved", transition_id="transition-2")))
        sent = [json.loads(body) for _, body in server.requests]
        assert [event["event_action"] for event in sent] == ["trigger", "trigger", "resolve"]
        assert {event["dedup_key"] for event in sent} == {"f1"}
        assert {event["routing_key"] for event in sent} == {KEY}


async def test_slack_gets_messages_and_a_gone_channel_is_a_dead_letter(tmp_path: Path) -> None:
    async with WebhookServer(200, 410) as server:
        url = tmp_path / "url"
        url.write_text(server.url + "\n")
        outputs = MemoryOutputs()
        receiver = SlackReceiver(type="slack", name="ops", url_file=url)
        async with started(receiver, outputs=outputs) as stage:
            await stage.process(message(alert()))
            await stage.process(message(alert("resolved", transition_id="transition-2")))
        assert json.loads(server.requests[0][1])["text"] == (
            "[FIRING] Prompt injection against shöp"
        )
        assert [letter.reason for letter in outputs.letters] == ["receiver_refused"]


async def test_missing_secrets_are_named(tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    with pytest.raises(SecretFileError, match=r"notify\.receivers\.pd\.routing_key_file"):
        async with started(PagerDutyReceiver(type="pagerduty", name="pd", routing_key_file=absent)):
            pass
    (tmp_path / "url").write_text("hooks.slack.com/services/secret")
    receiver = SlackReceiver(type="slack", name="ops", url_file=tmp_path / "url")
    with pytest.raises(ReceiverError, match=r"notify\.receivers\.ops\.url_file") as caught:
        async with started(receiver):
            pass
    assert "secret" not in str(caught.value)
