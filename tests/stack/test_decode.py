"""``streamgauge decode`` on captured exports in every packing."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ingest.otlp import decode_logs, decode_traces
from processors.operations.redact import Redactor
from processors.operations.stage import read_item
from stack.decode import assemble, read_file

CAPTURES = Path(__file__).parent.parent / "captures"
NAME = "otel_genai_v1.30-opentelemetry-instrumentation-openai-v2-2.4b0"
SPANS, LOGS = CAPTURES / f"{NAME}.json", CAPTURES / f"{NAME}.logs.json"
ANSWER = "It is 14 °C and raining in Paris."


def decode(*arguments: Path | str, stdin: bytes = b"") -> tuple[list[dict[str, Any]], str, int]:
    """Operations printed, stderr, exit status."""
    done = subprocess.run(
        [sys.executable, "-m", "stack.cli", "decode", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        check=False,
    )
    lines = done.stdout.decode().splitlines()
    return [json.loads(line) for line in lines], done.stderr.decode(), done.returncode


def answers(operations: list[dict[str, Any]]) -> list[str]:
    """Texts of the answers."""
    return [
        part["text"]
        for operation in operations
        for message in operation["content"]["output"]
        for part in message["parts"]
    ]


def test_content_in_logs_is_joined_whatever_comes_first() -> None:
    operations, errors, status = decode(SPANS, LOGS)
    assert (errors, status) == ("", 0)
    assert ANSWER in answers(operations)
    assert {o["call"]["content_state"] for o in operations if o["fragments"][1:]} == {"captured"}
    assert decode(LOGS, SPANS) == (operations, "", 0)
    starts = [int(o["call"]["start_ns"]) for o in operations]
    assert starts == sorted(starts)


def test_every_packing_gives_the_same(tmp_path: Path) -> None:
    expected = decode(SPANS, LOGS)
    spans = decode_traces(SPANS.read_bytes(), "json").request.SerializeToString()
    logs = decode_logs(LOGS.read_bytes(), "json").request.SerializeToString()
    (tmp_path / "spans.pb").write_bytes(spans)
    (tmp_path / "logs.pb").write_bytes(logs)
    (tmp_path / "spans.json.gz").write_bytes(gzip.compress(SPANS.read_bytes()))
    both = [json.dumps(json.loads(path.read_text())) for path in (SPANS, LOGS)]
    (tmp_path / "lines.jsonl").write_text("\n".join(both) + "\n")
    (tmp_path / "list.json").write_text(f"[{both[0]}, {both[1]}]")
    merged = {**json.loads(both[0]), **json.loads(both[1])}
    (tmp_path / "one.json").write_text(json.dumps(merged))
    for files in (
        ("spans.pb", "logs.pb"),
        ("logs.pb", "spans.pb"),
        ("spans.json.gz", "logs.pb"),
        ("lines.jsonl",),
        ("list.json",),
        ("one.json",),
    ):
        assert decode(*(tmp_path / file for file in files)) == expected, files
    assert decode("-", LOGS, stdin=SPANS.read_bytes()) == expected


def test_texts_are_redacted(tmp_path: Path) -> None:
    text = SPANS.read_text() + LOGS.read_text()
    assert "ann@example.com" not in text
    changed = LOGS.read_text().replace("What is the weather", "I am ann@example.com, the weather")
    (tmp_path / "logs.json").write_text(changed)
    operations, _, _ = decode(SPANS, tmp_path / "logs.json")
    assert "<EMAIL_" in json.dumps(operations)
    assert "ann@example.com" not in json.dumps(operations)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "empty"),
        (b"\xff\xff\xff", "protobuf"),
        (b'{"resourceMetrics": []}', "no resourceSpans and no resourceLogs"),
        (b'{"resourceSpans": [', "JSON"),
        (b'{\n  "resou', "cut off"),
        (b'{\n  "resourceSpans": [\n    {\n', "JSON"),
        (b"\x1f\x8bnot gzip", "gzip"),
        (b"[1, 2]", "list"),
    ],
)
def test_an_unreadable_file_is_named_and_the_others_are_read(
    tmp_path: Path, value: bytes, reason: str
) -> None:
    bad = tmp_path / "bad.bin"
    bad.write_bytes(value)
    operations, errors, status = decode(bad, SPANS)
    assert status == 1
    assert "bad.bin" in errors
    assert reason in errors
    assert len(operations) == 10


def test_a_missing_file_is_named() -> None:
    operations, errors, status = decode("nowhere.json")
    assert (operations, status) == ([], 1)
    assert "nowhere.json" in errors


def test_items_left_out_are_said(tmp_path: Path) -> None:
    document = json.loads(SPANS.read_text())
    document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"] = ""
    (tmp_path / "spans.json").write_text(json.dumps(document))
    operations, errors, status = decode(tmp_path / "spans.json")
    assert (len(operations), status) == (9, 0)
    assert "spans.json: span" in errors
    assert "invalid_trace_id" in errors


def test_documents_of_many_lines_one_after_another_and_cut_off(tmp_path: Path) -> None:
    pretty = [json.dumps(json.loads(path.read_text()), indent=2) for path in (SPANS, LOGS)]
    (tmp_path / "both.json").write_text("\n".join(pretty))
    assert decode(tmp_path / "both.json") == decode(SPANS, LOGS)
    (tmp_path / "cut.json").write_text("\n".join(pretty)[:-200])
    operations, errors, status = decode(tmp_path / "cut.json")
    assert (len(operations), status) == (len(decode(SPANS)[0]), 1)
    assert "cut.json" in errors
    assert "no resourceSpans" not in errors


def test_an_odd_item_costs_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def odd(*told: Any) -> Any:
        calls.append(told)
        if len(calls) == 1:
            raise KeyError("said in confidence")
        return read_item(*told)

    monkeypatch.setattr("stack.decode.read_item", odd)
    found = assemble(list(read_file(SPANS)), Redactor(b"x" * 32), "t")
    assert (len(found.operations), len(found.problems)) == (9, 1)
    assert found.problems[0].endswith("failed (KeyError)")
    assert SPANS.name in found.problems[0]
