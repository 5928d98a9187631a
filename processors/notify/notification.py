"""What a receiver is told at once: one alert's transition, or those of a group. Pure.

``key`` is the idempotency key: a transition's own id, or for a group the hash of receiver, group
and the ids of the transitions that are new, so that the same flush has the same key whoever makes
it. Alerts of the group that go on firing are said too, since whoever reads it asks what is on now.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from schemas.alert_records import AlertTransition
from schemas.identity import text_hash
from sql.evidence import Excerpt

SUMMARIES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Group:
    """Alerts of one tenant that a receiver is told of together, by the values of some labels."""

    tenant: str
    labels: tuple[tuple[str, str], ...]

    @staticmethod
    def of(transition: AlertTransition, names: Sequence[str]) -> "Group":
        """The group of an alert; a label that is not there is the empty string."""
        said = {**transition.labels, "tenant": transition.tenant}
        return Group(transition.tenant, tuple((name, said.get(name, "")) for name in names))

    @property
    def text(self) -> str:
        """Alertmanager's way to name a group."""
        inner = ", ".join(f'{name}="{value}"' for name, value in self.labels)
        return f"{self.tenant}/{{{inner}}}"

    def key(self, receiver: str) -> str:
        """Identity of the group at a receiver, for as long as both are configured alike."""
        return text_hash("group", receiver, self.text)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is shown of an alert's data: redacted excerpts, and a PNG."""

    excerpts: tuple[Excerpt, ...] = ()
    picture: bytes | None = None


NONE = Evidence()


@dataclass(frozen=True, slots=True)
class Notification:
    """``transitions`` are never empty; those of a group that are new come first."""

    key: str
    transitions: tuple[AlertTransition, ...]
    group: Group | None = None
    group_key: str = ""
    reminder: bool = False
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    """By transition id."""

    def evidence_of(self, transition: AlertTransition) -> Evidence:
        """What is shown of one of its alerts."""
        return self.evidence.get(transition.transition_id, NONE)

    @property
    def first(self) -> AlertTransition:
        """The only transition, outside a group."""
        return self.transitions[0]

    @property
    def status(self) -> Literal["firing", "resolved"]:
        """Resolved once nothing that is said fires."""
        return "firing" if self.firing else "resolved"

    @property
    def firing(self) -> tuple[AlertTransition, ...]:
        """Transitions of alerts that fire."""
        return tuple(one for one in self.transitions if one.status == "firing")

    @property
    def common_labels(self) -> dict[str, str]:
        """Labels that all alerts share."""
        return common_items([{**one.labels, "tenant": one.tenant} for one in self.transitions])


def alone(transition: AlertTransition, reminder: bool = False) -> Notification:
    """One alert by itself."""
    return Notification(transition.transition_id, (transition,), reminder=reminder)


def together(
    receiver: str,
    group: Group,
    new: Sequence[AlertTransition],
    others: Sequence[AlertTransition] = (),
    reminder: bool = False,
) -> Notification:
    """A group's flush: what is new, firing before resolved, then what goes on firing."""
    mark = group.key(receiver)
    ids = sorted(one.transition_id for one in new)
    ordered = sorted(new, key=lambda one: (one.status, one.starts_at_ns, one.transition_id))
    also = sorted(others, key=lambda one: (one.starts_at_ns, one.transition_id))
    return Notification(text_hash(mark, *ids), (*ordered, *also), group, mark, reminder)


def headline(notification: Notification) -> str:
    """One line: status, and the rule's summary or name; of a group how many, and of what."""
    if notification.group is None:
        return f"[{notification.status.upper()}] {summary(notification.first)}"
    firing = len(notification.firing)
    resolved = len(notification.transitions) - firing
    counts = [f"FIRING {firing}"] * bool(firing) + [f"RESOLVED {resolved}"] * bool(resolved)
    said = list(dict.fromkeys(map(summary, notification.transitions)))
    more = len(said) - SUMMARIES_SHOWN
    named = "; ".join(said[:SUMMARIES_SHOWN]) + (f" and {more} more" if more > 0 else "")
    return f"[{', '.join(counts)}] {named}"


def summary(transition: AlertTransition) -> str:
    """The rule's summary, or its name, in one line."""
    return " ".join((transition.annotations.get("summary") or transition.rule).split())


def quotations(excerpts: Sequence[Excerpt]) -> str:
    """A line an excerpt: which verdict, and the text."""
    return "\n".join(
        f"{one.trace_id} {one.evaluator} {one.target} {one.score:.3g}: {' '.join(one.text.split())}"
        for one in excerpts
    )


def common_items(many: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """What all of them say; ``many`` is not empty."""
    first, *others = many
    return {
        name: value
        for name, value in first.items()
        if all(other.get(name) == value for other in others)
    }
