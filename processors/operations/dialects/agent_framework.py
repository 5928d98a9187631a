"""Microsoft Agent Framework: the conventions, with log records beside or instead of messages.

Agents repeat their calls' usage under the framework's name as provider. Its workflow spans
(``workflow.run``, ``executor.process``, ...) are units of work.
"""

from dataclasses import replace

from processors.operations.attributes import SpanView
from processors.operations.dialects import otel_genai
from processors.operations.dialects.reading import Reading, Signals

_WORKFLOW = ("workflow.", "executor.", "edge_group.", "message.")


def read(span: SpanView) -> Reading:
    """The conventions' reading; a workflow's run is one."""
    reading = otel_genai.read(span)
    if span.get("gen_ai.operation.name") is None and span.has_prefix(*_WORKFLOW):
        runs = span.name.startswith("workflow.run")
        reading.kind = "invoke_workflow" if runs else "chain"
        reading.hints["agent_name"] = span.text("workflow.name")
    return reading


DIALECT = replace(
    otel_genai.DIALECT,
    name="agent_framework",
    checked_against="agent-framework-core 1.23.0",
    signals=Signals(scopes=("agent_framework",)),
    read=read,
)
