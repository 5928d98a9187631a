"""What each receiver was told: bounded, and rebuilt from the history as far as it says.

A firing transition that a receiver refused, or that is held back, is *missed*: its end is not told
either, since nobody there knows of its beginning.
"""

from collections import OrderedDict

from schemas.alert_records import AlertTransition

IDS_MAX = 50_000
"""Transition ids of one receiver; older ones may be delivered twice."""


class DeliveryMemory:
    """Of all receivers of a worker."""

    def __init__(self, receivers: int) -> None:
        self._most = IDS_MAX * max(1, receivers)
        self._delivered: OrderedDict[tuple[str, str], bool] = OrderedDict()
        """True where this worker saw it; of the history it is only assumed."""
        self._missed: OrderedDict[tuple[str, str], int] = OrderedDict()

    def assume(self, receiver: str, transition: AlertTransition) -> None:
        """It lies before the committed offset: whoever had it dealt with it."""
        self._delivered.setdefault((receiver, transition.transition_id), False)
        self._bound()

    def note(self, receiver: str, transition: AlertTransition) -> None:
        """The receiver took it."""
        self._delivered[receiver, transition.transition_id] = True
        if transition.status == "firing":
            self._missed.pop((receiver, transition.fingerprint), None)
        self._bound()

    def miss(self, receiver: str, transition: AlertTransition) -> None:
        """The receiver did not get it."""
        self._delivered.pop((receiver, transition.transition_id), None)
        if transition.status == "firing":
            self._missed[receiver, transition.fingerprint] = transition.starts_at_ns
        self._bound()

    def has(self, receiver: str, transition: AlertTransition, replayed: bool) -> bool:
        """Whether it need not be told. What somebody replays is told again unless this worker knows
        better: it may be what the receiver had refused."""
        known = self._delivered.get((receiver, transition.transition_id))
        return known is True or (known is False and not replayed)

    def ends_unknown(self, receiver: str, transition: AlertTransition) -> bool:
        """Whether it is the end of what the receiver was never told."""
        begun_ns = self._missed.get((receiver, transition.fingerprint))
        return transition.status == "resolved" and begun_ns == transition.starts_at_ns

    def missed(self, receiver: str, transition: AlertTransition) -> bool:
        """Whether the receiver does not know of the alert."""
        begun_ns = self._missed.get((receiver, transition.fingerprint))
        return begun_ns == transition.starts_at_ns

    def _bound(self) -> None:
        while len(self._delivered) > self._most:
            self._delivered.popitem(last=False)
        while len(self._missed) > self._most:
            self._missed.popitem(last=False)
