"""Requests of countless small parts are refused before they are decoded; real ones pass."""

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import grpc
import orjson
import pytest
from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status as RpcStatus

from ingest.bounds import check_json, check_protobuf, may_share
from ingest.otlp import OtlpError, decode, decode_logs, decode_traces
from ingest.signals import LOGS, TRACES
from ingest.wire import delimited
from stack.broker import Broker
from tests.ingest.conftest import StartGateway, Written, gateway_config
from tests.ingest.test_grpc import call

CAPTURES = sorted((Path(__file__).parent.parent / "captures").glob("*.json"))
MESSAGE_BYTES = 8 << 20
COUNT = 2 << 20
ODD_LINK = b"\x6a\x02\x78\x40"
"""A link with an unknown field: nothing takes more memory for a byte below 32."""
IDS = f'"traceId":"{"01" * 16}","spanId":"{"01" * 8}"'


def in_span(parts: bytes) -> bytes:
    """A request of one sound span with these fields."""
    span = delimited(1, b"t" * 16) + delimited(2, b"s" * 8) + parts
    return delimited(1, delimited(2, delimited(2, span)))


def in_array(values: bytes) -> bytes:
    """A request of one sound span with an attribute that is an array of these values."""
    return in_span(delimited(9, delimited(2, delimited(5, values))))


PARTS: dict[str, Callable[[int], bytes]] = {
    "resources": lambda count: b"\x0a\x00" * count,
    "scopes": lambda count: delimited(1, b"\x12\x00" * count),
    "spans": lambda count: delimited(1, delimited(2, b"\x12\x00" * count)),
    "attributes": lambda count: in_span(b"\x4a\x00" * count),
    "attributes with values": lambda count: in_span(b"\x4a\x02\x12\x00" * count),
    "events": lambda count: in_span(b"\x5a\x00" * count),
    "links": lambda count: in_span(b"\x6a\x00" * count),
    "unknown fields": lambda count: in_span(ODD_LINK * count),
    "array": lambda count: in_array(b"\x0a\x00" * count),
    "arrays in an array": lambda count: in_array(b"\x0a\x02\x2a\x00" * count),
    "entities": lambda count: delimited(1, delimited(1, b"\x1a\x00" * count)),
    "listed texts": lambda count: delimited(1, delimited(1, delimited(3, b"\x1a\x00" * count))),
}
HIDDEN: dict[str, Callable[[int], bytes]] = {
    "behind a group": lambda count: in_span(b"\x7b\x7c" + b"\x4a\x00" * count),
    "in a group": lambda count: in_span(b"\x7b" + b"\x4a\x00" * count),
    "behind a broken span": lambda count: (
        delimited(1, delimited(2, delimited(2, b"\xff\xff"))) + in_span(b"\x4a\x00" * count)
    ),
    "with long tags": lambda count: in_span(b"\xca\x80\x00\x80\x00" * count),
}
JSON: dict[str, Callable[[int], str]] = {
    "spans": lambda count: json_spans(listed("{}", count)),
    "broken spans": lambda count: json_spans(listed('{"name":0}', count)),
    "attributes": lambda count: json_spans(f'{{"attributes":[{listed("{}", count)}]}}'),
    "objects": lambda count: f'{{"a":[{listed(EMPTY_KEY, count)}]}}',
    "lists": lambda count: f'{{"a":[{listed("[]", count)}]}}',
    "texts": lambda count: f'{{"a":[{listed(SHORT_TEXT, count)}]}}',
    "behind a text": lambda count: f'{{"{BRACKET_TEXT}":[{listed("{}", count)}]}}',
}
EMPTY_KEY = '{"":0}'
SHORT_TEXT = '"ab"'
BRACKET_TEXT = '\\"[\\\\'


def json_spans(spans: str) -> str:
    """A JSON request of these spans."""
    return f'{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}'


def listed(item: str, count: int) -> str:
    """That many of the item."""
    return ",".join([item] * count)


@pytest.mark.parametrize("name", PARTS | HIDDEN)
def test_protobuf_of_countless_parts_is_refused(name: str) -> None:
    with pytest.raises(OtlpError, match="too many parts"):
        decode_traces((PARTS | HIDDEN)[name](COUNT), "protobuf")


