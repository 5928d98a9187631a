"""The watch stage: signals, alerts, their end, and a change of owner."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.runtime.memory import FakeClock, MemoryOutputs, settle
from processors.watch.stage import WatchStage
from schemas.alert_records import AlertSignal, AlertTransition
from schemas.config import Config, KafkaConfig, WatchConfig
from schemas.encoding import encode_batch
from schemas.identity import rule_partition
from schemas.protocols import Message, PoisonError, RetryableError
from schemas.records import Record, encode_record
from schemas.rules import RuleError
from schemas.topics import ALERT_SIGNALS, ALERT_TRANSITIONS, EVALUATIONS
from tests.watch.samples import (
    BASE_NS,
    SECOND_NS,
    TENANT,
    rules_file,
    signal,
    verdict,
)

PARTITIONS = 4
OWNED = rule_partition(TENANT, "PromptInjection", PARTITIONS)


class Bench:
    """One stage instance with its clock at the samples' base time."""

    def __init__(self, folder: Path, outputs: MemoryOutputs | None = None) -> None:
        self.outputs = outputs or MemoryOutputs()
        self.clock = FakeClock(BASE_NS)
        config = Config(
            kafka=KafkaConfig(partitions=PARTITIONS),
            watch=WatchConfig(rules_file=rules_file(folder)),
        )
        self.stage = WatchStage(config, self.outputs, self.clock)

    async def __aenter__(self) -> "Bench":
        await self.stage.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stage.stop()
        await settle()

    async def signals(self, *signals: AlertSignal) -> None:
        """Signals of spans that have ended when their message is written."""
        ended_ms = max(signal.span_end_ns for signal in signals) // 1_000_000
        message = self.message(ALERT_SIGNALS.name, signals)
        later_ms = max(message.timestamp_ms, ended_ms)
        await self.stage.process(replace(message, timestamp_ms=later_ms))

    def message(self, topic: str, records: Sequence[Record]) -> Message:
        value = encode_batch([encode_record(record) for record in records])
        now_ms = self.clock.time_ns() // 1_000_000
        return Message(topic, OWNED, 0, now_ms, None, value)

    @property
    def transitions(self) -> list[AlertTransition]:
        found = self.outputs.records(ALERT_TRANSITIONS.name)
        return [r for r in found if isinstance(r, AlertTransition)]

    def statuses(self) -> list[str]:
        return [transition.status for transition in self.transitions]


