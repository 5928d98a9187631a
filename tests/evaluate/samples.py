"""Operations and models that the evaluate tests share."""

from pathlib import Path
from typing import Any

from schemas.config import Config, EvaluateConfig
from schemas.records import Call, Content, Document, Evidence, Finding, Message, Operation, Part

TINY = EvaluateConfig(models_dir=Path(__file__).parent, model="tiny", device="cpu", threads=1)
TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


def tiny_config(**changes: Any) -> Config:
    """A configuration that runs the tiny model."""
    return Config(evaluate=TINY.model_copy(update=changes))


def text(role: str, *texts: str) -> Message:
    """A message of text parts."""
    return Message(role=role, parts=tuple(Part(type="text", text=t) for t in texts))


def operation(
    *,
    user: str = "",
    answer: str = "",
    documents: tuple[str, ...] = (),
    evidence: tuple[str, ...] = (),
    findings: tuple[Finding, ...] = (),
    content: Content | None = None,
    fragments: tuple[str, ...] = ("00000000000000aa",),
    **changes: Any,
) -> Operation:
    """A chat call; ``evidence`` comes from one other span each."""
    call = {"dialect": "otel", "kind": "chat", "start_ns": 1, "end_ns": 2, "service_name": "shop"}
    call |= {"response_model": "m-1", "content_state": "captured", **changes.pop("call", {})}
    made = content or Content(
        input=(text("user", user),) if user else (),
        output=(text("assistant", answer),) if answer else (),
        documents=tuple(Document(text=t) for t in documents),
    )
    fields: dict[str, Any] = {
        "tenant": "default",
        "trace_id": TRACE,
        "span_id": SPAN,
        "day": "2026-01-01",
        "revision": 1,
        "fragments": fragments,
        "call": Call(**call),
        "content": made,
        "findings": findings,
        "evidence": tuple(
            Evidence(span_id=f"{i + 1:016x}", part=f"document/{i}", text=t)
            for i, t in enumerate(evidence)
        ),
    }
    return Operation(**(fields | changes))
