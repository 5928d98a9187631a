"""Records survive the topics: exact numbers, tolerant reading, errors without content.

``schemas/golden/records.json`` holds this release's records. It never changes within ``.v1``: a
later release adds fields with defaults, reads these, and writes what they hold.
"""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from schemas import records
from schemas.encoding import RECORDS, BatchError, decode_batch, encode_batch
from schemas.records import Call, Fragment, LedgerRow, Operation, Record, encode_record
from tests.schemas.samples import END_NS, SAMPLES

GOLDEN: dict[str, dict[str, Any]] = json.loads(
    (Path(records.__file__).parent / "golden" / "records.json").read_text(encoding="utf-8")
)
CALL = GOLDEN["fragment"]["call"]
SECRET = "hunter2 is my password"


def batch(*items: object) -> bytes:
    """A message of raw records."""
    return json.dumps({"records": items}).encode()


def unfilled(record: BaseModel) -> list[str]:
    """Fields that still have their defaults, with those of the records within."""
    found = []
    for name, field in type(record).model_fields.items():
        value = getattr(record, name)
        if not field.is_required() and value == field.get_default(call_default_factory=True):
            found.append(name)
        inner = value if isinstance(value, tuple) else (value,)
        found += [
            f"{name}.{deeper}"
            for item in inner
            if isinstance(item, BaseModel)
            for deeper in unfilled(item)
        ]
    return found


def test_there_is_a_golden_record_of_each_type() -> None:
    assert GOLDEN.keys() == SAMPLES.keys() == RECORDS.keys()


@pytest.mark.parametrize("name", SAMPLES)
def test_golden_records_are_read_and_written_alike(name: str) -> None:
    assert decode_batch(RECORDS[name], batch(GOLDEN[name])) == [SAMPLES[name]]
    assert json.loads(encode_record(SAMPLES[name])) == GOLDEN[name]


@pytest.mark.parametrize("name", SAMPLES)
def test_golden_records_fill_every_field(name: str) -> None:
    left = ["reason"] if name == "evaluation" else []  # an ok verdict has none
    assert unfilled(SAMPLES[name]) == left


@pytest.mark.parametrize("name", SAMPLES)
def test_round_trip_of_a_batch(name: str) -> None:
    encoded = encode_record(SAMPLES[name])
    assert decode_batch(RECORDS[name], encode_batch([encoded] * 2)) == [SAMPLES[name]] * 2
    assert decode_batch(RECORDS[name], encode_batch([])) == []


def test_large_integers_and_decimals_are_strings() -> None:
    assert GOLDEN["evaluation"]["revision"] == "18446744073709551615"
    assert GOLDEN["ledger"]["offset"] == "9223372036854775807"
    call = GOLDEN["operation"]["call"]
    assert call["end_ns"] == str(END_NS)
    assert call["cost_usd"] == "1E-9"
    (read,) = decode_batch(Operation, batch(GOLDEN["operation"]))
    assert read.call.cost_usd == Decimal("0.000000001")
    assert read.call.reported_cost_usd == Decimal("0.100000001")


@pytest.mark.parametrize("name", SAMPLES)
def test_unknown_fields_are_ignored(name: str) -> None:
    newer = {**GOLDEN[name], "of_a_later_release": {"deep": [1]}}
    assert decode_batch(RECORDS[name], batch(newer)) == [SAMPLES[name]]


@pytest.mark.parametrize("kind", RECORDS.values(), ids=list(RECORDS))
def test_missing_fields_are_defaulted(kind: type[Record]) -> None:
    name = next(name for name, known in RECORDS.items() if known is kind)
    required = {key for key, field in kind.model_fields.items() if field.is_required()}
    older = {key: value for key, value in GOLDEN[name].items() if key in required}
    (read,) = decode_batch(kind, batch(older))
    for key, field in kind.model_fields.items():
        if key not in required:
            assert getattr(read, key) == field.get_default(call_default_factory=True), key


def test_missing_fields_of_a_call_are_defaulted() -> None:
    call = Call.model_validate({"dialect": "d", "kind": "chat", "start_ns": "1", "end_ns": "2"})
    assert call.usage.input_tokens is None  # unknown, not 0
    assert call.cost_usd is None
    assert call.content_state == "not_captured"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "value: json_invalid"),
        (b"\xff\xfe", "value: json_invalid"),
        (SECRET.encode(), "value: json_invalid"),
        (b"[]", "value: model_type"),
        (b"{}", "records: missing"),
        (batch(SECRET), "records.0: model_type"),
        (batch({**GOLDEN["fragment"], "time_ns": SECRET}), "records.0.time_ns: int_parsing"),
        (batch({**GOLDEN["fragment"], "signal": SECRET}), "records.0.signal: literal_error"),
        (
            batch({**GOLDEN["fragment"], "content": {"input": [{"role": [SECRET]}]}}),
            "records.0.content.input.0.role: string_type",
        ),
        (
            batch({**GOLDEN["fragment"], "call": {**CALL, "parameters": {SECRET: 1}}}),
            "records.0.call.parameters.*: string_type",
        ),
    ],
)
def test_errors_name_the_field_and_never_hold_content(value: bytes | None, text: str) -> None:
    with pytest.raises(BatchError) as caught:
        decode_batch(Fragment, value)
    assert str(caught.value) == text
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_records_of_another_type_are_refused() -> None:
    with pytest.raises(BatchError, match=r"records\.0\.\w+: missing"):
        decode_batch(LedgerRow, batch(GOLDEN["fragment"]))
