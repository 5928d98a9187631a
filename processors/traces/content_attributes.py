"""Which span attributes hold content, and what becomes of strings that might.

The one list. Content of GenAI calls is stored apart, by fragments, under its own retention; the
span table must hold none of it. So attributes known to carry content are removed from every span;
on GenAI spans any other long string is replaced by its length and hash, which fails closed for
keys that no list knows yet.
"""

import hashlib

LONG_STRING_CHARS = 128
"""Longer strings on GenAI spans may be content: ids, model names, URLs of APIs are shorter."""

GENAI_PREFIXES = (
    "gen_ai.", "openinference.", "llm.", "traceloop.", "ai.", "langfuse.", "langsmith.", "mlflow.",
    "gcp.vertex.agent.", "pydantic_ai.", "input.value", "output.value", "retrieval.",
    "embedding.", "reranker.", "haystack.", "spring.ai.", "mcp.", "agent.", "tool.", "litellm.",
    "db.chroma.", "db.qdrant.", "db.pinecone.", "db.weaviate.", "db.milvus.",
)  # fmt: skip
"""A span with any such attribute is a GenAI span."""

_CONTENT_KEYS = frozenset({
    # OTel GenAI, all releases
    "gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions",
    "gen_ai.tool.definitions", "gen_ai.tool.call.arguments", "gen_ai.tool.call.result",
    "gen_ai.tool.args", "gen_ai.tool.message", "gen_ai.tool.description",
    "gen_ai.retrieval.documents",
    "gen_ai.retrieval.query.text", "gen_ai.evaluation.explanation", "gen_ai.event.content",
    "gen_ai.input", "gen_ai.output", "gen_ai.task.input", "gen_ai.task.output",
    # OpenInference
    "input.value", "output.value", "llm.function_call", "llm.prompts",
    "llm.completions", "llm.prompt_template.template", "llm.prompt_template.variables",
    "reranker.query", "embedding.text", "tool.parameters", "tool.description",
    # OpenLLMetry
    "traceloop.entity.input", "traceloop.entity.output", "traceloop.prompt.template",
    # Vercel AI SDK
    "ai.prompt", "ai.response.text", "ai.response.object", "ai.response.reasoning",
    "ai.response.toolCalls", "ai.toolCall.args", "ai.toolCall.result", "ai.value", "ai.values",
    "ai.embedding", "ai.embeddings", "ai.schema",
    # Pydantic AI and Logfire
    "all_messages_events", "pydantic_ai.all_messages", "tool_arguments", "tool_response",
    # Langfuse, LangSmith, MLflow, Google ADK, LiteLLM
    "langfuse.observation.input", "langfuse.observation.output", "langfuse.trace.input",
    "langfuse.trace.output", "mlflow.spanInputs", "mlflow.spanOutputs", "mlflow.chat.tools",
    "mlflow.chat.messages", "mlflow.chunk.value", "gcp.vertex.agent.llm_request",
    "gcp.vertex.agent.llm_response", "gcp.vertex.agent.tool_call_args",
    "gcp.vertex.agent.tool_response", "gcp.vertex.agent.data",
})  # fmt: skip

_GENERAL_KEYS = frozenset({
    "content", "message", "body", "event.body", "events", "tools", "final_result", "all_messages",
    "request_data", "response_data", "inputs", "outputs", "logfire.msg",
})  # fmt: skip
"""Content on GenAI spans and their events; anything elsewhere."""

_CONTENT_PREFIXES = (
    "gen_ai.prompt", "gen_ai.completion", "gen_ai.content.", "gen_ai.tool.json_schema",
    "llm.input_messages", "llm.output_messages", "llm.choices", "llm.prompts.",
    "llm.completions.", "llm.tools", "llm.request.functions", "llm.openai.", "llm.anthropic.",
    "retrieval.documents",
    "reranker.input_documents", "reranker.output_documents", "embedding.embeddings",
    "ai.prompt.", "ai.result.", "traceloop.prompt.template_variables", "haystack.component.input",
    "haystack.component.output", "mcp.request.argument", "mcp.tool.result", "query.result",
    "db.query.result",
)  # fmt: skip

KEPT_LONG = frozenset({
    "url.full", "http.url", "http.target", "url.path", "user_agent.original", "http.user_agent",
    "code.file.path", "code.filepath", "code.function.name", "code.namespace",
    "gen_ai.response.id", "gen_ai.conversation.id", "gen_ai.agent.id", "gen_ai.tool.call.id",
    "service.instance.id", "exception.type",
})  # fmt: skip
"""Long strings of GenAI spans that are no content: kept, redacted."""

_NAMES_UNDER_PREFIXES = frozenset({
    "gen_ai.prompt.name", "gen_ai.prompt.version", "gen_ai.prompt.id",
})  # fmt: skip
"""Start like content but name a template."""


def is_genai(key: str) -> bool:
    """Whether an attribute of this name makes its span a GenAI span."""
    return key.startswith(GENAI_PREFIXES)


def holds_content(key: str, genai: bool) -> bool:
    """Whether an attribute of this name carries what was said; ``genai``: its span is GenAI."""
    if key in _CONTENT_KEYS or (genai and key in _GENERAL_KEYS):
        return True
    return key.startswith(_CONTENT_PREFIXES) and key not in _NAMES_UNDER_PREFIXES


def shortened(text: str) -> str:
    """A short string itself, a long one's hash and length: equality survives, content does not."""
    if len(text) <= LONG_STRING_CHARS:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"sha256:{digest} len={len(text)}"
