"""Ids of rejected items have an id's length: they go where no content may be, and into headers."""

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from ingest.otlp import Decoded, decode_logs, decode_traces
from ingest.signals import LOGS
from ingest.split import split
from tests.ingest.test_logs import logs
from tests.ingest.test_otlp import json_request, traces

LONG_TRACE = b"jane@example.com and more" * 1000
LONG_SPAN = b"a secret" * 1000


def with_long_ids() -> bytes:
    """Three spans; the ids of the second are texts."""
    request = traces(3)
    span = request.resource_spans[0].scope_spans[0].spans[1]
    span.trace_id, span.span_id = LONG_TRACE, LONG_SPAN
    return request.SerializeToString()


def cut_short(value: bytes) -> bytes:
    """The same with a status that runs past its span."""
    return value.replace(b"\x12\x06fine 1", b"\x12\x7ffine 1")


DECODED = {
    "ids": lambda: decode_traces(with_long_ids(), "protobuf"),
    "ids, repaired": lambda: decode_traces(
        with_long_ids().replace(b"chat 1", b"chat\xff1"), "protobuf"
    ),
    "undecodable": lambda: decode_traces(cut_short(with_long_ids()), "protobuf"),
    "JSON ids": lambda: decode_traces(json_request(traceId="ab" * 99, spanId="ab" * 99), "json"),
    "JSON": lambda: decode_traces(
        json_request(name=5, traceId="ab" * 99, spanId="ab" * 16), "json"
    ),
}


@pytest.mark.parametrize("name", DECODED)
def test_they_are_cut(name: str) -> None:
    decoded: Decoded = DECODED[name]()
    (rejected,) = decoded.rejected
    assert rejected.reason.startswith("undecodable" if name == "undecodable" else "invalid")
    assert len(rejected.trace_id) <= 32
    assert len(rejected.span_id) <= 16
    if "JSON" not in name:
        assert rejected.trace_id == LONG_TRACE[:16].hex()
        assert rejected.span_id == LONG_SPAN[:8].hex()


def test_those_of_a_log_record_that_is_too_large_are_cut() -> None:
    request = decode_logs(logs(1).SerializeToString(), "protobuf").request
    record: LogRecord = request.resource_logs[0].scope_logs[0].log_records[0]
    record.trace_id, record.span_id = LONG_TRACE, LONG_SPAN
    for number in range(2000):
        record.attributes.add(key=f"{number}").value.int_value = number
    (rejected,) = split(request, 10_000, LOGS).rejected
    assert rejected.reason == "log_record_too_large"
    assert (rejected.trace_id, rejected.span_id) == (LONG_TRACE[:16].hex(), LONG_SPAN[:8].hex())
