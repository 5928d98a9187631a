"""The exporters in programs of their own: import, end, no broker, fork."""

import subprocess
import sys
from pathlib import Path

from stack.broker import Broker
from stack.ports import free_port
from tests.exporters.conftest import read_spans, span_names

ROOT = Path(__file__).resolve().parents[2]


def run_python(source: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error::DeprecationWarning", "-c", source, *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_importing_it_is_light() -> None:
    done = run_python(
        "import sys, ingest.exporters; print(sorted({m.split('.')[0] for m in sys.modules} & "
        "{'faust', 'mode', 'clickhouse_connect', 'onnxruntime', 'numpy', 'tokenizers', 'uvloop',"
        " 'prometheus_client', 'processors', 'sql', 'stack', 'grpc', 'aiohttp'}))"
    )
    assert done.stdout.strip() == "[]", done.stderr


SHORT_PROGRAM = """
import sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from ingest.exporters import KafkaSpanExporter

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(KafkaSpanExporter(sys.argv[1], topic=sys.argv[2])))
trace.set_tracer_provider(provider)
with trace.get_tracer("app").start_as_current_span("short"):
    pass
"""


def test_a_program_that_ends_at_once_loses_nothing(broker: Broker, topic: str) -> None:
    # By name, because names are resolved after the interpreter has closed its thread pools.
    done = run_python(SHORT_PROGRAM, broker.bootstrap.replace("127.0.0.1", "localhost"), topic)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert span_names(read_spans(broker.bootstrap, topic, 1)) == ["short"]


def test_a_program_ends_cleanly_without_a_broker() -> None:
    done = run_python(SHORT_PROGRAM, f"127.0.0.1:{free_port()}", "away")
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert "'shutdown': 1" in done.stderr


FORKING_PROGRAM = (
    SHORT_PROGRAM
    + """
import os
child = os.fork()
with trace.get_tracer("app").start_as_current_span("child" if child == 0 else "parent"):
    pass
if child == 0:
    provider.shutdown()
    os._exit(0)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
)


def test_parent_and_child_of_a_fork_both_deliver(broker: Broker, topic: str) -> None:
    done = run_python(FORKING_PROGRAM, broker.bootstrap, topic)
    assert done.returncode == 0, done.stderr
    values = read_spans(broker.bootstrap, topic, 3)
    assert sorted(span_names(values)) == ["child", "parent", "short"]
