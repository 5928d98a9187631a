"""A call in one line, for people and for machines; never anything that was said in it."""

from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.text import Text

from schemas.evaluators import State
from stack.printable import printable
from stack.tail.calls import SeenCall

_STYLES = {"page": "bold red", "warn": "yellow"}


def line(call: SeenCall) -> Text:
    """Time, service, dialect, kind and model, tokens, content, verdicts."""
    moment = datetime.fromtimestamp(call.end_ns / 1e9, UTC)
    text = Text.assemble(
        (f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03}", "dim"),
        "  ",
        (printable(call.service) or "(no service name)", "bold"),
        f"  {printable(call.dialect)}  ",
        (f"{printable(call.kind)} {printable(call.model)}".rstrip(), "cyan"),
    )
    if call.status == "error":
        text.append("  error", style="red")
    if call.input_tokens is not None or call.output_tokens is not None:
        text.append(f"  {call.input_tokens or 0:,} → {call.output_tokens or 0:,} tokens")
    style = "" if call.content_state == "captured" else "yellow"
    text.append(f"  content {call.content_state}", style=style)
    if call.again:
        text.append("  late verdict", style="dim")
    return text.append_text(_verdicts(call))


def _verdicts(call: SeenCall) -> Text:
    """Flagged ones with label and score; of the others how many."""
    text = Text()
    for verdict in call.flagged:
        score = "" if verdict.score is None else f" {verdict.score:.2f}"
        text.append("  ")
        text.append(f"{verdict.evaluator} {verdict.label}{score}", style=_STYLES.get(verdict.label))
    others = [verdict for verdict in call.verdicts.values() if not verdict.flagged]
    passed = sum(verdict.state == State.OK for verdict in others)
    if passed:
        text.append(f"  {passed} pass", style="green")
    if unjudged := Counter(
        verdict.reason or verdict.state for verdict in others if verdict.state != State.OK
    ):
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(unjudged.items()))
        text.append(f"  not judged: {reasons}", style="dim")
    if not call.verdicts:
        text.append("  no verdict yet", style="dim")
    return text


def as_json(call: SeenCall) -> dict[str, Any]:
    """Every field, and whether it is flagged."""
    fields = asdict(call)
    fields["verdicts"] = [
        {name: value for name, value in verdict.items() if name != "revision"}
        for verdict in fields["verdicts"].values()
    ]
    del fields["revision"]
    moment = datetime.fromtimestamp(call.end_ns / 1e9, UTC)
    return {
        "time": moment.isoformat(timespec="milliseconds"),
        **fields,
        "flagged": bool(call.flagged),
    }
