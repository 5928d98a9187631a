"""The normaliser under mutated real spans and log records, alone and through ``decode``."""

import itertools
import json
import random
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ingest.otlp import decode_logs, decode_traces
from ingest.signals import LOGS, TRACES
from processors.operations.redact import Redactor
from schemas.records import Operation, encode_record
from stack.decode import Request, assemble
from tests.fuzz.mutate import Mutator, corpus
from tests.fuzz.normalise import Tally, fuzz, run_one
from tests.operations.captures import KEY, TENANT
from tests.operations.spans import chat, make_span, read_span

MUTATOR = Mutator(corpus())
REDACTOR = Redactor(KEY)
SLOWEST_GROWTH = 12.0
"""Of the time when the size grows fourfold; a quadratic one would take sixteen times as long."""


class Drawn:
    """Choices that hypothesis draws, and can make simpler."""

    def __init__(self, source: random.Random) -> None:
        self._source = source

    def below(self, limit: int) -> int:
        """A number from 0 to ``limit`` - 1."""
        return self._source.randrange(limit)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False))
def test_a_mutated_item_is_read_or_refused(source: random.Random) -> None:
    run_one(MUTATOR, Drawn(source), REDACTOR, Tally())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False), st.integers(1, 12))
def test_mutated_exports_make_valid_operations(source: random.Random, size: int) -> None:
    requests = []
    for _ in range(size):
        item = MUTATOR.item(Drawn(source))
        is_span = isinstance(item.value, Span)
        signal = TRACES if is_span else LOGS
        request = signal.request_of(item.resource, item.scope, item.value)
        decode = decode_traces if is_span else decode_logs
        requests.append(Request("export", decode(request.SerializeToString(), "protobuf")))
    for operation in assemble(requests, REDACTOR, TENANT).operations:
        assert Operation.model_validate_json(encode_record(operation)) == operation


def test_the_seeded_fuzzer_runs() -> None:
    tally = fuzz(300, first_seed=7)
    assert tally.runs == 300
    assert tally.read > 200
    assert len(tally.dialects) > 10


def _messages(size: int) -> str:
    part = {"type": "text", "content": "word " * 20}
    return json.dumps([{"role": "user", "parts": [part]}] * (size // 150))


GROWING = {
    "messages": _messages,
    "one text": lambda size: "word " * (size // 5),
    "open brackets": lambda size: "[" * size,
    "open braces": lambda size: '{"a":' * (size // 5),
    "quotes": lambda size: "['" * (size // 2),
    "escapes": lambda size: "['" + "\\'" * (size // 2),
    "Python literal": lambda size: "[" + "{'role': 'user', 'content': 'x'}, " * (size // 34) + "]",
    "representations": lambda size: "[" + "A(b=<c d>), " * (size // 12) + "]",
    "JSON in JSON": lambda size: json.dumps(_messages(size // 2)),
    "data URLs": lambda size: "data:image/png;base64," * (size // 22),
}


@pytest.mark.parametrize("shape", GROWING)
@pytest.mark.parametrize("key", ["gen_ai.input.messages", "gen_ai.prompt", "mlflow.spanInputs"])
def test_time_grows_with_the_size_alone(key: str, shape: str) -> None:
    def took_s(size: int) -> float:
        said: dict[str, Any] = {key: GROWING[shape](size)}
        if key.startswith("mlflow"):
            said["mlflow.spanType"] = '"CHAT_MODEL"'
        span = make_span(chat() | said)
        took = []
        for _ in range(3):
            began = time.process_time()
            read_span(span)
            took.append(time.process_time() - began)
        return min(took)

    small, large = took_s(50_000), took_s(200_000)
    assert large < 0.05 or large < small * SLOWEST_GROWTH


def test_ten_thousand_indexed_messages_take_no_longer_than_their_number() -> None:
    def took_s(number: int) -> float:
        said = {f"gen_ai.prompt.{i}.content": "hi" for i in range(number)}
        span = make_span(chat() | said)
        began = time.process_time()
        read_span(span)
        return time.process_time() - began

    times = [min(took_s(number) for _ in range(2)) for number in (2_500, 10_000)]
    assert all(b < 0.1 or b < a * SLOWEST_GROWTH for a, b in itertools.pairwise(times))
