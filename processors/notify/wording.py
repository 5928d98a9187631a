"""What people read of one transition: facts and paragraphs.

Pure. The order is that of the questions of whoever was woken: since when, how bad, where to look,
what to do first. Texts come from the rule; what users or models said is quoted only as excerpts
that the receiver asked for.
"""

from collections.abc import Sequence

from processors.notify.encoding import rfc3339
from processors.notify.notification import quotations
from schemas.alert_records import SAFE_INTERVAL, AlertTransition
from sql.evidence import Excerpt

TRACE_IDS_SHOWN = 5
FIRST_STEPS = "first_steps"
_SAID_FIRST = ("summary", "description", FIRST_STEPS, SAFE_INTERVAL)
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
        "safe": transition.annotations.get(SAFE_INTERVAL, ""),
        "count": str(transition.count),
        "tenant": transition.tenant,
        **{k: v for k, v in sorted(transition.labels.items()) if k != "alertname"},
        "traces": named + (f" and {left} more" if left > 0 else ""),
    }
    return {name: value for name, value in said.items() if value}


def paragraphs(
    transition: AlertTransition, excerpts: Sequence[Excerpt] = ()
) -> list[tuple[str, str]]:
    """(title, text): of the rule's annotations description and first steps, then excerpts,
    then the other annotations."""
    said = transition.annotations
    first = [("", said.get("description", "")), ("First steps", said.get(FIRST_STEPS, ""))]
    others = [(name, text) for name, text in said.items() if name not in _SAID_FIRST]
    quoted = ("Excerpts, redacted", quotations(excerpts))
    return [(title, text.strip()) for title, text in [*first, quoted, *others] if text.strip()]
