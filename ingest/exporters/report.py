"""What became of the items: counted for the application, and said in its log now and then."""

import logging
import threading
import time
from dataclasses import dataclass, field

from opentelemetry.metrics import MeterProvider, get_meter

log = logging.getLogger(__name__)

LOG_INTERVAL_S = 30.0
"""At most one log line in this time (and one a reason), however much is dropped."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Counts of spans or log records since the exporter was made, or its process forked."""

    acknowledged: int = 0
    """The broker has them."""
    dropped: dict[str, int] = field(default_factory=dict)
    """By reason: ``queue_full``, ``too_large``, ``unencodable``, ``shutdown``."""
    waiting: int = 0
    """In memory, not acknowledged yet."""
    waiting_bytes: int = 0
    last_error: str = ""
    """Name of the last error in sending; empty again once a message is acknowledged."""


class Report:
    """Thread-safe counts of one exporter, mirrored to OpenTelemetry's own exporter metric."""

    def __init__(self, item: str, meters: MeterProvider | None) -> None:
        """``item`` is ``span`` or ``log``, as in ``otel.sdk.exporter.span.exported``."""
        self._item = item
        self._attributes = {"otel.component.type": f"kafka_{item}_exporter"}
        self._exported = get_meter("streamgauge.exporters", meter_provider=meters).create_counter(
            f"otel.sdk.exporter.{item}.exported",
            unit="{span}" if item == "span" else "{log_record}",
            description="Items whose export has finished: acknowledged, or dropped (error.type)",
        )
        self.reset()

    def reset(self) -> None:
        """Begin anew, in the child of a fork."""
        self._lock = threading.Lock()
        self._acknowledged = 0
        self._dropped: dict[str, int] = {}
        self._last_error = ""
        self._silent_until_s = 0.0

    def acknowledged(self, items: int) -> None:
        """The broker has them."""
        with self._lock:
            self._acknowledged += items
            self._last_error = ""
        self._exported.add(items, self._attributes)

    def dropped(self, items: int, reason: str) -> None:
        """They are lost."""
        if not items:
            return
        with self._lock:
            if reason not in self._dropped:
                self._silent_until_s = 0.0  # a new reason is always said
            self._dropped[reason] = self._dropped.get(reason, 0) + items
        self._exported.add(items, self._attributes | {"error.type": reason})
        self._say()

    def failed(self, error: BaseException) -> None:
        """Something was not taken, and is kept for another try."""
        with self._lock:
            self._last_error = type(error).__name__
        self._say()

    def snapshot(self, waiting: int, waiting_bytes: int) -> Delivery:
        """The counts now."""
        with self._lock:
            dropped = dict(self._dropped)
            return Delivery(self._acknowledged, dropped, waiting, waiting_bytes, self._last_error)

    def _say(self) -> None:
        """One line with the totals, unless there was one a moment ago."""
        with self._lock:
            now_s = time.monotonic()
            if now_s < self._silent_until_s:
                return
            self._silent_until_s = now_s + LOG_INTERVAL_S
            acknowledged, dropped = self._acknowledged, dict(self._dropped)
            error = self._last_error or "none"
        # Outside the lock: a log handler may export in turn.
        log.warning(
            "Kafka %s exporter: last error %s, acknowledged %d, dropped %s",
            *(self._item, error, acknowledged, dropped or "none"),
        )
