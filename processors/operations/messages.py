"""Messages of any shape, read into typed parts.

One reader for the shapes emitters really send: OTel GenAI parts, OpenAI chat and Responses items,
Anthropic and Bedrock blocks, Gemini parts, as native values or JSON text. Unknown parts keep their
readable text as ``other``. Media become references: bytes are never carried.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from processors.operations.attributes import as_text, json_text, structured
from schemas.records import Document, Message, Part

NESTING_LIMIT = 6
"""Blocks inside blocks deeper than this are read as plain JSON text."""

UNKNOWN_BLOCK_MAX_CHARS = 4096
"""A block of unknown shape is kept as JSON up to this; beyond it is likely an embedded file."""

ROLES = {"human": "user", "ai": "assistant", "model": "assistant", "AIMessageChunk": "assistant",
         "function": "tool", "developer": "system", "thinking": "assistant"}  # fmt: skip

FINISH_REASONS = {
    reason: folded
    for folded, reasons in {
        "stop": "stop end_turn stop_sequence eos eos_token complete completed finished",
        "length": "length max_tokens max_output_tokens model_length max_length incomplete",
        "tool_call": "tool_call tool_calls tool_use function_call function_calls",
        "content_filter": "content_filter content_filtered safety recitation blocklist spii "
        "prohibited_content refusal guardrail_intervened",
        "error": "error failed malformed_function_call",
    }.items()
    for reason in reasons.split()
}

_KINDS = {
    kind: folded
    for folded, kinds in {
        "text": "text input_text output_text refusal",
        "reasoning": "reasoning thinking redacted_thinking reasoning_content",
        "tool_call": "tool_call tool_use function_call server_tool_call server_tool_use",
        "tool_result": "tool_call_response tool_result function_call_output function_response "
        "server_tool_call_response",
        "media": "blob file uri image image_url input_image input_audio audio input_file video "
        "document media image_file anthropic_image",
    }.items()
    for kind in kinds.split()
}
# Blocks without a type say it by their only key (Bedrock Converse, Gemini).
_KEYED_BLOCKS = {"toolUse": "tool_use", "toolResult": "tool_result", "image": "image",
                 "document": "document", "video": "video", "reasoningContent": "reasoning",
                 "function_call": "function_call", "functionCall": "function_call",
                 "function_response": "function_response", "functionResponse": "function_response",
                 "inline_data": "blob", "inlineData": "blob", "file_data": "file",
                 "tool_call": "tool_call", "tool_call_result": "tool_result"}  # fmt: skip

# Others by what they hold (Haystack's data classes).
_SHAPES = ((frozenset({"tool_name", "arguments"}), "tool_call"),
           (frozenset({"result", "origin"}), "tool_result"))  # fmt: skip

_MESSAGE_KEYS = frozenset({"role", "content", "parts", "tool_calls", "function_call", "type",
                           "finish_reason", "index"})  # fmt: skip
_ID_KEYS = ("id", "call_id", "tool_use_id", "tool_call_id", "toolCallId", "toolUseId")
_NAME_KEYS = ("name", "toolName", "tool_name")
_ARGUMENT_KEYS = ("arguments", "input", "args", "parameters", "server_tool_call")
_RESULT_KEYS = ("response", "result", "content", "output", "server_tool_call_response")
_TEXT_KEYS = ("content", "text", "thinking", "reasoning", "refusal", "summary")
_URI_KEYS = ("uri", "url", "file_id", "file_uri", "fileUri", "image_url", "file_data", "source")
_MIME_KEYS = ("mime_type", "mimeType", "media_type")

# Text keeps no embedded files; text/* stays, since instructions hide there.
_DATA_URL = re.compile(r"data:(?!text/)([\w.+-]{1,64}/[\w.+-]{1,64});base64,[A-Za-z0-9+/=_-]{64,}")


def fold_finish_reason(reason: Any) -> str:
    """Finish reasons in one vocabulary: stop, length, tool_call, content_filter, error; others
    in lower case."""
    if not reason:
        return ""
    name = as_text(reason).strip().lower().removeprefix("finishreason.").replace("-", "_")
    return FINISH_REASONS.get(name, name)


def finish_reasons(value: Any) -> tuple[str, ...]:
    """Folded reasons of a list, a JSON list or one string."""
    listed = structured(value)
    if listed is None:
        listed = [value] if value else []
    return tuple(folded for item in list(listed)[:64] if (folded := fold_finish_reason(item)))


def text_part(text: str) -> Part:
    """A text part with embedded files taken out."""
    return Part(type="text", text=without_files(text))


def without_files(text: str) -> str:
    """The text with embedded files taken out."""
    return _DATA_URL.sub(r"[media \1]", text) if ";base64," in text else text


def read_messages(value: Any, role: str) -> tuple[Message, ...]:
    """Messages from a list, one mapping, JSON text or plain text; ``role`` if none is said."""
    if value is None:
        return ()
    found = structured(value)
    if found is None:
        text = json_text(value)
        return (Message(role=role, parts=(text_part(text),)),) if text else ()
    if isinstance(found, dict):
        found = found.get("messages", [found])
        found = found if isinstance(found, list) else [found]
    if len(found) == 1 and isinstance(found[0], list):
        found = found[0]  # LangChain batches: [[message, ...]]
    return tuple(read_message(item, role) for item in found)


def read_message(value: Any, role: str) -> Message:
    """One message of any shape."""
    if not isinstance(value, dict):
        return Message(role=role, parts=(text_part(json_text(value)),))
    value = _unwrapped(value)
    finish = value.get("finish_reason") or value.get("stop_reason")
    inner = value.get("message")
    if isinstance(inner, dict):  # an OpenAI choice
        value = {**inner, "finish_reason": finish}
    kind = _KINDS.get(as_text(value.get("type")))
    if "role" not in value and kind in ("tool_call", "tool_result", "reasoning", "media"):
        said = "tool" if kind == "tool_result" else "assistant" if kind != "media" else role
        return Message(role=said, parts=tuple(_block(value, 0)))
    said = _role(value, role)
    parts = list(_message_parts(value, said))
    if not parts and _MESSAGE_KEYS.isdisjoint(value):  # a block where a message belongs
        parts = list(_block(value, 0))
        said = "tool" if any(part.type == "tool_result" for part in parts) else said
    return Message(
        role=said,
        parts=tuple(parts),
        name=as_text(value.get("name")),
        finish_reason=fold_finish_reason(finish),
    )


def _role(value: dict[str, Any], default: str) -> str:
    said = as_text(value.get("role"))
    if not said:  # LangChain says it by the type
        kind = as_text(value.get("type"))
        said = kind if kind in ROLES or kind in ("system", "user", "assistant", "tool") else ""
    said = ROLES.get(said, said)
    return default if said in ("", "unknown") else said


def _unwrapped(value: dict[str, Any]) -> dict[str, Any]:
    """The message inside LangChain's serialised forms."""
    for member in ("kwargs", "data"):
        inner = value.get(member)
        if isinstance(inner, dict) and ("lc" in value or member == "data") and "content" in inner:
            return {"type": value.get("type"), **inner}
    return value


