"""A dialect is done when it is registered, has a golden result and a row in the docs."""

import json
import re
from importlib import import_module
from pathlib import Path

import pytest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from processors.operations import dialects
from processors.operations.attributes import Origin, SpanView
from processors.operations.dialects.reading import Dialect, Reading
from processors.operations.dialects.registry import DIALECTS, KNOWN
from tests.operations import captures
from tests.operations.spans import call_of, read

FOLDER = Path(dialects.__file__).parent
PAGE = Path(__file__).parents[2] / "docs" / "dialects.md"
NO_DIALECTS = {"__init__", "reading", "registry", "log_events", "adot", "other"}
FROM_REFERENCE = "from reference"


def files() -> list[str]:
    """Names of the dialects' files."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in NO_DIALECTS)


def rows() -> dict[str, list[str]]:
    """Cells of the page's table by dialect, in order."""
    found = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| `") and len(cells) == 5:
            found[cells[0].strip("|` ")] = cells
    return found


def golden_dialects() -> set[str]:
    """Names of the dialects of all golden operations."""
    return {
        operation["call"]["dialect"]
        for path in captures.GOLDEN.glob("*.json")
        for operation in json.loads(path.read_text(encoding="utf-8"))["operations"]
    }


@pytest.mark.parametrize("name", files())
def test_every_file_is_a_registered_dialect_of_its_name(name: str) -> None:
    dialect: Dialect = import_module(f"{dialects.__name__}.{name}").DIALECT
    assert dialect in KNOWN, "add it to registry.py"
    assert dialect.name == name


@pytest.mark.parametrize("dialect", KNOWN, ids=lambda dialect: dialect.name)
def test_every_dialect_has_a_golden_result_or_says_that_it_has_none(dialect: Dialect) -> None:
    has_golden = dialect.name in golden_dialects()
    assert has_golden != dialect.checked_against.startswith(FROM_REFERENCE), (
        "record a capture (docs/dialects.md), or let checked_against begin with 'from reference'"
    )


def test_the_page_has_every_dialect_in_order_with_its_signals() -> None:
    table = rows()
    assert list(table) == [dialect.name for dialect in DIALECTS]
    for dialect in KNOWN:
        told = set(re.findall(r"`([^`]+)`", table[dialect.name][2]))
        signals = {*dialect.signals.keys, *dialect.signals.scopes}
        assert told <= signals
        assert signals - told <= set(dialect.signals.scopes), "keys are all on the page"
        says = FROM_REFERENCE in table[dialect.name][3]
        assert says == dialect.checked_against.startswith(FROM_REFERENCE)


def test_every_capture_has_a_golden_result() -> None:
    assert {path.stem for path in captures.GOLDEN.glob("*.json")} == set(captures.names())


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_a_dialect_takes_any_span(dialect: Dialect) -> None:
    view = SpanView.of(Span(), Origin.of(Resource(), InstrumentationScope()))
    assert isinstance(dialect.accepts(view), bool)
    assert isinstance(dialect.read(view), Reading)


# --- unknown emitters ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attributes", "model", "tokens"),
    [
        ({"llm.model_name": "m-1", "llm.token_count.prompt": 7}, "m-1", 7),
        ({"crewai.agent.llm.model": "m-1", "crewai.usage.prompt_tokens": 7}, "m-1", 7),
        ({"my.app.model": "m-1", "my.app.prompt_tokens": "7"}, "m-1", 7),
        ({"genai.model.id": "m-1", "genai.tokens.input": 7}, "m-1", 7),
        ({"gen_ai.unheard.of": 1, "gen_ai.response.model": "m-1"}, "m-1", None),
    ],
)
def test_an_unknown_emitter_gives_what_any_key_says(
    attributes: dict[str, object], model: str, tokens: int | None
) -> None:
    fragment = read(attributes)
    call = call_of(fragment)
    assert (call.dialect, call.kind, call.service_name) == ("other", "chat", "shop")
    assert model in (call.request_model, call.response_model)
    assert call.usage.input_tokens == tokens
    assert call.start_ns < call.end_ns


def test_the_content_of_an_unknown_emitter_by_its_keys_endings() -> None:
    said = {
        "acme.llm.model": "m",
        "acme.llm.prompt": json.dumps([{"role": "user", "content": "hi"}]),
        "acme.llm.completion": "hello",
    }
    assert read(said).content.parts() == [("input/0/0", "hi"), ("output/0/0", "hello")]
