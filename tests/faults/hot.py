"""Traffic that would starve others: one trace without end, one sender without measure."""

import random
import time
import urllib.error
import urllib.request

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from sql.client import connect
from stack.verify.generator import plan
from tests.faults.cluster import Cluster

SPANS_A_REQUEST = 200
CALLS_IN = 50
"""One span in so many is a GenAI call, as in a trace of a whole application."""
SUSTAINED_TRACES = 400
TRACES_AT_ONCE = 100
NS_PER_S = 1_000_000_000


def post(endpoint: str, body: bytes) -> int:
    """Send until it is taken; how often it was refused."""
    refused = 0
    while True:
        request = urllib.request.Request(
            f"{endpoint}/v1/traces", body, {"Content-Type": "application/x-protobuf"}
        )
        try:
            with urllib.request.urlopen(request, timeout=15):
                return refused
        except (urllib.error.URLError, OSError):
            refused += 1
            time.sleep(0.5)


def one_trace(endpoint: str, spans: int) -> None:
    """So many spans under one trace id, as fast as they are taken."""
    rng = random.Random(7)
    trace_id = rng.randbytes(16)
    for start in range(0, spans, SPANS_A_REQUEST):
        request = ExportTraceServiceRequest()
        group = request.resource_spans.add()
        group.resource.attributes.append(_text("service.name", "hot-trace"))
        scope = group.scope_spans.add()
        for number in range(start, min(spans, start + SPANS_A_REQUEST)):
            scope.spans.append(_span(rng, trace_id, call=number % CALLS_IN == 0))
        post(endpoint, request.SerializeToString())


def many_calls(endpoint: str, seconds: float) -> None:
    """Whole traces, as fast as they are taken, for that long."""
    until = time.monotonic() + seconds
    seed = 0
    while time.monotonic() < until:
        seed += 1
        for parcel in plan("hot-tenant", TRACES_AT_ONCE, 1e9, seed, split=False):
            post(endpoint, parcel.body)


def sustained_rate(cluster: Cluster) -> float:
    """Traces a second that come out with every verdict while more wait."""
    service = f"sustained-{int(time.time())}"
    for parcel in plan(service, SUSTAINED_TRACES, 1e9, 11, split=False):
        post(cluster.endpoint, parcel.body)
    client = connect(cluster.direct_clickhouse)
    seen: list[tuple[float, int]] = []
    while not seen or seen[-1][1] < SUSTAINED_TRACES * 0.95:
        ((traces,),) = client.query(
            "SELECT uniqExact(trace_id) FROM v_verdicts WHERE service_name = {service:String}",
            parameters={"service": service},
        ).result_rows
        seen.append((time.monotonic(), int(traces)))
        time.sleep(0.5)
    began = next(one for one in seen if one[1])
    return (seen[-1][1] - began[1]) / max(1.0, seen[-1][0] - began[0])


def _span(rng: random.Random, trace_id: bytes, *, call: bool) -> Span:
    now = time.time_ns()
    span = Span(
        trace_id=trace_id,
        span_id=rng.randbytes(8),
        name="step",
        start_time_unix_nano=now - NS_PER_S,
        end_time_unix_nano=now,
    )
    if call:
        text = '[{"role": "user", "parts": [{"type": "text", "content": "Where is my order?"}]}]'
        span.attributes.extend(
            [_text("gen_ai.operation.name", "chat"), _text("gen_ai.provider.name", "openai"),
             _text("gen_ai.request.model", "gpt-4o-mini"), _text("gen_ai.input.messages", text)]
        )  # fmt: skip
    return span


def _text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))
