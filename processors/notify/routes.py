"""Receivers made ready: what sends to each, and what it takes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from processors.notify.alertmanager import AlertmanagerSender
from processors.notify.apprise_urls import AppriseSender
from processors.notify.email import EmailSender
from processors.notify.heartbeat import HeartbeatSender
from processors.notify.pagerduty import PagerDutySender
from processors.notify.slack import SlackSender
from processors.notify.webhook import WebhookSender
from schemas.alert_records import WATCHDOG, AlertTransition
from schemas.matchers import Matcher, parse
from schemas.protocols import Clock
from schemas.receivers import (
    AlertmanagerReceiver,
    AppriseReceiver,
    EmailReceiver,
    HeartbeatReceiver,
    PagerDutyReceiver,
    Receiver,
    SlackReceiver,
    WebhookReceiver,
)

_HEARTBEAT = {"alertname": WATCHDOG}
Sender = (
    WebhookSender
    | AlertmanagerSender
    | PagerDutySender
    | SlackSender
    | EmailSender
    | AppriseSender
    | HeartbeatSender
)
_SENDERS: Mapping[type[Receiver], Callable[[Any, Clock], Sender]] = {
    AlertmanagerReceiver: AlertmanagerSender,
    AppriseReceiver: AppriseSender,
    EmailReceiver: EmailSender,
    HeartbeatReceiver: HeartbeatSender,
    PagerDutyReceiver: PagerDutySender,
    SlackReceiver: SlackSender,
    WebhookReceiver: WebhookSender,
}


@dataclass(frozen=True, slots=True)
class Route:
    """A receiver and what it takes."""

    sender: Sender
    receiver: Receiver
    matchers: tuple[Matcher, ...]

    @property
    def name(self) -> str:
        """The receiver's."""
        return self.receiver.name

    @property
    def decides_itself(self) -> bool:
        """Whether silences, inhibition and repetition are the receiver's own, or no matter."""
        return isinstance(self.sender, AlertmanagerSender | HeartbeatSender)

    @property
    def wants_heartbeat(self) -> bool:
        """Whether the alert that always fires is for it."""
        named = any(
            one.name == "alertname" and one.operator in ("=", "=~") and one.holds(_HEARTBEAT)
            for one in self.matchers
        )
        return named or self.decides_itself

    def takes(self, transition: AlertTransition) -> bool:
        """Whether every matcher holds; ``tenant`` is matched like a label.

        The heartbeat is for Alertmanagers, for whoever names it, and alone for heartbeat receivers.
        """
        if transition.rule == WATCHDOG and not self.wants_heartbeat:
            return False
        if transition.rule != WATCHDOG and isinstance(self.sender, HeartbeatSender):
            return False
        labels = {**transition.labels, "tenant": transition.tenant}
        return all(matcher.holds(labels) for matcher in self.matchers)


def routes(receivers: Sequence[Receiver], clock: Clock) -> tuple[Route, ...]:
    """A route for each receiver. Raises ``ReceiverError`` or a secret file's error."""
    return tuple(
        Route(
            _SENDERS[type(receiver)](receiver, clock),
            receiver,
            tuple(map(parse, receiver.matchers)),
        )
        for receiver in receivers
    )
