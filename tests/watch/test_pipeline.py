"""The stage under the real pipeline: verdict to transition, and the history it asks for."""

from pathlib import Path

from processors.runtime.memory import FakeClock, MemoryOutputs, MemorySource, run_stage
from processors.watch.stage import WatchStage
from schemas.alert_records import AlertTransition
from schemas.config import Config, KafkaConfig, WatchConfig
from schemas.identity import rule_partition
from schemas.records import Record
from schemas.topics import ALERT_SIGNALS, ALERT_TRANSITIONS, EVALUATIONS
from tests.watch.samples import BASE_NS, TENANT, rules_file, verdict


def copied(outputs: MemoryOutputs, source: MemorySource, topic: str, since: int) -> list[Record]:
    """Put what the stage emitted into the topic that it, or its successor, reads."""
    for partition, record in outputs.placed(topic)[since:]:
        source.add_batch(topic, [record], partition=partition)
    return outputs.records(topic)


async def test_alerts_survive_their_owner(tmp_path: Path) -> None:
    config = Config(
        kafka=KafkaConfig(partitions=4), watch=WatchConfig(rules_file=rules_file(tmp_path))
    )
    outputs, source = MemoryOutputs(), MemorySource()
    owned = rule_partition(TENANT, "PromptInjection", 4)
    signals = transitions = 0
    for number in (1, 2):
        source.add_batch(EVALUATIONS.name, [verdict(number)], partition=0)
        stage = WatchStage(config, outputs, clock := FakeClock(BASE_NS))
        pipeline = await run_stage(stage, source, outputs, config=config, clock=clock)
        signals = len(copied(outputs, source, ALERT_SIGNALS.name, signals))
        await pipeline.stop()
        stage = WatchStage(config, outputs, clock)
        pipeline = await run_stage(stage, source, outputs, config=config, clock=clock)
        transitions = len(copied(outputs, source, ALERT_TRANSITIONS.name, transitions))
        if number == 2:
            await clock.advance(400)
        await pipeline.stop()
    told = [r for r in outputs.records(ALERT_TRANSITIONS.name) if isinstance(r, AlertTransition)]
    assert [(t.status, t.count) for t in told] == [("firing", 1), ("resolved", 2)]
    assert {partition for partition, _ in outputs.placed(ALERT_TRANSITIONS.name)} == {owned}
