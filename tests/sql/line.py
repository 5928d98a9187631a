"""Rows that the line itself produced: every stage, in process, between real bytes and ClickHouse.

Traffic is the sample application's (its spans by the OpenTelemetry SDK), the captures of real
instrumentations, and some broken input; models, redactor, prices and rules are the product's. A
second evaluate stage on another model is the shadow.
"""

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from ingest.otlp import decode_logs, decode_traces
from processors.app import build_stage
from processors.clickhouse import ClickHouseSink
from processors.runtime.clock import SystemClock
from processors.runtime.memory import MemoryOutputs, MemorySource, run_stage
from schemas.config import Config
from schemas.dead_letters import encode_headers
from schemas.protocols import Stage
from schemas.records import Evaluation
from schemas.topics import (
    ALERT_SIGNALS,
    ALERT_TRANSITIONS,
    DEAD_LETTERS,
    EVALUATIONS,
    FRAGMENTS,
    LEDGER,
    OPERATIONS,
    OTLP_LOGS,
    OTLP_SPANS,
)
from stack.demo.conversations import conversations
from stack.demo.sample_app import MODELS, SampleApp
from tests.evaluate.samples import TINY
from tests.sql.records import NOW_NS, START_NS
from tests.store.otlp import attributes, request, span_of

CAPTURES = Path(__file__).parent.parent / "captures"
CONVERSATIONS = 100
NOW_MS = NOW_NS // 1_000_000
FAR_NS = 7_258_118_400_000_000_000
RELEASES = (("1.4.0", "", "7"), ("1.5.0", "-next", "8"))
"""Release, suffix of its models' names, version of its prompt."""
STAGE_TIMEOUT_S = 120.0


class KeptExports(SpanExporter):
    """Exports as the bytes that an OTLP exporter would send."""

    def __init__(self, prompt_version: str) -> None:
        self.values: list[bytes] = []
        self._prompt = attributes(
            {"gen_ai.prompt.name": "assistant", "gen_ai.prompt.version": prompt_version}
        )

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Keep a request."""
        message = encode_spans(spans)
        for group in message.resource_spans:
            for scope in group.scope_spans:
                for span in scope.spans:
                    if span.name.startswith("chat "):
                        span.attributes.extend(self._prompt)
        self.values.append(message.SerializeToString())
        return SpanExportResult.SUCCESS


def traffic() -> Iterator[tuple[str, bytes]]:
    """Raw messages as (topic, value): two releases of three apps, captures, broken input."""
    rng = random.Random(7)
    talks = list(conversations(CONVERSATIONS, seed=7))
    half = len(talks) // 2
    for (release, suffix, prompt), part in zip(RELEASES, (talks[:half], talks[half:]), strict=True):
        kept = KeptExports(prompt)
        apps = {name: SampleApp(name, kept, release) for name in MODELS}
        for app in apps.values():
            app.response_model += suffix
        for number, talk in enumerate(part):
            apps[talk.service].converse(talk, rng, number)
        for app in apps.values():
            app.close()
        yield from ((OTLP_SPANS.name, value) for value in kept.values)
    for path in sorted(CAPTURES.glob("*.json")):
        if path.name.endswith(".logs.json"):
            logs = decode_logs(path.read_bytes(), "json")
            yield OTLP_LOGS.name, logs.request.SerializeToString()
        else:
            spans = decode_traces(path.read_bytes(), "json")
            yield OTLP_SPANS.name, spans.request.SerializeToString()
    yield OTLP_SPANS.name, _leak().SerializeToString()
    yield OTLP_SPANS.name, b"\xff\xff not otlp"


def _leak() -> ExportTraceServiceRequest:
    """A call whose answer tells an address, and one from 1970."""
    said = {
        "gen_ai.input.messages": ("user", "Who writes the newsletter?"),
        "gen_ai.output.messages": ("assistant", "Write to jane.roe@example.org, she does."),
    }
    values = {
        key: json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])
        for key, (role, text) in said.items()
    }
    chat = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", **values}
    return request([span_of(900, 1, START_NS, chat), span_of(901, 1, 1, chat)])


async def run_line(config: Config, sink: ClickHouseSink) -> None:
    """Everything from the traffic to the tables. Raises what any stage raises."""
    line = _Line(config, sink)
    for topic, value in traffic():
        line.source.add(topic, value, timestamp_ms=NOW_MS)
    for name in ("traces", "operations", "assemble", "evaluate"):
        await line.run(name)
    shadow = config.model_copy(update={"evaluate": TINY})
    await line.run("evaluate", shadow)
    await line.run("watch", topics=(EVALUATIONS.name,))
    await line.run("watch", topics=(ALERT_SIGNALS.name,))
    await line.run("store")
    versions = {
        (row.evaluator, row.model_version)
        for row in line.source.records(EVALUATIONS.name)
        if isinstance(row, Evaluation) and row.evaluator_model.startswith("tiny")
    }
    assert versions
    await sink.insert(
        "genai_model_deployments",
        [("default", str(name), version, 0, 0, 1, "shadow", FAR_NS) for name, version in versions],
    )


class _Line:
    """Topics as lists between the stages."""

    def __init__(self, config: Config, sink: ClickHouseSink) -> None:
        self.source = MemorySource()
        self._config = config
        self._sink = sink

    async def run(
        self, name: str, config: Config | None = None, topics: Sequence[str] | None = None
    ) -> None:
        """Run one stage over its topics from the beginning; what it emits joins the topics."""
        config, clock, outputs = config or self._config, SystemClock(), MemoryOutputs()
        stage = build_stage(name, config, outputs, clock, self._sink)
        messages = [
            message
            for (topic, _), log in sorted(self.source.log.items())
            if topic in (topics or stage.topics)
            for message in log
        ]
        pipeline = await run_stage(
            stage, self.source, outputs, config=config, clock=clock, timeout_s=STAGE_TIMEOUT_S,
            messages=messages,
        )  # fmt: skip
        await pipeline.stop()
        self._pass_on(stage, outputs)

    def _pass_on(self, stage: Stage, outputs: MemoryOutputs) -> None:
        produced = (FRAGMENTS, LEDGER, OPERATIONS, EVALUATIONS, ALERT_SIGNALS, ALERT_TRANSITIONS)
        for topic in produced:
            for partition, record in outputs.placed(topic.name):
                self.source.add_batch(
                    topic.name, [record], partition=partition, timestamp_ms=NOW_MS
                )
        for letter in outputs.letters:
            self.source.add(
                DEAD_LETTERS.name, letter.value, headers=encode_headers(letter), timestamp_ms=NOW_MS
            )
