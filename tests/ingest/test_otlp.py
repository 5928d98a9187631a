"""Decoding: one bad span costs one span, and hostile bytes cost linear time."""

import json
import os
import time
from pathlib import Path
from typing import Literal

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from ingest.otlp import Decoded, OtlpError, decode_traces, spans
from ingest.wire import delimited

CAPTURES = sorted(
    path
    for path in (Path(__file__).parent.parent / "captures").glob("*.json")
    if not path.name.endswith(".logs.json")
)


def traces(count: int, name: str = "chat {}", resource: str = "api") -> ExportTraceServiceRequest:
    """A request of ``count`` spans with attributes of every kind."""
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add(schema_url="https://example/1")
    resource_spans.resource.attributes.add(key="service.name").value.string_value = resource
    scope_spans = resource_spans.scope_spans.add(schema_url="https://example/2")
    scope_spans.scope.name = "scope"
    for number in range(count):
        span = scope_spans.spans.add(
            trace_id=os.urandom(15) + b"\x01",
            span_id=os.urandom(7) + b"\x01",
            name=name.format(number),
            kind=Span.SPAN_KIND_CLIENT,
            start_time_unix_nano=1_795_379_788_653_154_767 + number,
            status=Status(code=Status.STATUS_CODE_OK, message=f"fine {number}"),
        )
        span.attributes.add(key="text").value.string_value = f"héllo wörld {number}"
        span.attributes.add(key="count").value.int_value = -(2**62)
        array = span.attributes.add(key="list").value.array_value
        array.values.add(string_value=f"nested {number}")
        span.events.add(name=f"event {number}").attributes.add(key="e").value.double_value = 0.5
    return request


def ids(span: Span) -> tuple[str, str]:
    """Hex ids of a span."""
    return span.trace_id.hex(), span.span_id.hex()


def bodies(decoded: Decoded) -> list[bytes]:
    """Serialised spans in order."""
    return [span.SerializeToString() for _, _, span in spans(decoded.request)]


@pytest.mark.parametrize(
    "needle",
    [b"chat 333", b"nested 333", b"event 333", b"fine 333", "wörld 333".encode()],
)
def test_one_span_with_invalid_utf8_among_500_is_repaired_alone(needle: bytes) -> None:
    request = traces(500)
    before = [span.SerializeToString() for _, _, span in spans(request)]
    value = request.SerializeToString().replace(needle, b"\xff" + needle[1:], 1)
    decoded = decode_traces(value, "protobuf")
    after = bodies(decoded)
    assert decoded.item_count == len(after) == 500
    changed = [index for index in range(500) if before[index] != after[index]]
    assert changed == [333]
    assert "\ufffd".encode() in after[333]
    assert decoded.repaired == {ids(list(spans(request))[333][2])}
    assert not decoded.rejected


def test_repair_of_a_resource_flags_its_spans_only() -> None:
    sound, broken = traces(3), traces(2, resource="brøken")
    value = sound.SerializeToString() + broken.SerializeToString().replace(
        "brøken".encode(), b"br\xff\xfeken"
    )
    decoded = decode_traces(value, "protobuf")
    assert decoded.repaired == {ids(span) for _, _, span in spans(broken)}
    services = [r.attributes[0].value.string_value for r, _, _ in spans(decoded.request)]
    assert services == ["api"] * 3 + ["br\ufffd\ufffdken"] * 2


def test_an_undecodable_span_is_rejected_with_its_bytes_and_neighbours_stay() -> None:
    request = traces(3)
    middle = request.resource_spans[0].scope_spans[0].spans[1]
    body = middle.SerializeToString()
    broken = body[:-1] + b"\xff"
    value = request.SerializeToString().replace(body, broken)
    assert len(broken) == len(body)
    decoded = decode_traces(value.replace(b"chat 1", b"chat\xff1"), "protobuf")
    assert [(r.reason, r.trace_id, r.span_id) for r in decoded.rejected] == [
        ("undecodable_span", *ids(middle))
    ]
    assert decoded.rejected[0].bytes == broken.replace(b"chat 1", b"chat\xff1")
    assert bodies(decoded) == [
        span.SerializeToString() for _, _, span in spans(request) if span != middle
    ]


def test_spans_without_usable_ids_are_rejected() -> None:
    request = traces(5)
    listed = request.resource_spans[0].scope_spans[0].spans
    listed[0].trace_id = b""
    listed[1].trace_id = bytes(16)
    listed[2].span_id = bytes(8)
    listed[3].span_id = b"short"
    decoded = decode_traces(request.SerializeToString(), "protobuf")
    assert [rejected.reason for rejected in decoded.rejected] == [
        "invalid_trace_id",
        "invalid_trace_id",
        "invalid_span_id",
        "invalid_span_id",
    ]
    assert decoded.item_count == 1
    assert bodies(decoded) == [listed[4].SerializeToString()]
    assert decoded.request.resource_spans[0].scope_spans[0].schema_url == "https://example/2"


