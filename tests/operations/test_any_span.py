"""Whatever a span holds, reading it never raises and its fragment survives the wire."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ingest.otlp import decode_traces, spans
from schemas.encoding import decode_batch, encode_batch
from schemas.records import Fragment
from schemas.records import encode_record as encode
from tests.operations import captures
from tests.operations.spans import TRACE_ID, chat, make_span, pairs, read, read_span

_CAPTURED: list[tuple[str, Span]] = [
    (scope.name, span)
    for name in captures.names()
    for _, scope, span in spans(
        decode_traces((captures.CAPTURES / f"{name}.json").read_bytes(), "json").request
    )
]
_KEYS = sorted({attribute.key for _, span in _CAPTURED for attribute in span.attributes})
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(
            ["role", "type", "content", "text", "parts", "id", "name", "arguments", "message",
             "tool_calls", "function", "kwargs", "data", "source", "image_url", "documents"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip
_VALUES = (
    st.text(max_size=50)
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.booleans()
    | st.binary(max_size=8)
    | st.lists(st.text(max_size=10), max_size=3)
    | _JSON.map(json.dumps)
    | st.sampled_from(["chat", "LLM", "TOOL", "RETRIEVER", "EMBEDDING", "execute_tool", "retrieval",
                       "tool", "task", "embeddings", "NaN", "", "[]", "{}", "\x00"])
)  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    captured=st.sampled_from(_CAPTURED),
    changes=st.dictionaries(st.sampled_from(_KEYS), _VALUES, max_size=12),
    start_ns=st.integers(0, 2**64 - 1),
)
def test_no_changed_span_ever_raises(
    captured: tuple[str, Span], changes: dict[str, Any], start_ns: int
) -> None:
    scope, span = captured[0], Span.FromString(captured[1].SerializeToString())
    kept = [attribute for attribute in span.attributes if attribute.key not in changes]
    del span.attributes[:]
    span.attributes.extend([*kept, *pairs(changes)])
    span.start_time_unix_nano = start_ns
    fragment = read_span(span, scope)
    if fragment is not None:
        assert decode_batch(Fragment, encode_batch([encode(fragment)])) == [fragment]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(attributes=st.dictionaries(st.sampled_from(_KEYS), _VALUES, max_size=12))
def test_no_combination_of_keys_ever_raises(attributes: dict[str, Any]) -> None:
    fragment = read_span(make_span(attributes))
    if fragment is not None:
        assert fragment.trace_id == TRACE_ID
        assert decode_batch(Fragment, encode_batch([encode(fragment)])) == [fragment]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(value=_JSON)
def test_no_message_ever_raises(value: Any) -> None:
    attributes = chat(input__messages=json.dumps(value), output__messages=json.dumps([value]))
    read(attributes | {"gen_ai.system_instructions": json.dumps(value)})
