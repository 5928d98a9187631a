"""Content made safe to carry: bounded, then redacted.

Fails closed: if redaction fails for any reason, all content of the span is withheld and the span
goes on without it, flagged.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from operator import is_
from typing import Any, TypeVar

import orjson

from processors.operations.attributes import FIELD_MAX_CHARS
from processors.operations.dialects.reading import NO_CONTENT
from processors.operations.redact import Redactor
from schemas.privacy import FINDINGS_MAX
from schemas.records import Content, ContentState, Document, Finding, Message, Part, Record

log = logging.getLogger(__name__)

TRUNCATED = "truncated"
"""Flag of a call some of whose texts were cut."""
CONTENT_MAX_BYTES = 4 << 20
"""Of one span's texts as JSON: the topic's limit is 8 MiB a message."""
TEXT_OVERHEAD_BYTES = 128
"""JSON around one text: bounds how many tiny parts a span may have."""
PARTS_MAX = CONTENT_MAX_BYTES // (4 * TEXT_OVERHEAD_BYTES)
CUT_BACK_CHARS = 512
"""A cut is moved back to white space within this, so as not to halve a value to be masked."""

_LABELS: dict[type[Record], tuple[str, ...]] = {
    Part: ("id", "name", "uri", "mime_type"),
    Message: ("role", "name", "finish_reason"),
    Document: ("id",),
}
"""Strings beside the texts: senders may write anything into them."""


@dataclass(slots=True)
class SafeContent:
    """Content that may leave the raw tier."""

    content: Content
    findings: tuple[Finding, ...]
    state: ContentState
    flags: list[str]


def make_safe(
    content: Content, state: ContentState, redactor: Redactor, tenant: str, trace_id: str
) -> SafeContent:
    """Bound and redact the content of one span."""
    if content is NO_CONTENT:
        return SafeContent(NO_CONTENT, (), state, [])
    try:
        bounded, truncated = bound(content)
        redacted, findings = redact_content(bounded, redactor, tenant, trace_id)
    except Exception as error:  # the privacy boundary: whatever went wrong, withhold the content
        log.error("content withheld: redaction failed with %s", type(error).__name__)
        return SafeContent(Content(), (), "dropped_by_policy", ["redaction_failed"])
    flags = [TRUNCATED] if truncated else []
    if len(findings) > FINDINGS_MAX:
        flags.append("findings_truncated")
    return SafeContent(redacted, tuple(findings[:FINDINGS_MAX]), state, flags)


Change = Callable[[str], str]


def map_texts(
    content: Content, change: Callable[[str, str], str], change_label: Change | None = None
) -> Content:
    """The content with ``change(path, text)`` applied to every text, tool definitions too, and
    ``change_label`` to the strings beside them. What stays as it is is not copied."""

    def part(path: str, item: Part) -> Part:
        more = _labels(item, change_label) if change_label else {}
        if item.text and (text := change(path, item.text)) != item.text:
            more["text"] = text
        return item.model_copy(update=more) if more else item

    def parts(prefix: str, items: tuple[Part, ...]) -> tuple[Part, ...]:
        return _kept(items, tuple([part(f"{prefix}/{i}", item) for i, item in enumerate(items)]))

    def message(path: str, item: Message) -> Message:
        more = _labels(item, change_label) if change_label else {}
        if (changed := parts(path, item.parts)) is not item.parts:
            more["parts"] = changed
        return item.model_copy(update=more) if more else item

    def messages(side: str, items: tuple[Message, ...]) -> tuple[Message, ...]:
        return _kept(items, tuple([message(f"{side}/{i}", item) for i, item in enumerate(items)]))

    def document(path: str, item: Document) -> Document:
        more = _labels(item, change_label) if change_label else {}
        if (text := change(path, item.text)) != item.text:
            more["text"] = text
        return item.model_copy(update=more) if more else item

    documents = [document(f"document/{i}", item) for i, item in enumerate(content.documents)]
    tools = [change(f"tool/{i}", text) for i, text in enumerate(content.tools)]
    changed: dict[str, Any] = {
        "system": parts("system", content.system),
        "input": messages("input", content.input),
        "output": messages("output", content.output),
        "documents": _kept(content.documents, tuple(documents)),
        "tools": _kept(content.tools, tuple(tools)),
    }
    same = all(getattr(content, side) is items for side, items in changed.items())
    return content if same else Content(**changed)


T = TypeVar("T")


def _kept(before: tuple[T, ...], after: tuple[T, ...]) -> tuple[T, ...]:
    """The items as they were where each is."""
    return before if all(map(is_, before, after)) else after


def _labels(item: Part | Message | Document, change: Change) -> dict[str, object]:
    """The record's labels that a change makes others."""
    found: dict[str, object] = {}
    for name in _LABELS[type(item)]:
        label = getattr(item, name)
        if label and (new := change(label)) != label:
            found[name] = new
    return found


