"""Receivers of alerts that note what they are told, and fail when told to."""

import contextlib
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

Outage = Literal["", "busy", "hang", "close"]
OUTAGES: tuple[Outage, ...] = ("busy", "hang", "close")
HANG_S = 4.0
"""Longer than the receiver's ``timeout_s``."""
TIMEOUT_S = 3.0
GROUPING: dict[str, object] = {
    "group_by": ["service_name"], "group_wait_s": 3, "group_interval_s": 2,
}  # fmt: skip
Key = tuple[str, str, str]
"""(fingerprint, status, start as RFC 3339) of a transition."""


@dataclass(slots=True)
class Inbox:
    """What one receiver took: for each transition the ``webhook-id`` of every time it came."""

    name: str
    grouping: bool = False
    """Is told what still fires with what is new: an alert comes again under other keys."""
    taken: dict[Key, list[str]] = field(default_factory=dict)
    order: list[Key] = field(default_factory=list)
    outage: Outage = ""
    refused: int = 0
    arriving: Callable[[], None] = lambda: None
    """Called when a request is read, before it is answered."""
    answered: Callable[[], None] = lambda: None
    """Called when an answer of success is written."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def repeats(self) -> int:
        """Deliveries beyond the first of each transition."""
        if self.grouping:
            return 0
        return sum(len(ids) - 1 for ids in self.taken.values())

    @property
    def other_keys(self) -> list[Key]:
        """Transitions that came under more than one key."""
        if self.grouping:
            return []
        return [key for key, ids in self.taken.items() if len(set(ids)) > 1]

    @property
    def ends_first(self) -> list[Key]:
        """Ends that came before their beginning."""
        first = {key: place for place, key in reversed(list(enumerate(self.order)))}
        return [
            key
            for key in self.taken
            if key[1] == "resolved"
            and first.get((key[0], "firing", key[2]), len(self.order)) > first[key]
        ]

    def take(self, key: str, body: bytes) -> None:
        """Note a delivery; the heartbeat is none."""
        with self._lock:
            for alert in json.loads(body)["alerts"]:
                place = (alert["fingerprint"], alert["status"], alert["startsAt"])
                self.taken.setdefault(place, []).append(key)
                self.order.append(place)


class Receivers:
    """One server on a free port of loopback; each inbox has a path of its name."""

    def __init__(self, *names: str, grouping: str) -> None:
        self.inboxes = {name: Inbox(name) for name in names}
        self.inboxes[grouping] = Inbox(grouping, grouping=True)
        inboxes = self.inboxes

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                inbox = inboxes[self.path.removeprefix("/")]
                inbox.arriving()
                if outage := inbox.outage:
                    inbox.refused += 1
                    self._fail(outage)
                    return
                # Noted before the answer, as a receiver that stores and then dies would.
                inbox.take(self.headers["webhook-id"], body)
                self._answer(200)
                inbox.answered()

            def _fail(self, outage: Outage) -> None:
                if outage == "busy":
                    self._answer(503, ("Retry-After", "1"))
                elif outage == "hang":
                    time.sleep(HANG_S)
                else:
                    self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True

            def _answer(self, status: int, *headers: tuple[str, str]) -> None:
                self.send_response(status)
                for name, value in (("Content-Length", "0"), *headers):
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.flush()

            def handle(self) -> None:
                with contextlib.suppress(OSError):  # whoever sent was killed
                    super().handle()

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def entries(self) -> list[dict[str, object]]:
        """Entries of ``notify.receivers``."""
        base = f"http://127.0.0.1:{self._server.server_port}"
        return [
            {"name": name, "url": f"{base}/{name}", "timeout_s": TIMEOUT_S}
            | (GROUPING if inbox.grouping else {})
            for name, inbox in self.inboxes.items()
        ]

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


def counted(inboxes: dict[str, Inbox]) -> Counter[str]:
    """Sums over receivers."""
    return Counter(
        taken=sum(len(one.taken) for one in inboxes.values()),
        repeats=sum(one.repeats for one in inboxes.values()),
        refused=sum(one.refused for one in inboxes.values()),
    )