async def test_a_hit_goes_to_the_partition_of_its_rule(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        rows = [verdict(1), verdict(2, label="warn"), verdict(3, target="input")]
        await bench.stage.process(bench.message(EVALUATIONS.name, rows))
        ((partition, raised),) = bench.outputs.placed(ALERT_SIGNALS.name)
        assert partition == OWNED
        assert isinstance(raised, AlertSignal)
        assert raised.trace_id == verdict(1).trace_id


async def test_first_signal_fires_later_ones_count_and_silence_resolves(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        await bench.signals(signal(1, end_s=90))
        await bench.signals(signal(2, end_s=100), signal(2, end_s=100))
        await bench.clock.advance(200)
        await bench.signals(signal(3, end_s=290))
        (firing,) = bench.transitions
        assert firing.starts_at_ns == BASE_NS + 60 * SECOND_NS
        assert firing.annotations == {
            "summary": "Injection against shop: 1 (worst 0.901)",
            "query": "traces '00000000000000000000000000000001'",
        }
        await bench.clock.advance(299)
        assert bench.statuses() == ["firing"]
        await bench.clock.advance(2)
        resolved = bench.transitions[1]
        assert resolved.status == "resolved"
        assert resolved.count == 3
        assert resolved.value == pytest.approx(0.903)
        assert resolved.ends_at_ns == BASE_NS + (240 + 300) * SECOND_NS
        assert resolved.starts_at_ns == firing.starts_at_ns
        assert resolved.fingerprint == firing.fingerprint
        assert len(resolved.trace_ids) == 3
        assert resolved.annotations["summary"].startswith("Injection against shop: 3 ")
        await bench.clock.advance(600)
        assert bench.statuses() == ["firing", "resolved"]


async def test_groups_fire_apart_and_the_same_input_of_a_trace_counts_once(
    tmp_path: Path,
) -> None:
    async with Bench(tmp_path) as bench:
        other = signal(2, labels={"alertname": "PromptInjection", "service_name": "bank"})
        twin = signal(1, signal_id="other span", span_id="00000000000000ff")
        await bench.signals(signal(1), other, twin)
        assert bench.statuses() == ["firing", "firing"]
        await bench.clock.advance(301)
        assert [t.count for t in bench.transitions if t.status == "resolved"] == [1, 1]


async def test_the_first_signal_waits_for_its_transition_and_bursts_emit_it_once(
    tmp_path: Path,
) -> None:
    async with Bench(tmp_path) as bench:
        bench.outputs.hold()
        waits = [asyncio.create_task(bench.signals(signal(n))) for n in (1, 2, 1)]
        await settle()
        assert not any(wait.done() for wait in waits)
        bench.outputs.release()
        await asyncio.gather(*waits)
        assert bench.statuses() == ["firing"]


async def test_a_failed_opening_is_emitted_again_with_the_message(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        bench.outputs.fail_next(1)
        with pytest.raises(RetryableError):
            await bench.signals(signal(1))
        await bench.signals(signal(1))
        assert bench.statuses() == ["firing"]


async def test_a_failed_resolve_is_told_later(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        await bench.signals(signal(1))
        await bench.clock.advance(299)
        bench.outputs.fail_next(2)
        await bench.clock.advance(5)
        assert bench.statuses() == ["firing", "resolved"]


async def test_a_later_incident_in_a_backlog_closes_the_first(tmp_path: Path) -> None:
    """Catching up after an outage: two incidents an hour apart stay two alerts."""
    async with Bench(tmp_path) as bench:
        await bench.signals(signal(1, end_s=30), signal(2, end_s=3600))
        assert bench.statuses() == ["firing", "resolved", "firing"]
        assert bench.transitions[1].ends_at_ns == BASE_NS + 300 * SECOND_NS
        assert len({t.transition_id for t in bench.transitions}) == 3


async def test_late_signals_of_a_resolved_alert_do_not_page_again(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        await bench.signals(signal(1, end_s=30))
        await bench.clock.advance(301)
        await bench.signals(signal(2, end_s=40))
        assert bench.statuses() == ["firing", "resolved"]
        await bench.signals(signal(3, end_s=70))
        assert bench.statuses() == ["firing", "resolved", "firing"]


async def test_signals_of_an_unknown_rule_still_alert(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        await bench.signals(signal(1, rule="Newer", labels={"alertname": "Newer"}))
        await bench.clock.advance(301)
        assert bench.statuses() == ["firing", "resolved"]


async def test_a_new_owner_rebuilds_open_alerts_counts_and_resolves(tmp_path: Path) -> None:
    async with Bench(tmp_path) as first:
        await first.signals(signal(1))
        await first.signals(signal(2))
        firing = first.transitions[0]
        recalled = [
            first.message(ALERT_TRANSITIONS.name, [firing]),
            first.message(ALERT_SIGNALS.name, [signal(1), signal(2)]),
        ]
    for order in (recalled, recalled[::-1]):
        async with Bench(tmp_path) as second:
            for message in order:
                second.stage.recall(message)
            await second.signals(signal(2), signal(3))
            assert second.transitions == []
            await second.clock.advance(302)
            (resolved,) = second.transitions
            assert (resolved.status, resolved.count) == ("resolved", 3)


async def test_the_opener_that_comes_again_is_not_counted_twice(tmp_path: Path) -> None:
    """Killed after the transition was taken and before its signal was committed."""
    async with Bench(tmp_path) as first:
        await first.signals(signal(1))
        recalled = first.message(ALERT_TRANSITIONS.name, first.transitions)
    async with Bench(tmp_path) as second:
        second.stage.recall(recalled)
        await second.signals(signal(1), signal(2))
        await second.clock.advance(302)
        assert [t.count for t in second.transitions] == [2]


async def test_nothing_resolves_right_after_history_and_resolved_stays_resolved(
    tmp_path: Path,
) -> None:
    async with Bench(tmp_path) as first:
        await first.signals(signal(1))
        fired = first.message(ALERT_TRANSITIONS.name, first.transitions)
        await first.clock.advance(301)
        firing, resolved = first.transitions
    async with Bench(tmp_path) as second:
        await second.clock.advance(1000)
        second.stage.recall(fired)
        await second.clock.advance(29)
        assert second.transitions == []
        await second.clock.advance(16)
        assert [t.transition_id for t in second.transitions] == [resolved.transition_id]
    async with Bench(tmp_path) as third:
        third.stage.recall(third.message(ALERT_TRANSITIONS.name, [firing, resolved]))
        await third.clock.advance(1000)
        assert third.transitions == []


async def test_a_revoked_partition_resolves_elsewhere(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        await bench.signals(signal(1))
        bench.stage.forget(ALERT_SIGNALS.name, OWNED)
        await bench.clock.advance(1000)
        assert bench.statuses() == ["firing"]


async def test_bad_bytes_and_bad_rules(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        for topic in (EVALUATIONS.name, ALERT_SIGNALS.name, ALERT_TRANSITIONS.name):
            bad = Message(topic, OWNED, 0, 0, None, b"\xff")
            bench.stage.recall(bad)
            with pytest.raises(PoisonError, match="undecodable_batch"):
                await bench.stage.process(bad)
    broken = Bench(tmp_path)
    rules_file(tmp_path, "groups: [{name: x, rules: [{alert: A}]}]")
    with pytest.raises(RuleError, match="evaluation"):
        await broken.stage.start()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 6), st.sampled_from([0, 45, 130, 900])), min_size=1),
    st.integers(0, 6),
    st.data(),
)
def test_repetition_and_a_crash_anywhere_write_the_same_transitions(
    tmp_path_factory: pytest.TempPathFactory,
    stream: list[tuple[int, int]],
    crash_at: int,
    data: st.DataObject,
) -> None:
    folder = tmp_path_factory.mktemp("rules")
    ends = dict(stream)
    signals = [signal(number, end_s=ends[number]) for number, _ in stream]
    crash_at = min(crash_at, len(signals))
    redelivered = data.draw(st.integers(0, crash_at))

    async def undisturbed() -> set[str]:
        async with Bench(folder) as bench:
            for one in dict.fromkeys(s.signal_id for s in signals):
                await bench.signals(next(s for s in signals if s.signal_id == one))
            await bench.clock.advance(400)
            return {t.transition_id for t in bench.transitions}

    async def disturbed() -> set[str]:
        async with Bench(folder) as first:
            for one in signals[:crash_at]:
                await first.signals(one)
        async with Bench(folder, first.outputs) as second:
            committed = signals[: crash_at - redelivered]
            second.stage.recall(second.message(ALERT_TRANSITIONS.name, first.transitions))
            second.stage.recall(second.message(ALERT_SIGNALS.name, committed))
            for one in signals[crash_at - redelivered :]:
                await second.signals(one)
            await second.clock.advance(400)
            return {t.transition_id for t in second.transitions}

    assert asyncio.run(disturbed()) == asyncio.run(undisturbed())


async def test_a_clock_from_the_future_silences_nobody(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        await bench.stage.process(
            bench.message(ALERT_SIGNALS.name, [signal(1, end_s=1_000_000_000)])
        )
        assert bench.transitions[0].starts_at_ns == BASE_NS
        await bench.clock.advance(400)
        await bench.signals(signal(2, end_s=390))
        assert bench.statuses() == ["firing", "resolved", "firing"]


async def test_a_signal_that_comes_while_ends_are_told_keeps_its_alert_open(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        other = {"alertname": "PromptInjection", "service_name": "bank"}
        await bench.signals(signal(1), signal(2, labels=other))
        bench.outputs.hold()
        await bench.clock.advance(301)
        await bench.signals(signal(3, end_s=300, labels=other))
        bench.outputs.release()
        await bench.clock.advance(20)
        resolved = [t.labels["service_name"] for t in bench.transitions if t.status == "resolved"]
        assert resolved == ["shop"]


async def test_one_unreadable_record_costs_its_neighbours_nothing(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        good = bench.message(EVALUATIONS.name, [verdict(1)])
        assert good.value is not None
        value = good.value.replace(b'"records":[', b'"records":[{"tenant":"x"},')
        await bench.stage.process(replace(good, value=value))
        assert len(bench.outputs.records(ALERT_SIGNALS.name)) == 1
        (letter,) = bench.outputs.letters
        assert letter.reason == "undecodable_record"
        assert letter.value == b'{"records":[{"tenant":"x"}]}'