def test_logs_of_countless_parts_are_refused() -> None:
    for value in (
        delimited(1, delimited(2, b"\x12\x00" * COUNT)),
        delimited(1, delimited(2, delimited(2, b"\x32\x00" * COUNT))),
        delimited(1, delimited(2, delimited(2, delimited(5, delimited(6, b"\x0a\x00" * COUNT))))),
    ):
        with pytest.raises(OtlpError, match="too many parts"):
            decode_logs(value, "protobuf")


@pytest.mark.parametrize("name", JSON)
def test_json_of_countless_parts_is_refused(name: str) -> None:
    with pytest.raises(OtlpError, match="too many parts"):
        decode_traces(JSON[name](COUNT).encode(), "json")


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_real_requests_as_large_as_a_message_pass(path: Path) -> None:
    signal = LOGS if path.name.endswith(".logs.json") else TRACES
    one = orjson.loads(path.read_bytes())
    once = decode(path.read_bytes(), "json", signal).request.SerializeToString()
    check_protobuf(once * (MESSAGE_BYTES // len(once)), signal)
    assert may_share(once, signal) or len(once) > 64 << 10
    (name,) = one
    times = MESSAGE_BYTES // len(orjson.dumps(one))
    check_json(orjson.dumps({name: one[name] * times}))


def test_long_texts_pass_whatever_is_in_them() -> None:
    text = json.dumps('{"a": [1, 2, {"b": "\\n"}], ' * 200_000)
    attribute = f'{{"key":"k","value":{{"stringValue":{text}}}}}'
    decoded = decode_traces(json_spans(f'{{{IDS},"attributes":[{attribute}]}}').encode(), "json")
    assert decoded.item_count == 1
    again = decode_traces(decoded.request.SerializeToString(), "protobuf")
    assert again.item_count == 1
    assert decode_traces(in_span(delimited(5, b"\x12" * (4 << 20))), "protobuf").item_count == 1


def test_what_shares_a_message_decodes_together() -> None:
    worst = in_span((ODD_LINK * 9 + delimited(5, b"x" * 4)) * 1500)
    assert may_share(worst, TRACES)
    check_protobuf(worst * ((512 << 10) // len(worst) + 1), TRACES)
    assert not may_share(in_span(b"\x6a\x00" * 1000), TRACES)
    assert not may_share(in_span(ODD_LINK * 20_000), TRACES)


async def test_the_gateway_refuses_them_over_both_protocols(
    start_gateway: StartGateway, gateway_broker: Broker, tmp_path: Path, written: Written
) -> None:
    gateway = await start_gateway(gateway_config(gateway_broker.bootstrap, tmp_path))
    await gateway.wait_ready()
    body = b"\x0a\x00" * (16 << 20)
    status, answer, _ = await gateway.post(gzip.compress(body, 1), Content_Encoding="gzip")
    assert (status, RpcStatus.FromString(answer).code) == (400, Code.INVALID_ARGUMENT)
    assert "too many parts" in RpcStatus.FromString(answer).message
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(gateway, TRACES.grpc_method, body[: 4 << 20])
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    # The spaces of JSON are gone in protobuf: the stages would see the parts alone.
    one = f'{{{IDS},"links":[{listed("{}", 300_000)}]}}'
    padded = json_spans(one + " " * (8 << 20))
    assert decode_traces(padded.encode(), "json").item_count == 1
    status, answer, _ = await gateway.post(padded.encode(), "application/json")
    assert (status, json.loads(answer)["code"]) == (400, Code.INVALID_ARGUMENT)
    assert await written.nothing_more()


MEASURE = """
import os, sys
from ingest.bounds import _Meter, _table_of
from ingest.signals import TRACES
from tests.ingest.test_bounds import PARTS

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

for name, made in PARTS.items():
    if os.fork():
        os.wait()
        continue
    value = made(270_000)  # just over a power of two: lists have grown most
    meter = _Meter(value, 1 << 40)
    meter.read(_table_of(TRACES), 0, len(value), 0)
    request, before = TRACES.request(), resident()
    request.ParseFromString(value)
    print(name, (1 << 40) - meter._left_bytes, resident() - before, flush=True, sep="|")
    os._exit(0)
"""


def test_no_part_takes_more_than_is_reckoned() -> None:
    found = subprocess.run(
        [sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True, timeout=120
    ).stdout.splitlines()
    assert len(found) == len(PARTS)
    for line in found:
        name, reckoned, taken = line.split("|")
        assert int(taken) <= int(reckoned), name
        assert int(reckoned) < 2.5 * int(taken), name
