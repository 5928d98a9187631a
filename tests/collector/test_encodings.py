"""What the Collector's kafka exporter writes, in both encodings, through the real stage."""

from itertools import groupby
from pathlib import Path

import pytest

from ingest.otlp import decode_logs, decode_traces
from ingest.signals import TRACES
from ingest.split import request_of
from processors.operations.stage import OperationsStage
from processors.runtime.memory import FakeClock, MemoryOutputs, MemorySource, run_stage
from schemas.config import Config
from schemas.records import Fragment, LedgerRow
from schemas.topics import FRAGMENTS, LEDGER, OTLP_SPANS

WRITTEN = Path(__file__).parents[1] / "captures" / "collector"
ENCODINGS = ("otlp_proto", "otlp_json")
CONFIG = Config(privacy={"redaction_key": "key of the tests, 32 bytes long."})  # type: ignore[arg-type]


def value_of(signal: str, encoding: str) -> bytes:
    """A message's value."""
    return (WRITTEN / f"{signal}.{encoding}").read_bytes()


async def operations(*messages: tuple[bytes, bytes | None]) -> list[str]:
    """Fragments of these (value, key), as JSON in order; every span must be in the books."""
    outputs, source, clock = MemoryOutputs(), MemorySource(), FakeClock()
    for value, key in messages:
        source.add(OTLP_SPANS.name, value, key=key)
    await run_stage(OperationsStage(CONFIG, outputs, clock), source, outputs, clock=clock)
    rows = [row for row in outputs.records(LEDGER.name) if isinstance(row, LedgerRow)]
    assert sum(row.items_in for row in rows) == 12
    assert not sum(row.dead for row in rows)
    assert not outputs.letters
    found = [f for f in outputs.records(FRAGMENTS.name) if isinstance(f, Fragment)]
    return sorted(f.model_dump_json() for f in found)


async def test_both_encodings_give_the_same_operations() -> None:
    protobuf, json = [await operations((value_of("traces", e), None)) for e in ENCODINGS]
    assert len(protobuf) == 10  # of 12 spans, two are no GenAI operations
    assert "gpt-4o-mini" in protobuf[0]
    assert json == protobuf


async def test_one_message_a_trace_gives_the_same_operations() -> None:
    """``partition_traces_by_id: true``: keyed by the hex trace id."""
    request = decode_traces(value_of("traces", "otlp_proto"), "protobuf").request
    placed = [
        (resource, scope, span)
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    placed.sort(key=lambda one: one[2].trace_id)
    messages = [
        (request_of(group, TRACES).SerializeToString(), trace_id.hex().encode())
        for trace_id, group in groupby(placed, key=lambda one: one[2].trace_id)
    ]
    assert len(messages) == 10
    whole = await operations((value_of("traces", "otlp_proto"), None))
    assert await operations(*messages) == whole


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_log_records_decode_alike(encoding: str) -> None:
    decoded = decode_logs(value_of("logs", encoding), "sniff")
    assert decoded.item_count == 27
    assert not decoded.rejected
    assert decoded.request == decode_logs(value_of("logs", "otlp_proto"), "protobuf").request
