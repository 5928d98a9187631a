"""The journal: what a generator sent and what it got success for, one JSON line an event.

Events: ``{"sent": [span...]}`` before the first byte leaves, ``{"acked": [key...]}`` after the
success, and ``{"logged": [key...]}`` after the success of log records with these spans' content. A
generator that is killed has at worst sent spans that are not journalled as acked.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class SentSpan:
    """One span as it was sent.

    ``call`` says that it must show as exactly one row of ``v_calls`` (GenAI, and not a wrapper of
    another span); ``content_hash`` is SHA-256 hex of input text + NUL + output text, which come in
    log records if ``in_logs``.
    """

    trace_id: str
    span_id: str
    call: bool
    content_hash: str = ""
    in_logs: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """(trace id, span id)."""
        return self.trace_id, self.span_id


class JournalWriter:
    """Appends events; each is on disk (as far as this process can tell) before it returns."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)

    def sent(self, spans: Iterable[SentSpan]) -> None:
        """Write down spans before they are sent."""
        self._file.write(orjson.dumps({"sent": [asdict(span) for span in spans]}) + b"\n")

    def acked(self, keys: Iterable[tuple[str, str]]) -> None:
        """Write down that these spans got success."""
        self._file.write(orjson.dumps({"acked": list(keys)}) + b"\n")

    def logged(self, keys: Iterable[tuple[str, str]]) -> None:
        """Write down that the log records with these spans' content got success."""
        self._file.write(orjson.dumps({"logged": list(keys)}) + b"\n")

    def __enter__(self) -> "JournalWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()


@dataclass(frozen=True, slots=True)
class Journal:
    """A whole journal in memory."""

    sent: dict[tuple[str, str], SentSpan]
    acked: frozenset[tuple[str, str]]
    logged: frozenset[tuple[str, str]] = frozenset()


def _events(path: Path) -> Iterator[dict[str, list[Any]]]:
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):  # a torn last line was never relied on
                yield orjson.loads(line)


def read_journal(path: Path) -> Journal:
    """Read a journal file. Raises ``OSError`` if it cannot be read."""
    sent: dict[tuple[str, str], SentSpan] = {}
    acked: set[tuple[str, str]] = set()
    logged: set[tuple[str, str]] = set()
    for event in _events(path):
        for fields in event.get("sent", ()):
            span = SentSpan(**fields)
            sent[span.key] = span
        acked.update((str(key[0]), str(key[1])) for key in event.get("acked", ()))
        logged.update((str(key[0]), str(key[1])) for key in event.get("logged", ()))
    return Journal(sent, frozenset(acked), frozenset(logged))
