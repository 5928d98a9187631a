"""Lag as Prometheus sees it, with both runners on the real broker."""

from pathlib import Path

import pytest

from schemas.metrics import REGISTRY
from stack.broker import Broker
from tests.runtime.harness import fresh, make_config, make_topic, running, until
from tests.runtime.stages import ScriptedStage
from tests.runtime.test_on_broker import produce


@pytest.mark.parametrize("runner", ["faust", "aiokafka"])
async def test_messages_that_wait_are_counted_until_they_are_taken_up(
    broker: Broker, tmp_path: Path, runner: str
) -> None:
    config = make_config(broker.bootstrap, tmp_path, runner)
    config.runtime.inflight_messages = 8
    topic, quiet = await make_topic(config), await make_topic(config)
    stage = ScriptedStage(name=fresh("lag"), topics=(topic, quiet), gated=set(range(10)))
    labels = {"stage": stage.name, "topic": topic}
    await produce(config, topic, 40)

    def lag(of: dict[str, str]) -> float | None:
        return REGISTRY.get_sample_value("streamgauge_stage_lag_messages", of)

    async with running(stage, config) as worker:

        def measured() -> float | None:
            worker.measure_lag()
            return lag(labels)

        taken = config.runtime.inflight_messages
        await until(lambda: len(stage.started) == taken)
        await until(lambda: measured() == 40 - taken)
        assert lag({**labels, "topic": quiet}) == 0
        for offset in range(10):
            stage.gates[offset].set()
        await until(lambda: len(stage.finished) == 40)
        await until(lambda: measured() == 0)
