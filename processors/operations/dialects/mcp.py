"""MCP by the conventions and fastmcp: one request as spans of client, transport and server.

A tool's call is ``execute_tool``; of its nested spans, which name the same tool, the innermost
counts. Other requests (lists, prompts, resources) are units of work.
"""

from processors.operations.attributes import SpanView
from processors.operations.dialects import otel_genai
from processors.operations.dialects.reading import Dialect, Reading, Signals

_CALL = "tools/call"


def read(span: SpanView) -> Reading:
    """The conventions' reading, by the method."""
    reading = otel_genai.read(span)
    method = span.text("mcp.method.name")
    reading.kind = "execute_tool" if method == _CALL else "chain"
    if method == _CALL:  # the transport's span tells its tool by its name alone
        reading.hints["tool_name"] = span.name.rpartition(_CALL)[2].strip()
        otel_genai.read_tool(span, reading)
    return reading


DIALECT = Dialect(
    name="mcp",
    checked_against="semantic-conventions 1.41, fastmcp 4.1.2",
    signals=Signals(keys=("mcp.method.name",)),
    keys=otel_genai.KEYS,
    read=read,
)