def _message_parts(value: dict[str, Any], role: str) -> Iterator[Part]:
    if value.get("reasoning_content"):
        yield Part(type="reasoning", text=json_text(value["reasoning_content"]))
    body = value.get("parts")
    if body is None:
        body = value.get("content")
    said_id = value.get("id") if role == "tool" else None  # in log events it is the call's
    result_id = as_text(value.get("tool_call_id") or value.get("call_id") or said_id)
    parts = read_parts(body)
    if role == "tool" and result_id and all(part.type == "text" for part in parts):
        text = "\n".join(part.text for part in parts) if isinstance(body, list) else json_text(body)
        yield Part(type="tool_result", id=result_id, text=text, name=as_text(value.get("name")))
    else:
        yield from parts
    if value.get("refusal"):
        yield text_part(json_text(value["refusal"]))
    calls = value.get("tool_calls")
    if isinstance(calls, list):
        said = {part.id for part in parts if part.type == "tool_call" and part.id}
        for call in calls:
            part = _tool_call(call if isinstance(call, dict) else {"arguments": call})
            if part.id not in said:  # botocore repeats its blocks
                yield part
    if isinstance(value.get("function_call"), dict):
        yield _tool_call(value["function_call"])


def read_parts(value: Any) -> list[Part]:
    """Parts of a message body: a list of blocks, one block, JSON text of either, or text."""
    if value is None or value == "":
        return []
    if isinstance(value, str):
        return [text_part(value)]
    blocks = value if isinstance(value, list) else [value]
    return [part for block in blocks for part in _block(block, 0)]


def _first(block: dict[str, Any], keys: Iterable[str]) -> Any:
    return next((block[key] for key in keys if block.get(key) not in (None, "")), None)


def _block(block: Any, depth: int) -> Iterator[Part]:
    """The part of one block, and the media inside it."""
    if not isinstance(block, dict) or depth > NESTING_LIMIT:
        if block is not None:
            yield text_part(json_text(block))
        return
    said = as_text(block.get("type")).replace("-", "_")
    text = (block.get("content") or block.get("text")) if said == "text" else None
    if text and isinstance(text, str):
        yield text_part(text)  # nearly all
        return
    if not said:
        said = next((key for key in _KEYED_BLOCKS if isinstance(block.get(key), dict)), "text")
        block = block[said] if said in _KEYED_BLOCKS else block
        said = _KEYED_BLOCKS.get(said, said)
        if said == "text" and "text" not in block:
            said = next((kind for keys, kind in _SHAPES if keys <= block.keys()), said)
    kind = _KINDS.get(said, "other")
    if kind == "tool_call":
        yield _tool_call(block)
    elif kind == "tool_result":
        yield from _tool_result(block, depth)
    elif kind == "media":
        yield _media(block)
    else:
        yield from _text(block, kind, said, depth)


