"""Whether what should be JSON is JSON, and what its schema says: answers and arguments of tools.

JSON is asked for by a request parameter (``output.type``, with ``output.schema`` where the sender
told it) or in plain words. Arguments of a tool call always are JSON, judged by the tool's
definition. What the redactor masked is not the model's doing: a number that became a placeholder
stays a value, and a text with placeholders is not held against a schema.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import jsonschema_rs
import orjson

from processors.evaluate.checks.subject import Measured, Subject, worst
from schemas.evaluators import Target

VERSION = "json-1"
JSON_MAX_CHARS = 4 << 20
_NOT_JSON, _UNKNOWN_TOOL, _NOT_BY_SCHEMA, _FENCED = 1.0, 0.9, 0.8, 0.3
_ASKED = re.compile(
    r"\b(?:respond|reply|answer|output|return|antworte|réponds|responde)\b[^.\n]{0,40}"
    r"\b(?:only|valid|strictly|nur|uniquement|solo)\b[^.\n]{0,30}\bJSON\b|\bJSON only\b|"
    r"\bnothing (?:but|except|other than) (?:a |the )?(?:valid |raw )?JSON\b",
    re.I,
)
_FENCES = ("```json\n", "```JSON\n", "```\n")
_BARE_PLACEHOLDER = re.compile(r"(?<=[:\[,\s])<[A-Z_]+_[A-Z2-7]{4}>(?=\s*[,\]}])")
_SCHEMAS_KEPT = 500


def json_validity(subject: Subject) -> Measured | None:
    """The worst of the answers that should be JSON and of the tool calls."""
    if not subject.is_answered:
        return None
    found = list(_tool_calls(subject))
    parameters = subject.call.parameters
    schema = parameters.get("output.schema", "")
    if parameters.get("output.type") == "json" or schema or _asked_in_words(subject):
        paths = {p.part for p in subject.prepared.passages if p.target is Target.OUTPUT}
        for path, text in subject.operation.content.parts():
            # The whole text: one that is cut for the models is no JSON any more.
            if path in paths and len(text) <= JSON_MAX_CHARS:
                found.append(_judged(subject, path, text, schema, fences=True))
    return worst(found)


def _asked_in_words(subject: Subject) -> bool:
    last = subject.questions[-1:]
    return any(_ASKED.search(passage.text) for passage in (*subject.system, *last))


def _tool_calls(subject: Subject) -> Iterator[Measured]:
    if not subject.tool_calls:
        return
    tools = dict(filter(None, map(_definition, subject.operation.content.tools)))
    for path, part in subject.tool_calls:
        if not part.text.strip() or len(part.text) > JSON_MAX_CHARS:
            continue
        if tools and part.name and part.name not in tools:
            yield Measured(_UNKNOWN_TOOL, _UNKNOWN_TOOL, path, found=("unknown_tool",))
            continue
        yield _judged(subject, path, part.text, tools.get(part.name, ""), fences=False)


def _definition(text: str) -> tuple[str, str] | None:
    """Name and parameter schema of a tool definition, in the shapes of the providers."""
    tool = _parsed(text)
    if not isinstance(tool, dict):
        return None
    inner = tool["function"] if isinstance(tool.get("function"), dict) else tool
    name = inner.get("name")
    schema = next(
        (inner[k] for k in ("parameters", "input_schema", "inputSchema", "parametersJsonSchema")
         if isinstance(inner.get(k), dict)), None
    )  # fmt: skip
    if not isinstance(name, str):
        return None
    return name, orjson.dumps(schema).decode() if schema else ""


def _judged(subject: Subject, path: str, text: str, schema: str, *, fences: bool) -> Measured:
    masked = any(finding.part == path for finding in subject.operation.findings)
    inner = _unfenced(text) if fences else None
    said = text if inner is None else inner
    value = _parsed(said)
    if value is None and masked:
        value = _parsed(_BARE_PLACEHOLDER.sub("0", said))
    if value is None:
        return Measured(_NOT_JSON, _NOT_JSON, path, found=("not_json",))
    if schema and not masked and not _fits(schema, value):
        return Measured(_NOT_BY_SCHEMA, _NOT_BY_SCHEMA, path, found=("not_by_schema",))
    if inner is not None:
        return Measured(_FENCED, _FENCED, path, found=("fenced",))
    return Measured(0.0, 0.0, path)


def _unfenced(text: str) -> str | None:
    """What the one code fence around the whole text holds; None without one."""
    bare = text.strip()
    opening = next((fence for fence in _FENCES if bare.startswith(fence)), None)
    if opening is None or not bare.endswith("```"):
        return None
    return bare[len(opening) : -3]


def _parsed(text: str) -> Any:
    """The value, or None where the text is no JSON (``null`` is not what anyone asked for)."""
    try:
        return orjson.loads(text)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return None


def _fits(schema: str, value: Any) -> bool:
    validator = _validator(schema)
    try:
        return validator is None or bool(validator.is_valid(value))
    except ValueError:
        return True  # a number or a depth that the validator cannot take is not the answer's fault


@lru_cache(_SCHEMAS_KEPT)
def _validator(schema: str) -> Any:
    """A compiled schema, or None for one that cannot be used: that is the application's."""
    try:
        return jsonschema_rs.validator_for(
            orjson.loads(schema),
            retriever=_nothing,
            # The linear engine: a pattern must not be able to hold the stage up.
            pattern_options=jsonschema_rs.RegexOptions(size_limit=1 << 20),
        )
    except (ValueError, jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError):
        return None


def _nothing(uri: str) -> Any:
    """Schemas are never fetched."""
    raise ValueError(uri)