def test_broken_framing_is_refused_whole() -> None:
    value = traces(2).SerializeToString()
    for broken in (value[:-1], value[: len(value) // 2], b"hello", b"\x00", b"\x68\x01", b"\xff"):
        with pytest.raises(OtlpError) as caught:
            decode_traces(broken, "protobuf")
        assert caught.value.reason


def test_empty_requests_are_no_error() -> None:
    for value, kind in ((b"", "protobuf"), (b"{}", "json"), (b'{"resourceSpans":[]}', "sniff")):
        decoded = decode_traces(value, kind)  # type: ignore[arg-type]
        assert decoded.item_count == 0
        assert not decoded.rejected


def test_concatenated_requests_parse_as_one() -> None:
    first, second = traces(2), traces(3)
    decoded = decode_traces(first.SerializeToString() + second.SerializeToString(), "sniff")
    assert decoded.item_count == 5


def test_sniff_is_not_deceived_by_a_length_that_looks_like_a_brace() -> None:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id = b"t" * 16, b"s" * 8
    while request.resource_spans[0].ByteSize() < ord("{"):
        span.name += "x"
    value = request.SerializeToString()
    assert value.startswith(b"\n{")
    assert decode_traces(value, "sniff").request == request
    assert decode_traces(b' \n{"resourceSpans":[]}', "sniff").item_count == 0


# --- hostile bytes -------------------------------------------------------------------------------


def nesting_bomb(levels: int) -> bytes:
    """Attribute value of arrays in arrays, as bytes (the library cannot build it)."""
    value: bytes = AnyValue(string_value="x").SerializeToString()
    for _ in range(levels):
        value = delimited(5, delimited(1, value))
    return value


@pytest.mark.parametrize("levels", [60, 3000])
def test_a_nesting_bomb_costs_its_own_span_only(levels: int) -> None:
    good = traces(1).resource_spans[0].scope_spans[0].spans[0]
    attribute = delimited(1, b"k") + delimited(2, nesting_bomb(levels))
    bomb = delimited(1, b"t" * 16) + delimited(2, b"s" * 8) + delimited(9, attribute)
    scope = delimited(2, bomb) + delimited(2, good.SerializeToString())
    decoded = decode_traces(delimited(1, delimited(2, scope)), "protobuf")
    assert [(r.reason, r.span_id) for r in decoded.rejected] == [
        ("undecodable_span", (b"s" * 8).hex())
    ]
    assert bodies(decoded) == [good.SerializeToString()]


def test_many_tiny_fields_with_one_bad_string_take_linear_time() -> None:
    def seconds(count: int) -> float:
        span = delimited(1, b"t" * 16) + delimited(2, b"s" * 8) + delimited(5, b"\xff")
        value = delimited(1, delimited(2, delimited(2, span + b"\x4a\x00" * count)))
        start = time.process_time()
        assert len(decode_traces(value, "protobuf").repaired) == 1
        return time.process_time() - start

    small, large = seconds(20_000), seconds(200_000)
    assert large < max(40 * small, 2.0)


@pytest.mark.parametrize("levels", [0, 1, 2])
def test_millions_of_empty_messages_are_refused(levels: int) -> None:
    value = (delimited(1 if levels == 0 else 2, b"")) * 1_000_001
    for number in (2, 1)[2 - levels :]:
        value = delimited(number, value)
    start = time.process_time()
    with pytest.raises(OtlpError, match="too many"):
        decode_traces(value, "protobuf")
    assert time.process_time() - start < 1.0


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_refused(value: bytes) -> None:
    kinds: tuple[Literal["protobuf", "json", "sniff"], ...] = ("protobuf", "json", "sniff")
    for kind in kinds:
        try:
            decoded = decode_traces(value, kind)
        except OtlpError:
            continue
        decode_traces(decoded.request.SerializeToString(), "protobuf")


SMALL = traces(4)
SMALL_BYTES = SMALL.SerializeToString()


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(SMALL_BYTES) - 1), st.integers(0, 255))
def test_one_flipped_byte_never_loses_a_span_silently(position: int, byte: int) -> None:
    value = SMALL_BYTES[:position] + bytes([byte]) + SMALL_BYTES[position + 1 :]
    try:
        decoded = decode_traces(value, "protobuf")
    except OtlpError:
        return
    again = decode_traces(decoded.request.SerializeToString(), "protobuf")
    assert again.request == decoded.request
    assert not again.rejected
    assert not again.repaired


# --- JSON ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_captures_decode_whole(path: Path) -> None:
    value = path.read_bytes()
    expected = [
        (span["traceId"], span["spanId"])
        for resource in orjson.loads(value)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]
    decoded = decode_traces(value, "sniff")
    assert [ids(span) for _, _, span in spans(decoded.request)] == expected
    assert not decoded.rejected
    assert not decoded.repaired
    assert decode_traces(decoded.request.SerializeToString(), "sniff").request == decoded.request


def json_request(**span: object) -> bytes:
    """A JSON request of one sound span, with these fields set over it."""
    fields = {"traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "eee19b7ec3c1b174"} | span
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [fields]}]}]}).encode()


