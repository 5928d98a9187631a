"""Requests to and answers of providers as their clients hold them, in any provider's shape.

Several emitters write the raw body (or their framework's serialisation of it) where others write
messages: OpenAI chat, Responses and completions, Anthropic, Gemini and ADK, Bedrock Converse,
LangChain, Haystack, the AI SDK. What a body does not say stays empty; nothing raises.
"""

from dataclasses import dataclass, field
from typing import Any

from processors.operations.attributes import as_text, json_text, mapping, structured, unquoted
from processors.operations.messages import (
    fold_finish_reason,
    read_message,
    read_messages,
    read_parts,
    read_tools,
    text_part,
)
from processors.operations.usage import Counts, read_counts
from schemas.records import Message, Part

_PARAMETERS = {
    "max_tokens": ("max_tokens", "max_completion_tokens", "max_output_tokens", "maxTokens",
                   "maxOutputTokens", "max_tokens_to_sample"),
    "stop_sequences": ("stop", "stop_sequences", "stopSequences"),
    "temperature": ("temperature",),
    "top_p": ("top_p", "topP"),
    "top_k": ("top_k", "topK"),
    "frequency_penalty": ("frequency_penalty", "frequencyPenalty"),
    "presence_penalty": ("presence_penalty", "presencePenalty"),
    "seed": ("seed",),
    "choice.count": ("n", "candidate_count"),
    "stream": ("stream",),
    "reasoning.level": ("reasoning_effort",),
}  # fmt: skip
"""Request parameters by the conventions' names."""

_SYSTEM = ("system", "instructions", "system_instruction", "systemInstruction", "system_prompt")
_MESSAGES = ("messages", "contents", "input", "prompt", "query", "question", "text", "q")
_USAGE = ("usage", "usage_metadata", "usageMetadata", "token_usage", "tokenUsage")
_FINISH = ("finish_reason", "finishReason", "stop_reason", "stopReason", "done_reason")
_UNSAID = ("Infinity", "NOT_GIVEN", "None", "null")


@dataclass(slots=True)
class Request:
    """What a request says."""

    model: str = ""
    system: tuple[Part, ...] = ()
    messages: tuple[Message, ...] = ()
    tools: tuple[str, ...] = ()
    parameters: dict[str, str] = field(default_factory=dict)
    service_tier: str = ""


@dataclass(slots=True)
class Response:
    """What an answer says."""

    model: str = ""
    id: str = ""
    messages: tuple[Message, ...] = ()
    finish_reasons: tuple[str, ...] = ()
    counts: Counts = field(default_factory=lambda: Counts({}))
    service_tier: str = ""


def body_tier(body: dict[str, Any]) -> str:
    """The price class that a request asks for or an answer was served in, or ''."""
    for holder in (body, mapping(body.get("usage"))):
        for key in ("service_tier", "serviceTier"):
            if isinstance(said := holder.get(key), str) and said not in _UNSAID:
                return as_text(said)
    return ""


def body_parameters(body: dict[str, Any]) -> dict[str, str]:
    """Request parameters of a body, by the conventions' names."""
    found: dict[str, str] = {}
    for name, keys in _PARAMETERS.items():
        value = next((body[key] for key in keys if body.get(key) not in (None, [], {})), None)
        if value is not None and not (isinstance(value, str) and value in _UNSAID):
            found[name] = as_text(value)
    return {name: value for name, value in found.items() if value}


def read_request(value: Any) -> Request:
    """A request in any shape, native or as text."""
    body = unquoted(value)
    if isinstance(body, dict) and isinstance(body.get("kwargs"), dict) and "lc" not in body:
        arguments, named = body.get("args"), body["kwargs"]  # a decorated function's call
        body = named or (arguments[0] if isinstance(arguments, list) and arguments else None)
    if not isinstance(body, dict):
        return Request(messages=read_messages(body, "user"))
    config = body.get("config") or body.get("generation_config")
    config = config if isinstance(config, dict) else {}
    request = Request(
        model=as_text(body.get("model") or body.get("model_name") or body.get("modelId")),
        system=_system(body, config),
        tools=read_body_tools(body.get("tools") or config.get("tools")),
        parameters=body_parameters({**config, **body}),
        service_tier=body_tier(body),
    )
    name = next((key for key in _MESSAGES if body.get(key) not in (None, "", [])), "")
    if name:
        request.messages = read_messages(body[name], "user")
    elif "role" in body or "lc" in body:
        request.messages = (read_message(body, "user"),)
    elif body and not request.system:
        request.messages = (Message(role="user", parts=(text_part(json_text(body)),)),)
    return request


def _system(body: dict[str, Any], config: dict[str, Any]) -> tuple[Part, ...]:
    for holder in (body, config):
        for key in _SYSTEM:
            value = holder.get(key)
            if isinstance(value, dict) and "parts" in value:
                value = value["parts"]
            if value and isinstance(value, str | list | dict):
                return tuple(read_parts(value))
    return ()


def read_body_tools(value: Any) -> tuple[str, ...]:
    """Tool definitions; Gemini nests them in ``function_declarations``."""
    found: list[str] = []
    listed = structured(value)
    for tool in listed if isinstance(listed, list) else [listed]:
        nested = None
        if isinstance(tool, dict):
            nested = tool.get("function_declarations") or tool.get("functionDeclarations")
        found += read_tools(nested if isinstance(nested, list) else [tool] if tool else None)
    return tuple(found)


