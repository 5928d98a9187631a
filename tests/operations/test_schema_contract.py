"""The public contracts: generated schemas are committed, identities match their golden vectors.

A golden vector never changes within ``.v1``: other producers compute the same.
"""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from schemas import identity
from schemas.encoding import RECORDS
from schemas.evaluators import State
from schemas.generate import GENERATED, documents
from schemas.records import encode_record
from tests.operations import captures

GOLDEN = Path(identity.__file__).parent / "golden" / "identities.json"
VECTORS: dict[str, list[dict[str, Any]]] = json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_committed_schemas_are_the_generated_ones() -> None:
    committed = {p.name: p.read_text(encoding="utf-8") for p in GENERATED.glob("*.json")}
    assert committed == documents(), "run: python -m schemas.generate"
    assert set(committed) == {f"{name}.json" for name in RECORDS}


def test_written_records_satisfy_their_schema() -> None:
    schema = json.loads((GENERATED / "fragment.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    for name in captures.names():
        for fragment in captures.fragments(name)[0]:
            validator.validate(json.loads(encode_record(fragment)))


@pytest.mark.parametrize("vector", VECTORS["trace_partition"])
def test_trace_partition(vector: dict[str, Any]) -> None:
    found = identity.trace_partition(vector["tenant"], vector["trace_id"], vector["partitions"])
    assert found == vector["partition"]


@pytest.mark.parametrize("vector", VECTORS["rule_partition"])
def test_rule_partition(vector: dict[str, Any]) -> None:
    found = identity.rule_partition(vector["tenant"], vector["rule"], vector["partitions"])
    assert found == vector["partition"]


@pytest.mark.parametrize("vector", VECTORS["fragment_id"])
def test_fragment_id(vector: dict[str, Any]) -> None:
    found = identity.fragment_id(
        vector["signal"],
        vector["kind"],
        vector["trace_id"],
        vector["span_id"],
        bytes.fromhex(vector["body_hex"]),
    )
    assert found == vector["fragment_id"]


@pytest.mark.parametrize("vector", VECTORS["operation_revision"])
def test_operation_revision(vector: dict[str, Any]) -> None:
    assert str(identity.operation_revision(vector["fragment_ids"])) == vector["revision"]


@pytest.mark.parametrize("vector", VECTORS["evaluation_revision"])
def test_evaluation_revision(vector: dict[str, Any]) -> None:
    found = identity.evaluation_revision(
        State(vector["state"]), vector["knowledge"], int(vector["scored_at_ns"])
    )
    assert str(found) == vector["revision"]
    assert 0 <= found < 2**64


@pytest.mark.parametrize("vector", VECTORS["span_day"])
def test_span_day(vector: dict[str, Any]) -> None:
    found = identity.span_day(int(vector["start_ns"]), int(vector["message_timestamp_ms"]))
    assert found == vector["day"]
