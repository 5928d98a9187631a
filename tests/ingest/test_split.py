"""Requests over Kafka's limit: nothing lost, nothing over the limit."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ingest.otlp import decode_traces, spans
from ingest.signals import TRACES
from ingest.split import TRUNCATED_ATTRIBUTE, split
from tests.ingest.test_otlp import traces


def flat(request: ExportTraceServiceRequest) -> list[tuple[bytes, bytes, bytes]]:
    """Every (resource, scope, span), serialised."""
    return [
        (r.SerializeToString(), s.SerializeToString(), span.SerializeToString())
        for r, s, span in spans(request)
    ]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=5), st.integers(600, 6000))
def test_pieces_hold_every_span_in_order_below_the_limit(
    counts: list[int], limit_bytes: int
) -> None:
    request = ExportTraceServiceRequest()
    for number, count in enumerate(counts):
        request.MergeFrom(traces(count, resource=f"service {number}"))
    parts = split(request, limit_bytes, TRACES)
    assert not parts.rejected
    assert all(len(piece) <= limit_bytes for piece in parts.pieces)
    together = decode_traces(b"".join(parts.pieces), "protobuf").request
    assert flat(together) == flat(request)
    assert all(r.schema_url == "https://example/1" for r in together.resource_spans)


def test_a_single_large_span_has_its_longest_strings_cut_and_says_so() -> None:
    request = traces(3)
    large = request.resource_spans[0].scope_spans[0].spans[1]
    large.attributes.add(key="prompt").value.string_value = "é" * 500_000
    large.attributes.add(key="answer").value.string_value = "b" * 300_000
    large.attributes.add(key="model").value.string_value = "small-model"
    original_bytes = large.ByteSize()
    parts = split(request, 500_000, TRACES)
    assert not parts.rejected
    assert max(len(piece) for piece in parts.pieces) <= 500_000
    found = [
        span
        for piece in parts.pieces
        for _, _, span in spans(decode_traces(piece, "sniff").request)
    ]
    assert [span.span_id for span in found] == [s.span_id for _, _, s in spans(request)]
    attributes = {item.key: item.value for item in found[1].attributes}
    assert attributes[TRUNCATED_ATTRIBUTE].int_value == original_bytes
    assert attributes["model"].string_value == "small-model"
    prompt, answer = attributes["prompt"].string_value, attributes["answer"].string_value
    assert set(prompt) == {"é"}
    assert len(prompt.encode()) == pytest.approx(len(answer.encode()), abs=4)
    assert len(prompt.encode()) > 240_000
    assert large.attributes[-3].value.string_value == "é" * 500_000, "the caller's own is untouched"


def test_a_large_resource_is_cut_too() -> None:
    request = traces(2, resource="r" * 50_000)
    parts = split(request, 10_000, TRACES)
    assert not parts.rejected
    assert len(parts.pieces) == 2
    assert max(len(piece) for piece in parts.pieces) <= 10_000


def test_a_span_of_countless_small_attributes_is_rejected_not_dropped() -> None:
    request = traces(2)
    span = request.resource_spans[0].scope_spans[0].spans[0]
    for number in range(2000):
        span.attributes.add(key=f"k{number}").value.int_value = number
    parts = split(request, 5_000, TRACES)
    assert [(r.reason, r.span_id) for r in parts.rejected] == [
        ("span_too_large", span.span_id.hex())
    ]
    assert len(parts.pieces) == 1