def only_span(value: bytes) -> Span:
    """The one span of a request that decodes."""
    decoded = decode_traces(value, "json")
    assert not decoded.rejected
    (found,) = spans(decoded.request)
    return found[2]


def test_json_variants_of_senders() -> None:
    values = [
        {"intValue": "9007199254740993"},
        {"intValue": 7},
        {"doubleValue": "NaN"},
        {"doubleValue": "-Infinity"},
        {"doubleValue": 1},
        {"boolValue": False},
        {"bytesValue": "aGk="},
        {"stringValue": ""},
        {"arrayValue": {"values": [{"stringValue": "a"}, {}]}},
        {"kvlistValue": {"values": [{"key": "k", "value": {"intValue": "1"}}]}},
        {"arrayValue": {}},
    ]
    span = only_span(
        json_request(
            kind="SPAN_KIND_CLIENT",
            parentSpanId=None,
            startTimeUnixNano="1795379788653154767",
            end_time_unix_nano=1795379788653154768,
            status={"code": 2, "message": "no"},
            futureField={"a": [1]},
            attributes=[{"key": str(i), "value": value} for i, value in enumerate(values)],
            links=[{"traceId": "0" * 31 + "1", "spanId": "0" * 15 + "1"}],
        )
    )
    assert span.trace_id.hex() == "5b8efff798038103d269b633813fc60c"
    assert span.kind == Span.SPAN_KIND_CLIENT
    assert span.start_time_unix_nano == 1795379788653154767
    assert span.end_time_unix_nano == 1795379788653154768
    assert span.status.code == Status.STATUS_CODE_ERROR
    assert span.links[0].span_id.hex() == "0" * 15 + "1"
    found = [attribute.value for attribute in span.attributes]
    assert [value.WhichOneof("value") for value in found] == [
        "int_value",
        "int_value",
        "double_value",
        "double_value",
        "double_value",
        "bool_value",
        "bytes_value",
        "string_value",
        "array_value",
        "kvlist_value",
        "array_value",
    ]
    assert found[0].int_value == 9007199254740993
    assert found[2].double_value != found[2].double_value
    assert found[6].bytes_value == b"hi"


@pytest.mark.parametrize(
    ("span", "reason"),
    [
        ({"traceId": "not hex"}, "invalid_trace_id"),
        ({"traceId": "00" * 16}, "invalid_trace_id"),
        ({"spanId": "abcd"}, "invalid_span_id"),
        ({"spanId": None}, "invalid_span_id"),
        ({"startTimeUnixNano": "-1"}, "invalid_start_time_unix_nano"),
        ({"startTimeUnixNano": "9" * 5000}, "invalid_start_time_unix_nano"),
        ({"name": 5}, "invalid_name"),
        ({"kind": "NONE_SUCH"}, "invalid_kind"),
        ({"kind": "SPAN\udcdcKIND"}, "invalid_kind"),
        ({"attributes": {"a": 1}}, "invalid_attributes"),
        ({"attributes": [3]}, "invalid_KeyValue"),
        ({"droppedAttributesCount": 1.5}, "invalid_dropped_attributes_count"),
        ({"attributes": [{"key": "a", "value": {"boolValue": "yes"}}]}, "invalid_bool_value"),
    ],
)
def test_a_json_span_that_does_not_convert_is_rejected(
    span: dict[str, object], reason: str
) -> None:
    decoded = decode_traces(json_request(**span), "json")
    assert [rejected.reason for rejected in decoded.rejected] == [reason]
    assert decoded.item_count == 0


def test_json_text_that_is_not_unicode_is_repaired() -> None:
    escaped = json_request(name="lone \ud83d here")
    raw = json_request(name="latin-1 XX").replace(b"XX", b"\xe9!")
    sound = json_request(name="pair \U0001f600")
    for value, name in ((escaped, "lone \ufffd here"), (raw, "latin-1 \ufffd!")):
        decoded = decode_traces(value, "json")
        (found,) = spans(decoded.request)
        assert found[2].name == name
        assert decoded.repaired == {ids(found[2])}
    assert only_span(sound).name == "pair \U0001f600"
    assert not decode_traces(sound, "json").repaired


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"[]",
        b"null",
        b'{"resourceSpans": 3}',
        b'{"resourceSpans": [7]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [7]}]}]}',
        b'{"resourceSpans"',
        b'{"a":' * 100_000,
        b'{"resourceSpans": ' + b"[" * 900 + b"]" * 900 + b"}",
    ],
)
def test_broken_json_is_refused_whole(value: bytes) -> None:
    with pytest.raises(OtlpError):
        decode_traces(value, "json")


def test_json_nested_too_deep_costs_its_own_span() -> None:
    value: dict[str, object] = {"stringValue": "x"}
    for _ in range(200):
        value = {"arrayValue": {"values": [value]}}
    decoded = decode_traces(json_request(attributes=[{"key": "k", "value": value}]), "json")
    assert [rejected.reason for rejected in decoded.rejected] == ["nested_too_deep"]
