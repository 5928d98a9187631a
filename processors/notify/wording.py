"""What people read of one transition: facts and paragraphs.

Pure. The order is that of the questions of whoever was woken: since when, how bad, where to look,
what to do first. Texts come from the rule; what users or models said is quoted only as excerpts
that the receiver asked for.
"""

from collections.abc import Sequence

from processors.notify.encoding import rfc3339
from processors.notify.notification import Evidence, Notification, quotations, summary
from schemas.alert_records import SAFE_INTERVAL, AlertTransition
from sql.evidence import Excerpt

TRACE_IDS_SHOWN = 5
FIRST_STEPS = "first_steps"
ALERTS_SHOWN = 50
"""Of a group, in a text of any length."""
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


def alert_title(transition: AlertTransition, notification: Notification) -> str:
    """Of an alert in a group; what is about one alert has its headline."""
    if notification.group is None:
        return ""
    return f"[{transition.status.upper()}] {summary(transition)}"


def alert_texts(transition: AlertTransition, shown: Evidence) -> list[tuple[str, str]]:
    """Paragraphs of an alert that fires; its end needs none."""
    return paragraphs(transition, shown.excerpts) if transition.status == "firing" else []


def plain_text(notification: Notification) -> str:
    """The whole notification but for its headline."""
    shown = notification.transitions[:ALERTS_SHOWN]
    texts = [_plain(one, notification) for one in shown]
    more = len(notification.transitions) - len(shown)
    return "\n".join(texts) + (f"\nand {more} more\n" if more else "")


def _plain(transition: AlertTransition, notification: Notification) -> str:
    title = alert_title(transition, notification)
    lines = [f"{name}: {value}" for name, value in facts(transition).items()]
    texts = alert_texts(transition, notification.evidence_of(transition))
    said = [(f"{name}\n{text}" if name else text) for name, text in texts]
    return "\n\n".join([*([title] if title else []), "\n".join(lines), *said]) + "\n"
