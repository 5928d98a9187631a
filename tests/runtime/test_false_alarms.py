"""Faust's watch over its partitions: the installed one is wrong after a quiet time; not logged."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from time import monotonic
from types import SimpleNamespace

import faust
import pytest
from faust.types import TP

from processors.runtime.faust_runner import OrderedConsumerThread, OrderedTransport
from stack.commands.common import log_as_json
from tests.runtime.stages import TOPIC

PARTITION = TP(TOPIC, 0)
QUIET_S = 3600.0


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What a daemon logs."""
    out = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr(sys, "stderr", out)
    log_as_json()
    yield out
    root.handlers[:], root.level = handlers, level


class Watched(OrderedConsumerThread):
    """Whose client has fetched a message that the stream has not taken yet."""

    def _ensure_consumer(self) -> SimpleNamespace:
        state = SimpleNamespace(state_value=lambda _: SimpleNamespace(highwater=8, position=7))
        subscription = SimpleNamespace(assignment=state)
        return SimpleNamespace(
            _fetcher=SimpleNamespace(_subscriptions=SimpleNamespace(subscription=subscription))
        )

    def _verify_aiokafka_event_path(self, now: float, tp: TP) -> bool:
        return False


def watched() -> Watched:
    """Started long ago."""
    app = faust.App("quiet", broker="kafka://127.0.0.1:1", web_enabled=False)
    app.transport = OrderedTransport(app.conf.broker_consumer, app)
    app.topics._acking_topics.add(TOPIC)
    thread = Watched(app.consumer)
    thread.time_started = monotonic() - QUIET_S
    return thread


@pytest.mark.parametrize(
    ("last_event_s", "last_commit_s", "alarm"),
    [
        (None, None, "Stream has not started processing"),
        (QUIET_S, QUIET_S, "Stream stopped processing"),
        (0.0, None, "Has not committed"),
        (0.0, QUIET_S, "Has not committed"),
    ],
)
async def test_a_message_after_a_quiet_time_is_no_alarm(
    logged: io.StringIO,
    caplog: pytest.LogCaptureFixture,
    last_event_s: float | None,
    last_commit_s: float | None,
    alarm: str,
) -> None:
    thread, now = watched(), monotonic()
    monitor = thread.consumer.app.monitor
    if last_event_s is not None:
        monitor.stream_inbound_time[PARTITION] = now - last_event_s
    if last_commit_s is not None:
        thread.tp_last_committed_at[PARTITION] = now - last_commit_s
    logging.getLogger().addHandler(caplog.handler)
    thread.verify_event_path(now, PARTITION)
    assert alarm in caplog.text, "Faust would log it"
    assert logged.getvalue() == ""


def test_other_errors_are_logged(logged: io.StringIO) -> None:
    logging.getLogger("faust.transport.drivers.aiokafka").error("Broker stopped responding")
    logging.getLogger("processors").warning("Has not committed a crime")
    assert [json.loads(line)["level"] for line in logged.getvalue().splitlines()] == [
        "error", "warning",
    ]  # fmt: skip