def read_response(value: Any) -> Response:
    """An answer in any shape, native or as text."""
    body = unquoted(value)
    if not isinstance(body, dict):
        return Response(messages=read_messages(body, "assistant"))
    response = Response(
        model=as_text(body.get("model") or body.get("model_name") or body.get("modelVersion")),
        id=as_text(body.get("id") or body.get("response_id") or body.get("responseId"))
        if "lc" not in body
        else "",
        service_tier=body_tier(body),
    )
    usage = next((body[key] for key in _USAGE if isinstance(body.get(key), dict | str)), None)
    if usage is not None:
        response.counts = read_counts(usage)
    _read_answers(body, response)
    reason = next((body[key] for key in _FINISH if isinstance(body.get(key), str)), "")
    reasons = [m.finish_reason for m in response.messages if m.finish_reason]
    if not reasons and (folded := fold_finish_reason(reason)):
        reasons = [folded]
    response.finish_reasons = response.finish_reasons or tuple(reasons)
    return response


def _read_answers(body: dict[str, Any], response: Response) -> None:
    """The messages of an answer, by the member that holds them."""
    if isinstance(body.get("choices"), list):
        response.messages = tuple(_choice(item) for item in body["choices"])
    elif isinstance(body.get("generations"), list):
        _read_generations(body, response)
    elif isinstance(body.get("candidates"), list):
        response.messages = tuple(_candidate(item) for item in body["candidates"])
    elif isinstance(body.get("replies"), list):
        _read_replies(body, response)
    elif isinstance(body.get("message"), dict):
        response.messages = (read_message(body["message"], "assistant"),)
    elif isinstance(body.get("messages"), list):
        response.messages = read_messages(body["messages"], "assistant")
    elif "output" in body:
        output = body["output"]
        inner = output.get("message") if isinstance(output, dict) else None
        response.messages = read_messages(inner if inner is not None else output, "assistant")
    elif isinstance(body.get("content"), dict) and "parts" in body["content"]:
        response.messages = (read_message(body["content"], "assistant"),)
    elif "content" in body or "parts" in body or "lc" in body or "tool_calls" in body:
        response.messages = (read_message(body, "assistant"),)
    elif isinstance(body.get("combined_chunk_content"), str):
        response.messages = read_messages(body["combined_chunk_content"], "assistant")
    elif "data" not in body:  # embeddings are no content
        said = next((body[key] for key in ("text", "answer", "result") if body.get(key)), body)
        part = text_part(json_text(said))
        response.messages = (Message(role="assistant", parts=(part,)),) if said else ()


def _choice(item: Any) -> Message:
    """A choice of a chat or of a completion."""
    if isinstance(item, dict) and not isinstance(item.get("message"), dict):
        item = {"message": {"role": "assistant", "content": item.get("text")}, **item}
    return read_message(item, "assistant")


def _candidate(item: Any) -> Message:
    """A candidate of Gemini."""
    if not isinstance(item, dict):
        return read_message(item, "assistant")
    inner = mapping(item.get("content"))
    reason = item.get("finish_reason") or item.get("finishReason")
    return read_message({**inner, "finish_reason": reason}, "assistant")


def _read_generations(body: dict[str, Any], response: Response) -> None:
    """LangChain's result: one list of generations a prompt."""
    listed = [
        item
        for batch in body["generations"]
        for item in (batch if isinstance(batch, list) else [batch])
        if isinstance(item, dict)
    ]
    messages: list[Message] = []
    for item in listed:
        said = item.get("message")
        message = read_message(said if said else json_text(item.get("text")), "assistant")
        inner = mapping(mapping(said).get("kwargs")) or mapping(said)
        about = {**mapping(item.get("generation_info")), **mapping(inner.get("response_metadata"))}
        reason = next((about[key] for key in _FINISH if about.get(key)), "")
        messages.append(message.model_copy(update={"finish_reason": fold_finish_reason(reason)}))
        response.model = response.model or as_text(about.get("model_name") or about.get("model"))
        response.id = response.id or as_text(about.get("id"))
        usage = inner.get("usage_metadata") or about.get("token_usage") or about.get("usage")
        if isinstance(usage, dict) and not response.counts.values:
            response.counts = read_counts(usage)
    response.messages = tuple(messages)
    output = mapping(body.get("llm_output"))
    response.model = response.model or as_text(output.get("model_name"))
    if not response.counts.values and isinstance(output.get("token_usage"), dict):
        response.counts = read_counts(output["token_usage"])


def _read_replies(body: dict[str, Any], response: Response) -> None:
    """Haystack's generators: replies, each with its own account of the call."""
    messages: list[Message] = []
    beside = body.get("meta")
    for index, reply in enumerate(body["replies"]):
        about = mapping(reply.get("meta") or reply.get("_meta")) if isinstance(reply, dict) else {}
        if not about and isinstance(beside, list) and index < len(beside):
            about = mapping(beside[index])
        message = read_message(reply, "assistant")
        reason = fold_finish_reason(about.get("finish_reason") or about.get("stop_reason"))
        messages.append(message.model_copy(update={"finish_reason": reason}))
        response.model = response.model or as_text(about.get("model"))
        response.id = response.id or as_text(about.get("id"))
        if not response.counts.values:
            response.counts = read_counts(about.get("usage"))
    response.messages = tuple(messages)
