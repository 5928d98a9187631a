"""What people read: one transition as a headline and lines of text.

Pure. The order is that of the questions of whoever was woken: what, since when, how bad, where to
look, what to do first. Texts come from the rule; nothing here quotes what users or models said.
"""

from processors.notify.encoding import rfc3339
from schemas.alert_records import AlertTransition

TRACE_IDS_SHOWN = 5
FIRST_STEPS = "first_steps"
_SAID_FIRST = ("summary", "description", FIRST_STEPS)
"""Annotations with a place of their own; the others follow in the rule's order."""


def facts(transition: AlertTransition) -> dict[str, str]:
    """Names and values, in order; those without a value are left out."""
    worst = "" if transition.value is None else f"{transition.value:.3g}"
    named = ", ".join(transition.trace_ids[:TRACE_IDS_SHOWN])
    left = len(transition.trace_ids) - TRACE_IDS_SHOWN
    said = {
        "since": rfc3339(transition.starts_at_ns),
        "until": "" if transition.ends_at_ns is None else rfc3339(transition.ends_at_ns),
        "value": worst,
        "count": str(transition.count),
        "tenant": transition.tenant,
        **{k: v for k, v in sorted(transition.labels.items()) if k != "alertname"},
        "traces": named + (f" and {left} more" if left > 0 else ""),
    }
    return {name: value for name, value in said.items() if value}


def paragraphs(transition: AlertTransition) -> list[tuple[str, str]]:
    """(title, text) of the rule's annotations: description, first steps, then the others."""
    said = transition.annotations
    first = [("", said.get("description", "")), ("First steps", said.get(FIRST_STEPS, ""))]
    others = [(name, text) for name, text in said.items() if name not in _SAID_FIRST]
    return [(title, text.strip()) for title, text in first + others if text.strip()]