def _text(block: dict[str, Any], kind: str, said: str, depth: int) -> Iterator[Part]:
    value = _first(block, _TEXT_KEYS)
    if isinstance(value, list | dict):
        nested = value if isinstance(value, list) else [value]
        for item in nested:
            for part in _block(item, depth + 1):
                is_reasoning = kind == "reasoning" and part.type in ("text", "other")
                yield part.model_copy(update={"type": "reasoning"}) if is_reasoning else part
        return
    text = json_text(value)
    if value is None and kind != "reasoning" and not any(key in block for key in _TEXT_KEYS):
        text = json_text(block)  # no text of its own: keep what there is, unless it is a file
        text = text if len(text) <= UNKNOWN_BLOCK_MAX_CHARS else ""
    if kind == "reasoning":
        yield Part(type="reasoning", text=text)
    elif kind == "text":
        if text:
            yield text_part(text)
    else:
        yield Part(type="other", name=said, text=without_files(text))


def _tool_call(block: dict[str, Any]) -> Part:
    """A call by the model; its arguments as JSON text, whatever way they were sent."""
    function = block.get("function")
    inner = function if isinstance(function, dict) else block
    arguments = _first(inner, _ARGUMENT_KEYS)
    return Part(
        type="tool_call",
        id=as_text(_first(block, _ID_KEYS)),
        name=as_text(_first(inner, _NAME_KEYS)),
        text=without_files(json_text(arguments)),
    )


def _tool_result(block: dict[str, Any], depth: int) -> Iterator[Part]:
    origin = block.get("origin")
    if isinstance(origin, dict):  # Haystack keeps the call beside its result
        block = {**origin, **block}
    value = _first(block, _RESULT_KEYS)
    media: list[Part] = []
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        nested = [part for item in value for part in _block(item, depth + 1)]
        media = [part for part in nested if part.type == "media"]
        value = "\n".join(part.text for part in nested if part.type != "media")
    yield Part(
        type="tool_result",
        id=as_text(_first(block, _ID_KEYS)),
        name=as_text(_first(block, _NAME_KEYS)),
        text=without_files(json_text(value)),
    )
    yield from media


def _media(block: dict[str, Any]) -> Part:
    """A reference to media: its address unless it is a data URL, and its type."""
    inner: Any = block
    for key in ("image_url", "image", "source", "input_audio", "file", "audio"):
        if isinstance(inner.get(key), dict):
            inner = inner[key]
    uri = as_text(_first(inner, _URI_KEYS))
    mime_type = as_text(_first(inner, _MIME_KEYS) or _first(block, _MIME_KEYS))
    if uri.startswith("data:"):
        mime_type = mime_type or uri[5:].partition(";")[0].partition(",")[0]
        uri = ""
    modality = as_text(block.get("modality"))
    return Part(type="media", uri=uri, mime_type=mime_type, name=modality)


def plain_result(value: Any) -> str:
    """A tool's result as text, out of the text blocks that Bedrock's dialects wrap it in."""
    found = structured(value)
    if isinstance(found, list) and found:
        texts = [
            item["text"]
            for item in found
            if isinstance(item, dict) and item.keys() <= {"text", "type"} and "text" in item
        ]
        if len(texts) == len(found):
            return "\n".join(map(json_text, texts))
    return json_text(value)


def split_system(messages: tuple[Message, ...]) -> tuple[tuple[Part, ...], tuple[Message, ...]]:
    """System parts from the leading system messages, and the messages after them."""
    system: list[Part] = []
    for index, message in enumerate(messages):
        if message.role != "system":
            return tuple(system), messages[index:]
        system += message.parts
    return tuple(system), ()


def read_system(value: Any) -> tuple[Part, ...]:
    """System instructions: a list of parts, of messages, or plain text."""
    if value is None:
        return ()
    found = structured(value)
    if found is None:
        return (text_part(json_text(value)),) if value else ()
    blocks = found if isinstance(found, list) else [found]
    parts: list[Part] = []
    for block in blocks:
        is_message = isinstance(block, dict) and ("parts" in block or "role" in block)
        parts += read_message(block, "system").parts if is_message else read_parts(block)
    return tuple(parts)


def read_tools(value: Any) -> tuple[str, ...]:
    """Tool definitions, JSON text each, from a list of mappings or of JSON texts."""
    if value is None:
        return ()
    found = structured(value)
    listed = found if isinstance(found, list) else [found] if found else []
    return tuple(json_text(item) for item in listed if item)


def read_documents(value: Any) -> tuple[Document, ...]:
    """Retrieved documents from a list of mappings (id, score, text under its usual names)."""
    found = structured(value)
    if isinstance(found, dict):
        found = found.get("documents")
    return tuple(_document(item) for item in found) if isinstance(found, list) else ()


def _document(item: Any) -> Document:
    if not isinstance(item, dict):
        return Document(text=json_text(item))
    text = json_text(_first(item, ("content", "text", "page_content", "document", "chunk")))
    metadata = item.get("metadata")
    score = item.get("score")
    if score is None and isinstance(metadata, dict):
        score = metadata.get("score")
    number = float(score) if isinstance(score, int | float) and abs(score) < 1e300 else None
    return Document(text=text, id=as_text(item.get("id")), score=number)
