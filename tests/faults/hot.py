"""Traffic that would starve others: one trace without end, one sender without measure."""

import hashlib
import json
import random
import time
import urllib.error
import urllib.request
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from sql.client import connect
from stack.verify.generator import plan
from tests.faults.cluster import Cluster

SPANS_A_REQUEST = 200
CALLS_IN = 50
"""One span in so many is a GenAI call, as in a trace of a whole application."""
SUSTAINED_TRACES = 800
"""Enough that the seconds a call takes to come through matter little."""
TRACES_AT_ONCE = 20
OWN_KEY, HOT_KEY = "key-of-the-others", "key-of-the-hot-tenant"
HOT_BYTES_PER_S = 30_000
"""Some ten traces a second."""
NS_PER_S = 1_000_000_000


def two_tenants(folder: Path) -> dict[str, str]:
    """Settings of a gateway with a key for everybody and one for a tenant of its own quota."""
    keys = folder / "keys.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    keys.write_text(
        "".join(
            f"- {{sha256: {hashlib.sha256(key.encode()).hexdigest()}, tenant: {tenant}}}\n"
            for key, tenant in ((OWN_KEY, "default"), (HOT_KEY, "hot"))
        )
    )
    quotas = {"hot": {"bytes_per_s": HOT_BYTES_PER_S}}
    return {
        "STREAMGAUGE_GATEWAY__API_KEYS_FILE": str(keys),
        "STREAMGAUGE_GATEWAY__TENANT_QUOTAS": json.dumps(quotas),
    }


def post(endpoint: str, body: bytes, key: str = "") -> int:
    """Send until it is taken; how often it was refused."""
    refused = 0
    headers = {"Content-Type": "application/x-protobuf"} | ({"x-api-key": key} if key else {})
    while True:
        request = urllib.request.Request(f"{endpoint}/v1/traces", body, headers)
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


def many_calls(endpoint: str, seconds: float) -> int:
    """Whole traces of the hot tenant, as fast as they are taken, for that long; how often they were
    refused."""
    until = time.monotonic() + seconds
    seed = refused = 0
    while time.monotonic() < until:
        seed += 1
        for parcel in plan("hot-tenant", TRACES_AT_ONCE, 1e9, seed, split=False):
            refused += post(endpoint, parcel.body, HOT_KEY)
    return refused


def sustained_rate(cluster: Cluster) -> float:
    """Traces a second that the line takes and judges when more of them wait than it can do.

    From the first request on: many are judged at the same time, so that counted from the first
    verdict on it would seem several times as fast.
    """
    service = f"sustained-{int(time.time())}"
    began = time.monotonic()
    for parcel in plan(service, SUSTAINED_TRACES, 1e9, 11, split=False):
        post(cluster.endpoint, parcel.body)
    client = connect(cluster.direct_clickhouse)
    judged = 0
    while judged < SUSTAINED_TRACES * 0.95:
        time.sleep(0.5)
        ((judged,),) = client.query(
            "SELECT uniqExact(trace_id) FROM v_verdicts WHERE service_name = {service:String}",
            parameters={"service": service},
        ).result_rows
    return float(judged) / (time.monotonic() - began)


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
