"""Fragments to test with."""

from collections.abc import Sequence
from typing import Any

from schemas.identity import fragment_id
from schemas.records import Call, Content, Document, Fragment, Message, Part, Usage

TENANT = "acme"
TRACE = "0af7651916cd43dd8448eb211c80319c"
SECOND_NS = 1_000_000_000
BASE_NS = 1_767_225_600 * SECOND_NS


def span_id(number: int) -> str:
    return f"{number:016x}"


def text_message(role: str, text: str) -> Message:
    return Message(role=role, parts=(Part(type="text", text=text),))


def chat_content(prompt: str = "", answer: str = "") -> Content:
    return Content(
        input=(text_message("user", prompt),) if prompt else (),
        output=(text_message("assistant", answer),) if answer else (),
    )


def span(
    number: int,
    *,
    parent: int | None = None,
    kind: str = "chat",
    start_s: float = 0.0,
    end_s: float = 1.0,
    model: str = "gpt-4o",
    usage: tuple[int, int] | None = (10, 5),
    content: Content | None = None,
    wraps: bool = False,
    awaits_log: bool = False,
    duplicate_of: int | None = None,
    status: str = "unset",
    trace_id: str = TRACE,
    salt: str = "",
    **said: Any,
) -> Fragment:
    content = content or Content()
    call = Call.model_validate(
        {
            "dialect": "otel_genai",
            "kind": kind,
            "request_model": model if kind in ("chat", "embeddings") else "",
            "start_ns": BASE_NS + round(start_s * SECOND_NS),
            "end_ns": BASE_NS + round(end_s * SECOND_NS),
            "status": status,
            "content_state": "captured" if content.parts() else "not_captured",
            **said,
        }
    )
    if usage is not None:
        told = Usage(input_tokens=usage[0], output_tokens=usage[1])
        call = call.model_copy(update={"usage": told})
    draft = Fragment(
        tenant=TENANT,
        trace_id=trace_id,
        span_id=span_id(number),
        fragment_id="",
        signal="span",
        parent_span_id="" if parent is None else span_id(parent),
        day="2026-01-01",
        time_ns=call.start_ns,
        call=call,
        content=content,
        wraps=wraps,
        awaits_log=awaits_log,
        duplicate_of="" if duplicate_of is None else span_id(duplicate_of),
    )
    return named(draft, salt)


def log(
    number: int, content: Content, at_s: float = 0.5, trace_id: str = TRACE, **said: str
) -> Fragment:
    return named(
        Fragment(
            tenant=TENANT,
            trace_id=trace_id,
            span_id=span_id(number),
            fragment_id="",
            signal="log",
            day="2026-01-01",
            time_ns=BASE_NS + round(at_s * SECOND_NS),
            said=said,
            content=content,
        )
    )


def retrieval(number: int, texts: Sequence[str], *, end_s: float, parent: int = 1) -> Fragment:
    documents = tuple(Document(text=text, id=f"doc-{i}") for i, text in enumerate(texts))
    return span(
        number,
        parent=parent,
        kind="retrieval",
        end_s=end_s,
        usage=None,
        content=Content(documents=documents),
    )


def tool(number: int, result: str, *, end_s: float, parent: int = 1, name: str = "") -> Fragment:
    output = Message(role="tool", parts=(Part(type="tool_result", text=result),))
    content = Content(output=(output,))
    return span(
        number,
        parent=parent,
        kind="execute_tool",
        end_s=end_s,
        usage=None,
        content=content,
        tool_name=name,
    )


def named(fragment: Fragment, salt: str = "") -> Fragment:
    body = (salt + fragment.model_dump_json()).encode()
    identifier = fragment_id(fragment.signal, "span", fragment.trace_id, fragment.span_id, body)
    return fragment.model_copy(update={"fragment_id": identifier})
