"""The three lines of docs/sending.md, as they stand there."""

import asyncio
import re
from pathlib import Path
from uuid import uuid4

from opentelemetry.sdk.trace import TracerProvider

from schemas.topics import OTLP_SPANS
from stack.broker import Broker
from tests.exporters.conftest import call_model, read, span_names

PAGE = Path(__file__).resolve().parents[2] / "docs" / "sending.md"


def test_three_lines_are_enough(broker: Broker) -> None:
    (lines,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len([line for line in lines.splitlines() if line]) == 3
    provider, name = TracerProvider(), uuid4().hex
    exec(lines.replace("kafka:9092", broker.bootstrap), {"provider": provider})  # noqa: S102
    call_model(provider, name)
    provider.shutdown()
    asyncio.run(read(broker.bootstrap, OTLP_SPANS.name, lambda found: name in span_names(found)))
