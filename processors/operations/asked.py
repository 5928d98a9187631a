"""What was asked for beside the prompt: the form of the answer, and the price class.

Every dialect says it under other keys; evaluations of the answer and its price need it once. The
form is in the request parameters ``output.type`` and ``output.schema``.
"""

import json
from typing import Any

from processors.operations.attributes import SpanView, branch, structured

SCHEMA_MAX_CHARS = 8_192
"""A longer schema is left out: it would be stored with every call."""

SERVICE_TIER = (
    "openai.response.service_tier",
    "gen_ai.openai.response.service_tier",
    "anthropic.response.service_tier",
    "gen_ai.response.service_tier",
    "openai.request.service_tier",
    "gen_ai.openai.request.service_tier",
    "gen_ai.request.service_tier",
)
"""What the provider served before what was asked for: ``auto`` asks for whatever there is."""

_TYPE_KEYS = ("gen_ai.output.type", "gen_ai.openai.request.response_format")
_SCHEMA_KEYS = ("gen_ai.request.structured_output_schema", "ai.schema")
_FORMAT_KEYS = ("llm.invocation_parameters", "gen_ai.request.response_format")
_ASKING_KEYS = frozenset((*_TYPE_KEYS, *_SCHEMA_KEYS, *_FORMAT_KEYS))
_JSON_NAMES = frozenset(("json", "json_object", "json_schema"))


def asked_form(span: SpanView) -> dict[str, str]:
    """Parameters that say it; empty where nothing but text was asked for."""
    if _ASKING_KEYS.isdisjoint(span.attributes):
        return {}
    schema = structured(span.get(*_SCHEMA_KEYS))
    named = span.text(*_TYPE_KEYS).lower()
    given = structured(span.get(*_FORMAT_KEYS))
    if isinstance(given, dict):
        form = given.get("response_format", given)
        named = named or str(branch(form, "type") or "").lower()
        schema = schema or branch(form, "json_schema", "schema")
    if not isinstance(schema, dict):
        schema = None
    if schema is None and named not in _JSON_NAMES:
        return {}
    return {"output.type": "json"} | _short(schema)


def _short(schema: dict[str, Any] | None) -> dict[str, str]:
    text = json.dumps(schema, ensure_ascii=False, separators=(",", ":")) if schema else ""
    return {"output.schema": text} if 0 < len(text) <= SCHEMA_MAX_CHARS else {}


def read_service_tier(span: SpanView) -> str:
    """The price class of the call, lower case, or '' where none is said."""
    return span.text(*SERVICE_TIER).lower()
