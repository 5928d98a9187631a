"""Captured requests of real instrumentors, and the operations they make as golden files.

Regenerate after a wanted change, then read the difference field by field:
``python -m tests.operations.captures``.
"""

import json
from pathlib import Path
from typing import Any

from ingest.otlp import decode_logs, decode_traces, log_records, spans
from processors.operations.attributes import Origin
from processors.operations.normalize import normalize, normalize_log
from processors.operations.redact import Redactor
from schemas.protocols import PoisonError
from schemas.records import Fragment
from stack.decode import Decoding, assemble, read_bytes

CAPTURES = Path(__file__).parent.parent / "captures"
GOLDEN = Path(__file__).parent / "golden"
KEY = b"key of the tests, 32 bytes long."
TENANT = "default"


def names() -> list[str]:
    """Names of the captures, without their suffix."""
    found = sorted(path.name.removesuffix(".json") for path in CAPTURES.glob("*.json"))
    return [name for name in found if not name.endswith(".logs")]


def logged_names() -> list[str]:
    """Names of the captures that come with log records."""
    return sorted(path.name.removesuffix(".logs.json") for path in CAPTURES.glob("*.logs.json"))


def log_fragments(name: str) -> tuple[list[Fragment], list[str]]:
    """Fragments of the content in a capture's log records, and why others cannot be joined."""
    decoded = decode_logs((CAPTURES / f"{name}.logs.json").read_bytes(), "json")
    found: list[Fragment] = []
    refused: list[str] = []
    for resource, scope, record in log_records(decoded.request):
        timestamp_ms = (record.time_unix_nano or record.observed_time_unix_nano) // 1_000_000
        told = (record, Origin.of(resource, scope), TENANT, timestamp_ms, Redactor(KEY))
        try:
            fragment = normalize_log(*told)
        except PoisonError as error:
            refused.append(error.reason)
            continue
        if fragment is not None:
            found.append(fragment)
    return found, refused


def fragments(name: str) -> tuple[list[Fragment], list[str]]:
    """Fragments of one capture, and names of the spans that were filtered."""
    decoded = decode_traces((CAPTURES / f"{name}.json").read_bytes(), "json")
    found: list[Fragment] = []
    filtered: list[str] = []
    for resource, scope, span in spans(decoded.request):
        timestamp_ms = span.end_time_unix_nano // 1_000_000
        origin = Origin.of(resource, scope)
        fragment = normalize(span, origin, TENANT, timestamp_ms, False, Redactor(KEY))
        if fragment is None:
            filtered.append(span.name)
        else:
            found.append(fragment)
    return found, filtered


def decoded(name: str) -> Decoding:
    """Operations of a capture's spans and log records together."""
    paths = [CAPTURES / f"{name}.json", CAPTURES / f"{name}.logs.json"]
    there = [path for path in paths if path.exists()]
    requests = [one for path in there for one in read_bytes(path.read_bytes(), path.name)]
    return assemble(requests, Redactor(KEY), TENANT)


def golden(name: str) -> dict[str, Any]:
    """What the golden file of a capture holds: fields that differ from their defaults."""
    found = decoded(name)
    return {
        "operations": [json.loads(o.model_dump_json(exclude_defaults=True))
                       for o in found.operations],
        "evaluations": [json.loads(e.model_dump_json(exclude_defaults=True))
                        for e in found.evaluations],
        "problems": found.problems,
        "filtered": fragments(name)[1],
    }  # fmt: skip


def text(document: dict[str, Any]) -> str:
    """Golden file text."""
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for capture in names():
        (GOLDEN / f"{capture}.json").write_text(text(golden(capture)), encoding="utf-8")
