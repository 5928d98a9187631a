"""Spring AI (Micrometer): the conventions' keys, every value a string, lists as text.

Around the model's span are those of the chat client and its advisors; tools and vector stores have
keys of their own. Prompts and completions go to the application's log alone, but for milestones
that wrote them as span events.
"""

from processors.operations.attributes import SpanView, json_text
from processors.operations.dialects import otel_genai, vector_store
from processors.operations.dialects.reading import (
    Dialect,
    Keys,
    Reading,
    Signals,
    extended,
    tool_messages,
)

KEYS: Keys = extended(
    otel_genai.KEYS,
    {
        "conversation_id": ("spring.ai.chat.client.conversation.id",),
        "tool_name": ("spring.ai.tool.definition.name",),
    },
)

_KINDS = {"tool_call": "execute_tool", "vector_store": "retrieval", "chat_client": "invoke_agent",
          "advisor": "chain"}  # fmt: skip


def read(span: SpanView) -> Reading:
    """The conventions' reading, by Spring's own kind where it is said."""
    reading = otel_genai.read(span)
    said = span.text("spring.ai.kind")
    reading.kind = _KINDS.get(said, reading.kind)
    if reading.kind == "retrieval":
        vector_store.read_search(span, reading)
        reading.kind = "retrieval" if vector_store.is_search(span) else "chain"
    elif reading.kind == "execute_tool" and not (reading.input or reading.output):
        reading.input, reading.output = tool_messages(
            span.text("spring.ai.tool.definition.name", "gen_ai.tool.name"),
            span.text("spring.ai.tool.call.id", "gen_ai.tool.call.id"),
            json_text(span.get("spring.ai.tool.call.arguments")),
            json_text(span.get("spring.ai.tool.call.result")),
        )
    if (streams := span.text("spring.ai.chat.client.stream")) and "stream" not in (
        reading.parameters
    ):
        reading.parameters["stream"] = streams.lower()
    return reading


DIALECT = Dialect(
    name="spring_ai",
    checked_against="from reference: spring-ai 2.0.1",
    signals=Signals(keys=("spring.ai.",)),
    keys=KEYS,
    read=read,
)
