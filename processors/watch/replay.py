"""What a timed rule would have fired over the data that is stored. Nothing is written."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from processors.watch.timed_alerts import NS_PER_S, TimedAlerts
from processors.watch.view_reader import ViewReader
from schemas.alert_records import AlertTransition
from schemas.rules import QueryRule, StreamRule, TimedRule

EVALUATIONS_MAX = 20_000
"""Of one rule: more are a mistyped time."""
FLAP_NS = 3600 * NS_PER_S


@dataclass(slots=True)
class Story:
    """What one rule did: a line for each transition, alerts fired, those that came back soon."""

    lines: list[str] = field(default_factory=list)
    fired: int = 0
    flaps: int = 0
    ended_ns: dict[str, int] = field(default_factory=dict)

    def tell(self, transition: AlertTransition) -> None:
        """Count a transition."""
        moment_ns = transition.ends_at_ns or transition.starts_at_ns
        if transition.status == "firing":
            self.fired += 1
            ended_ns = self.ended_ns.get(transition.fingerprint)
            self.flaps += ended_ns is not None and moment_ns - ended_ns < FLAP_NS
        else:
            self.ended_ns[transition.fingerprint] = moment_ns
        moment = datetime.fromtimestamp(moment_ns // NS_PER_S, UTC)
        labels = " ".join(
            f'{name}="{text}"' for name, text in transition.labels.items() if name != "alertname"
        )
        value = "" if transition.value is None else f" {transition.value:.3g}"
        said = f"{moment:%F %T} {transition.status} {transition.rule} {labels}{value}"
        self.lines.append(f"{said} tenant={transition.tenant}")


async def replayed(reader: ViewReader, rule: TimedRule, from_s: int, to_s: int) -> Story:
    """Evaluate a rule at every time it would have been. Raises ``QueryError``, ``ValueError``."""
    story, alerts = Story(), TimedAlerts(rule)
    step_s = rule.interval_s
    first_s = -(-from_s // step_s) * step_s
    times = range(first_s, to_s + 1, step_s)
    if len(times) > EVALUATIONS_MAX:
        raise ValueError(f"{rule.alert}: {len(times)} evaluations are more than {EVALUATIONS_MAX}")
    for at_s in times:
        at_ns = at_s * NS_PER_S
        if not rule.watched(at_s):
            changes = alerts.pause(at_ns)
        elif isinstance(rule, QueryRule):
            changes = alerts.evaluate(at_ns, await reader.ask(rule, at_ns))
        elif isinstance(rule, StreamRule):
            (found,) = await reader.scan([(rule, alerts.open_sets)], at_ns)
            changes = alerts.evaluate(at_ns, found)
        else:
            raise TypeError(type(rule))
        for transition in changes:
            story.tell(transition)
    return story
