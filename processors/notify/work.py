"""A transition that is to be told to a receiver."""

from dataclasses import dataclass

from processors.notify.routes import Route
from schemas.alert_records import AlertTransition
from schemas.protocols import Message


@dataclass(frozen=True, slots=True)
class Work:
    """A delivery to be made. ``replayed``: somebody sent a dead letter's message again."""

    route: Route
    transition: AlertTransition
    message: Message
    replayed: bool = False
    reminder: bool = False
    """Told before: no dead letter, no record."""

    @property
    def alert(self) -> tuple[str, str]:
        """Receiver and alert."""
        return self.route.name, self.transition.fingerprint
