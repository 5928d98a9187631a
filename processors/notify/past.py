"""What the history of a partition says of its open alerts: who was told, and who was not yet.

The topic of deliveries is written before a transition's offset is committed and has its partition,
so that it is known here as it was known to the worker before, also while ClickHouse is away.
"""

from collections import defaultdict
from dataclasses import dataclass, field

from schemas.alert_records import AlertDelivery, AlertTransition, Outcome
from schemas.protocols import Message


@dataclass(slots=True)
class _Open:
    """By fingerprint, and by transition and receiver; what was delivered is not kept."""

    alerts: dict[str, tuple[AlertTransition, Message]] = field(default_factory=dict)
    untold: dict[tuple[str, str], Outcome] = field(default_factory=dict)


class Past:
    """Of the partitions that are being taken over."""

    def __init__(self) -> None:
        self._open: dict[int, _Open] = defaultdict(_Open)

    def recall(self, transition: AlertTransition, message: Message) -> None:
        """A transition, oldest first."""
        alerts = self._open[message.partition].alerts
        if transition.status == "firing":
            alerts[transition.fingerprint] = (transition, message)
        else:
            alerts.pop(transition.fingerprint, None)

    def recall_outcome(self, delivery: AlertDelivery, partition: int) -> None:
        """What became of one, oldest first."""
        untold = self._open[partition].untold
        key = (delivery.transition_id, delivery.receiver)
        if delivery.outcome == "delivered" or delivery.status != "firing":
            untold.pop(key, None)
        else:
            untold[key] = delivery.outcome

    def take(self, partition: int) -> list[tuple[AlertTransition, Message, dict[str, Outcome]]]:
        """Open alerts with the receivers that do not know of them, and why; then forget all."""
        found = self._open.pop(partition, _Open())
        told: dict[str, dict[str, Outcome]] = defaultdict(dict)
        for (transition_id, receiver), outcome in found.untold.items():
            told[transition_id][receiver] = outcome
        return [
            (transition, message, told[transition.transition_id])
            for transition, message in found.alerts.values()
            if transition.transition_id in told
        ]
