"""What replayed rules would have told, and whom: receivers by their matchers, inhibition, flapping.

Reminders and silences are left out: the one repeats what was told, the other was somebody's answer
to it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby

from processors.notify.quiet import Quiet
from processors.runtime.clock import SystemClock
from processors.watch.replay import Told
from processors.watch.timed_alerts import NS_PER_S
from schemas.alert_records import AlertTransition
from schemas.config import Config, NotifyConfig
from schemas.matchers import parse
from schemas.receivers import AlertmanagerReceiver, Receiver

FLAP_NS = 3600 * NS_PER_S
NOBODY = "nobody"


def takers(notify: NotifyConfig, transition: AlertTransition) -> list[Receiver]:
    """Receivers that take a rule's transition; the fallback where nobody else does."""
    labels = {**transition.labels, "tenant": transition.tenant}
    taking = [
        receiver
        for receiver in notify.receivers
        if all(parse(text).holds(labels) for text in receiver.matchers)
        and (receiver.name != notify.fallback or receiver.matchers)
    ]
    return taking or [one for one in notify.receivers if one.name == notify.fallback]


@dataclass(slots=True)
class Story:
    """Lines by time, and counts: alerts fired and come back by rule, sent by receiver."""

    lines: list[str] = field(default_factory=list)
    fired: Counter[str] = field(default_factory=Counter)
    flaps: Counter[str] = field(default_factory=Counter)
    """Fired again within an hour of their end."""
    sent: Counter[str] = field(default_factory=Counter)


def told_story(config: Config, told: Iterable[Told]) -> Story:
    """Go through transitions of any rules in the order of their times."""
    return _Telling(config).story(sorted(told, key=lambda one: one.at_ns))


class _Telling:
    def __init__(self, config: Config) -> None:
        self._notify = config.notify
        self._story = Story()
        self._open: dict[str, AlertTransition] = {}
        self._ended_ns: dict[str, int] = {}
        self._told: set[tuple[str, str]] = set()
        """(receiver, alert) whose beginning was sent."""
        self._held: dict[str, list[str]] = {}
        """By alert, receivers that it is held back from."""
        self._quiet = Quiet(
            config.clickhouse,
            config.notify.inhibit,
            SystemClock(),
            lambda: list(self._open.values()),
        )

    def story(self, told: Sequence[Told]) -> Story:
        for at_ns, together in groupby(told, key=lambda one: one.at_ns):
            changes = [one.transition for one in together]
            for transition in changes:
                self._count(at_ns, transition)
            for transition in changes:
                self._line(at_ns, transition, ", ".join(self._sent(at_ns, transition)) or NOBODY)
            self._release(at_ns)
        self._quiet.close()
        return self._story

    def _count(self, at_ns: int, transition: AlertTransition) -> None:
        mark = transition.fingerprint
        if transition.status == "resolved":
            self._open.pop(mark, None)
            self._ended_ns[mark] = at_ns
            return
        self._open[mark] = transition
        self._story.fired[transition.rule] += 1
        ended_ns = self._ended_ns.get(mark)
        if ended_ns is not None and at_ns - ended_ns < FLAP_NS:
            self._story.flaps[transition.rule] += 1

    def _sent(self, at_ns: int, transition: AlertTransition) -> list[str]:
        """Names of who hears of it now, and of who does not and why."""
        mark = transition.fingerprint
        said = []
        for receiver in takers(self._notify, transition):
            key = (receiver.name, mark)
            if transition.status == "resolved":
                if key in self._told:  # the end is told only where the beginning was
                    self._told.discard(key)
                    said.append(self._send(receiver.name))
                continue
            if reason := self._held_by(at_ns, receiver, transition):
                self._held.setdefault(mark, []).append(receiver.name)
                said.append(f"not yet {receiver.name}: {reason}")
                continue
            self._told.add(key)
            said.append(self._send(receiver.name))
        if transition.status == "resolved":
            self._held.pop(mark, None)
        return said

    def _held_by(self, at_ns: int, receiver: Receiver, transition: AlertTransition) -> str:
        """Why it is held back; empty if it is not. Alertmanagers inhibit by rules of their own."""
        if isinstance(receiver, AlertmanagerReceiver):
            return ""
        held = self._quiet.holds(transition, at_ns)
        if held is None:
            return ""
        source = self._open.get(held.reason)
        return f"{held.outcome} by {source.rule if source else held.reason}"

    def _release(self, at_ns: int) -> None:
        """What no longer is held back and still fires is told."""
        for mark, names in list(self._held.items()):
            transition = self._open[mark]
            if self._quiet.holds(transition, at_ns) is None:
                del self._held[mark]
                self._told.update((name, mark) for name in names)
                said = ", ".join(map(self._send, names))
                self._line(at_ns, transition, said)

    def _send(self, name: str) -> str:
        self._story.sent[name] += 1
        return name

    def _line(self, at_ns: int, transition: AlertTransition, said: str) -> None:
        moment = datetime.fromtimestamp(at_ns // NS_PER_S, UTC)
        labels = [
            f'{name}="{text}"' for name, text in transition.labels.items() if name != "alertname"
        ]
        value = [] if transition.value is None else [f"{transition.value:.3g}"]
        words = (f"{moment:%F %T}", transition.status, transition.rule, *labels, *value)
        self._story.lines.append(f"{' '.join(words)} tenant={transition.tenant} -> {said}")
