"""Transitions as they were written, against those of an undisturbed evaluator."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.alert_records import NOT_EVALUATED, WATCHDOG, AlertTransition
from schemas.config import Config
from schemas.encoding import decode_batch
from schemas.topics import ALERT_TRANSITIONS
from tests.faults.alert_story import Key, key_of
from tests.stack.line import messages

Expected = Mapping[Key, AlertTransition]


@dataclass(slots=True)
class Written:
    """What the topic holds, by what it tells."""

    records: int = 0
    ids: dict[Key, set[str]] = field(default_factory=lambda: defaultdict(set))
    ends: dict[Key, set[int | None]] = field(default_factory=lambda: defaultdict(set))

    def take(self, one: AlertTransition) -> None:
        """A record of the topic. What fires for days is there once a day, and is one transition."""
        self.records += 1
        self.ids[key_of(one)].add(one.transition_id)
        self.ends[key_of(one)].add(one.ends_at_ns)

    @property
    def two_ids(self) -> list[Key]:
        """Transitions with more than one id."""
        return [key for key, ids in self.ids.items() if len(ids) > 1]

    @property
    def again(self) -> int:
        """Records beyond the first of each transition."""
        return self.records - len(self.ids)

    def problems(self, expected: Expected) -> list[str]:
        """What is missing, too much, or told in two ways."""
        due, told = expected.keys(), self.ids.keys()
        return [
            *(f"lost {named(expected[key])}" for key in due - told),
            *(f"without reason {key}" for key in told - due),
            *(f"two ids {key}" for key in self.two_ids),
            *(
                f"ends otherwise {named(expected[key])}: {sorted(map(str, self.ends[key]))}"
                for key in due & told
                if self.ends[key] != {expected[key].ends_at_ns}
            ),
        ]


def written(config: Config) -> Written:
    """Everything on the topic but the alerts about alerts."""
    found = Written()
    for message in asyncio.run(messages(config, ALERT_TRANSITIONS.name)):
        for one in decode_batch(AlertTransition, message.value):
            if one.rule not in (WATCHDOG, NOT_EVALUATED):
                found.take(one)
    return found


def named(transition: AlertTransition) -> str:
    """A transition for people."""
    service = transition.labels.get("service_name", "")
    start_s = transition.starts_at_ns // 1_000_000_000
    return f"{transition.rule} {service} {transition.status} {start_s}"
