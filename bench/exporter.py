"""What exporting costs an application: CPU per span, in its own threads and in all of the process.

``python -m bench.exporter`` starts an embedded broker and a gateway on free ports. Every run is a
process of its own that makes GenAI spans (2 KiB of content) at a steady rate: without a processor,
with a ``BatchSpanProcessor`` that drops them, with ``KafkaSpanExporter``, and with the stock
OTLP/HTTP exporter to the gateway. Figures are µs of CPU per span, the median of the runs; ``app``
is the thread that makes the spans, ``process`` everything until the exporter's shutdown, and
``over_none`` what comes on top of spans that go nowhere. A run that loses a span is no result.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import orjson
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from ingest.exporters import KafkaSpanExporter
from schemas.topics import OTLP_LOGS_GATEWAY, OTLP_SPANS, OTLP_SPANS_GATEWAY
from stack.broker import Broker
from stack.ports import free_port

RESULTS = Path(__file__).parent / "results" / "exporter.json"
VARIANTS = ("none", "dropping", "kafka", "otlp_http")
TEXT = "How is the weather in Paris, and what should I wear? " * 20
BURST = 50


class Dropping(SpanExporter):
    """Takes every batch and forgets it."""

    def export(self, spans: object) -> SpanExportResult:
        """Nothing."""
        return SpanExportResult.SUCCESS


class Counting(OTLPSpanExporter):
    """The stock exporter, and how many spans it had success for."""

    acknowledged = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """As the stock one."""
        result = super().export(spans)
        self.acknowledged += len(spans) * (result is SpanExportResult.SUCCESS)
        return result


def application(variant: str, spans: int, rate: float, kafka: str, http: str) -> dict[str, float]:
    """Make the spans; µs of CPU per span."""
    exporter: SpanExporter | None = None
    if variant == "dropping":
        exporter = Dropping()
    elif variant == "kafka":
        exporter = KafkaSpanExporter(kafka, shutdown_timeout_s=30)
    elif variant == "otlp_http":
        exporter = Counting(f"{http}/v1/traces")
    provider = TracerProvider()
    if exporter is not None:
        provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=200))
    tracer = provider.get_tracer("bench")
    time.sleep(1)  # a connection is made once, not for every span
    app_s, process_s, started_s = time.thread_time(), time.process_time(), time.monotonic()
    for number in range(spans):
        with tracer.start_as_current_span("chat gpt-5-mini") as span:
            span.set_attributes(
                {
                    "gen_ai.operation.name": "chat",
                    "gen_ai.provider.name": "openai",
                    "gen_ai.request.model": "gpt-5-mini",
                    "gen_ai.usage.input_tokens": 420,
                    "gen_ai.usage.output_tokens": 170,
                    "gen_ai.input.messages": TEXT,
                    "gen_ai.output.messages": TEXT,
                }
            )
        if number % BURST == 0:
            time.sleep(max(0.0, number / rate - (time.monotonic() - started_s)))
    app_s = time.thread_time() - app_s
    provider.shutdown()
    process_s = time.process_time() - process_s
    if variant == "kafka":
        assert isinstance(exporter, KafkaSpanExporter)
        assert exporter.delivery.acknowledged == spans, exporter.delivery
    elif variant == "otlp_http":
        assert isinstance(exporter, Counting)
        assert exporter.acknowledged == spans, exporter.acknowledged
    return {"app_us": app_s / spans * 1e6, "process_us": process_s / spans * 1e6}


@contextmanager
def servers(folder: Path) -> Iterator[tuple[str, str]]:
    """Addresses of a broker and a gateway, each a process of its own."""
    broker = Broker(folder, free_port())
    port, status_port = free_port(), free_port()
    settings = {
        "STREAMGAUGE_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap,
        "STREAMGAUGE_KAFKA__IDEMPOTENT_PRODUCER": "false",
        "STREAMGAUGE_GATEWAY__HTTP_PORT": str(port),
        "STREAMGAUGE_GATEWAY__GRPC_PORT": str(free_port()),
        "STREAMGAUGE_RUNTIME__METRICS_BASE_PORT": str(status_port),
        "STREAMGAUGE_RUNTIME__DATA_DIR": str(folder),
    }

    async def start_broker() -> None:
        await broker.start()
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
        await admin.start()
        names = (OTLP_SPANS.name, OTLP_SPANS_GATEWAY.name, OTLP_LOGS_GATEWAY.name)
        await admin.create_topics([NewTopic(name, 4, 1) for name in names])
        await admin.close()

    asyncio.run(start_broker())
    gateway = subprocess.Popen(
        [sys.executable, "-m", "stack.cli", "gateway"],
        env=os.environ | settings,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{status_port}/ready", timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield broker.bootstrap, f"http://127.0.0.1:{port}"
    finally:
        gateway.terminate()
        gateway.wait()
        broker.stop()


def measure(spans: int, rate: float, runs: int) -> dict[str, object]:
    """All figures, variants taking turns."""
    found: dict[str, list[dict[str, float]]] = {variant: [] for variant in VARIANTS}
    with tempfile.TemporaryDirectory() as folder, servers(Path(folder)) as (kafka, http):
        for _ in range(runs):
            for variant in VARIANTS:
                done = subprocess.run(
                    [sys.executable, "-m", "bench.exporter", "--variant", variant,
                     "--spans", str(spans), "--rate", str(rate), "--kafka", kafka, "--http", http],
                    capture_output=True, text=True, check=False,
                )  # fmt: skip
                if done.returncode:
                    raise SystemExit(f"{variant} failed:\n{done.stderr[-2000:]}")
                found[variant].append(orjson.loads(done.stdout.splitlines()[-1]))

    def median(variant: str, figure: str) -> float:
        return statistics.median(run[figure] for run in found[variant])

    figures: dict[str, object] = {"spans": spans, "rate_per_s": rate, "runs": runs}
    over = {}
    for variant in VARIANTS:
        over[variant] = median(variant, "process_us") - median("none", "process_us")
        figures[variant] = {
            "app_us": round(median(variant, "app_us"), 1),
            "process_us": round(median(variant, "process_us"), 1),
            "over_none_us": round(over[variant], 1),
        }
    figures["kafka_to_otlp_http"] = round(over["kafka"] / over["otlp_http"], 2)
    return figures


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--spans", type=int, default=20_000, help="in every run")
    parser.add_argument("--rate", type=float, default=2000.0, help="spans a second")
    parser.add_argument("--runs", type=int, default=5, help="of every variant")
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--kafka", default="", help=argparse.SUPPRESS)
    parser.add_argument("--http", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.variant:
        run = application(given.variant, given.spans, given.rate, given.kafka, given.http)
        print(orjson.dumps(run).decode())
        return
    figures = measure(given.spans, given.rate, given.runs)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2) + b"\n")
    print(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())


if __name__ == "__main__":
    main()
