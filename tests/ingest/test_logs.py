"""``POST /v1/logs``: the same care for log records as for spans."""

import json
import os
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from ingest.otlp import OtlpError, decode_logs, log_records
from ingest.signals import LOGS
from ingest.split import TRUNCATED_ATTRIBUTE, split
from ingest.wire import delimited
from stack.broker import Broker
from tests.ingest.conftest import RunningGateway, StartGateway, Written, gateway_config
from tests.ingest.test_gateway import tenant_of


def logs(count: int, text: str = "hello {}") -> ExportLogsServiceRequest:
    """A request of ``count`` GenAI log events of one service."""
    request = ExportLogsServiceRequest()
    resource_logs = request.resource_logs.add(schema_url="https://example/1")
    resource_logs.resource.attributes.add(key="service.name").value.string_value = "api"
    scope_logs = resource_logs.scope_logs.add()
    scope_logs.scope.name = "scope"
    for number in range(count):
        record = scope_logs.log_records.add(
            trace_id=os.urandom(15) + b"\x01",
            span_id=os.urandom(7) + b"\x01",
            time_unix_nano=1_795_379_788_653_154_767 + number,
            event_name="gen_ai.user.message",
        )
        content = record.body.kvlist_value.values.add(key="content")
        content.value.string_value = text.format(number)
    return request


def bodies(request: ExportLogsServiceRequest) -> list[bytes]:
    """Serialised log records in order."""
    return [record.SerializeToString() for _, _, record in log_records(request)]


@pytest.fixture
async def gateway(
    start_gateway: StartGateway, gateway_broker: Broker, tmp_path: Path
) -> RunningGateway:
    """Without keys, ready."""
    running = await start_gateway(gateway_config(gateway_broker.bootstrap, tmp_path))
    await running.wait_ready()
    return running


async def post(gateway: RunningGateway, body: bytes, media_type: str) -> tuple[int, bytes]:
    """(status, body) of one export of logs."""
    headers = {"Content-Type": media_type}
    async with gateway.session.post(gateway.logs_url, data=body, headers=headers) as response:
        return response.status, await response.read()


async def test_protobuf_is_forwarded_as_it_came(
    gateway: RunningGateway, written_logs: Written, written: Written
) -> None:
    body = logs(3).SerializeToString()
    assert await post(gateway, body, "application/x-protobuf") == (200, b"")
    (record,) = await written_logs.take(1)
    assert record.value == body
    assert tenant_of(record) == "default"
    assert await written.nothing_more()


async def test_json_becomes_protobuf(gateway: RunningGateway, written_logs: Written) -> None:
    record = {
        "timeUnixNano": "1795379788653154767",
        "traceId": "0AF7651916CD43DD8448EB211C80319C",
        "spanId": "b7ad6b7169203331",
        "eventName": "gen_ai.choice",
        "severityNumber": "SEVERITY_NUMBER_INFO",
        "body": {"kvlistValue": {"values": [{"key": "index", "value": {"intValue": "0"}}]}},
    }
    request = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}
    status, body = await post(gateway, json.dumps(request).encode(), "application/json")
    assert (status, body) == (200, b"{}")
    (written,) = await written_logs.take(1)
    ((_, _, found),) = log_records(decode_logs(written.value, "protobuf").request)
    assert found.trace_id.hex() == record["traceId"].lower()
    assert found.body.kvlist_value.values[0].value.int_value == 0


async def test_one_undecodable_record_is_a_partial_success(
    gateway: RunningGateway, written_logs: Written
) -> None:
    good = [LogRecord.FromString(body) for body in bodies(logs(2))]
    scope = b"".join(
        delimited(2, body)
        for body in (good[0].SerializeToString(), b"\x2a\xff", good[1].SerializeToString())
    )
    value = delimited(1, delimited(2, scope))
    status, answer = await post(gateway, value, "application/x-protobuf")
    assert status == 200
    partial = ExportLogsServiceResponse.FromString(answer).partial_success
    assert partial.rejected_log_records == 1
    assert partial.error_message == "undecodable_log_record: 1"
    (record,) = await written_logs.take(1)
    assert bodies(decode_logs(record.value, "protobuf").request) == [
        one.SerializeToString() for one in good
    ]


async def test_traces_sent_to_the_logs_path_are_refused(
    gateway: RunningGateway, written_logs: Written
) -> None:
    status, _ = await post(gateway, b'{"resourceLogs": 3}', "application/json")
    assert status == 400
    status, _ = await post(gateway, b"\x10\x01", "application/x-protobuf")
    assert status == 400
    assert await written_logs.nothing_more()


def test_bad_utf8_is_repaired_in_its_record_alone() -> None:
    value = logs(3, "hello {}!").SerializeToString().replace(b"hello 1", b"hel\xffo 1")
    decoded = decode_logs(value, "protobuf")
    found = [
        record.body.kvlist_value.values[0].value.string_value
        for _, _, record in log_records(decoded.request)
    ]
    assert found == ["hello 0!", "hel\ufffdo 1!", "hello 2!"]
    assert len(decoded.repaired) == 1


def test_records_without_ids_are_kept() -> None:
    request = logs(1)
    record = request.resource_logs[0].scope_logs[0].log_records[0]
    record.trace_id = record.span_id = b""
    decoded = decode_logs(request.SerializeToString(), "protobuf")
    assert decoded.item_count == 1
    assert not decoded.rejected


def test_a_request_over_the_limit_is_cut_between_records_and_a_long_record_shortened() -> None:
    request = logs(40, "x" * 1000 + "{}")
    request.MergeFrom(logs(1, "y" * 50_000))
    parts = split(request, 10_000, LOGS)
    assert not parts.rejected
    assert max(len(piece) for piece in parts.pieces) <= 10_000
    found = [
        record
        for piece in parts.pieces
        for _, _, record in log_records(decode_logs(piece, "sniff").request)
    ]
    assert len(found) == 41
    assert [a.key for a in found[-1].attributes] == [TRUNCATED_ATTRIBUTE]


def test_broken_framing_is_no_request() -> None:
    with pytest.raises(OtlpError):
        decode_logs(b"\x0a\x05abc", "protobuf")