def redact_content(
    content: Content, redactor: Redactor, tenant: str, trace_id: str
) -> tuple[Content, list[Finding]]:
    """Every text masked, with the findings in reading order; names, ids and links masked too."""
    findings: list[Finding] = []

    def mask(path: str, text: str) -> str:
        # Definitions of tools are on no side of the call: they have no findings.
        defines = path.startswith("tool/")
        masked, found = redactor.redact(text, tenant, trace_id, path, may_keep=not defines)
        if not defines:
            findings.extend(found)
        return masked

    def mask_label(text: str) -> str:
        return redactor.redact_attribute(text, tenant, trace_id)[:FIELD_MAX_CHARS]

    return map_texts(content, mask, mask_label), findings


# --- bounds --------------------------------------------------------------------------------------


def bound(content: Content) -> tuple[Content, bool]:
    """The content within :data:`CONTENT_MAX_BYTES`, and whether anything was cut.

    The longest texts are cut first, to one common length; of too many messages the newest stay.
    """
    if _is_small(content):
        return content, False
    fewer = Content(
        system=content.system[:PARTS_MAX],
        input=_newest(content.input),
        output=_newest(content.output),
        documents=content.documents[:PARTS_MAX],
        tools=content.tools[:PARTS_MAX],
    )
    cut = any(
        len(getattr(fewer, side)) < len(getattr(content, side)) for side in Content.model_fields
    )
    sizes = _sizes(fewer)
    if sum(sizes) <= CONTENT_MAX_BYTES:
        return fewer, cut
    longest = common_limit(sizes, CONTENT_MAX_BYTES)
    return map_texts(fewer, lambda _, text: shorten(text, longest)), True


def _is_small(content: Content) -> bool:
    """Whether nothing is beyond the bounds, even if JSON escapes every character to six bytes."""
    number = chars = 0
    for message in (*content.input, *content.output):
        number += 1 + len(message.parts)
        for part in message.parts:
            chars += len(part.text)
    texts = [
        *content.tools,
        *(p.text for p in content.system),
        *(d.text for d in content.documents),
    ]
    number, chars = number + len(texts), chars + sum(map(len, texts))
    return number <= PARTS_MAX and chars * 6 <= CONTENT_MAX_BYTES


def _sizes(content: Content) -> list[int]:
    texts = [text for _, text in content.parts()]
    return [encoded_bytes(text) for text in (*texts, *content.tools)]


def _newest(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    kept: list[Message] = []
    left = PARTS_MAX
    for message in reversed(messages):
        left -= 1 + len(message.parts)
        if left < 0:
            break
        kept.append(message)
    return messages if len(kept) == len(messages) else tuple(reversed(kept))


def encoded_bytes(text: str) -> int:
    """Bytes of the text in a JSON record."""
    return len(orjson.dumps(text))


def common_limit(sizes: list[int], total: int) -> int:
    """The largest limit to which each size must be cut so that their sum is within ``total``."""
    left = total
    ordered = sorted(sizes)
    for index, size in enumerate(ordered):
        share = left // (len(ordered) - index)
        if size > share:
            return share
        left -= size
    return total


def shorten(text: str, max_bytes: int) -> str:
    """The beginning of the text, within ``max_bytes`` as JSON, ending at white space if near."""
    size = encoded_bytes(text)
    if size <= max_bytes:
        return text
    while size > max_bytes:
        text = text[: len(text) * max_bytes // size] if max_bytes > 2 else ""
        size = encoded_bytes(text)
        if not text:
            return text
    tail = text[-CUT_BACK_CHARS:]
    white = max(tail.rfind(" "), tail.rfind("\n"))
    return text[: len(text) - len(tail) + white] if white > 0 else text
