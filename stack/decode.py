"""OTLP files to operation records, by the code of the stages ``operations`` and ``assemble``.

For looking at what the line would make of an export: spans and log records of all files are read
together, as if all had arrived, so content in logs is joined and several spans of one call are
collapsed. No broker, no database, no clock: times are judged against the newest one in the files.
"""

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import orjson

from ingest.otlp import Decoded, OtlpError, decode
from ingest.signals import LOGS, SIGNALS, Signal
from processors.assemble.trace import TraceState
from processors.operations.redact import Redactor
from processors.operations.stage import Placed, items_of, read_item
from processors.prices.table import BUNDLED, PriceTable
from schemas.identity import NS_PER_MS
from schemas.protocols import PoisonError
from schemas.records import Evaluation, Fragment, Operation

GZIP_MAGIC = b"\x1f\x8b"
EVIDENCE_BYTES = 1 << 30
"""No bound in practice: a file is in memory anyway."""
SANE_NS = 4_102_444_800 * 10**9
"""2100: later times are no reference for others."""


class DecodeError(ValueError):
    """A file holds nothing readable; the text names the file and why."""


class Request(NamedTuple):
    """One export and the name of the file it was in."""

    name: str
    decoded: Decoded


@dataclass(slots=True)
class Decoding:
    """What the files hold. ``problems`` are lines for a person: which items were left out."""

    operations: list[Operation] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read_file(path: Path) -> Iterator[Request]:
    """The requests in one file: OTLP JSON (one request, a list, or one a line) or protobuf,
    either compressed with gzip or not.

    Raises :class:`DecodeError` after those that could be read, ``OSError``.
    """
    return read_bytes(path.read_bytes(), str(path))


def read_bytes(value: bytes, name: str) -> Iterator[Request]:
    """:func:`read_file` of bytes; ``name`` is for errors."""
    if value.startswith(GZIP_MAGIC):
        try:
            value = gzip.decompress(value)
        except (OSError, EOFError, zlib.error) as error:
            raise DecodeError(f"{name}: broken gzip: {error}") from None
    if not value.strip():
        raise DecodeError(f"{name}: empty")
    if value.lstrip()[:1] in (b"{", b"["):
        for text in _documents(value, name):
            for request in _json(text, name):
                yield Request(name, request)
    else:
        yield Request(name, _protobuf(value, name))


def _documents(value: bytes, name: str) -> Iterator[bytes]:
    """JSON requests of a file: a document, a list of them, or one a line."""
    try:
        found = orjson.loads(value)
    except orjson.JSONDecodeError:
        lines = [line.strip() for line in value.splitlines() if line.strip()]
        if all(line.startswith(b"{") and line.endswith(b"}") and len(line) > 1 for line in lines):
            yield from lines
        else:
            yield from _one_after_another(value)
        return
    if not isinstance(found, list):
        yield value
        return
    for item in found:
        if not isinstance(item, dict):
            raise DecodeError(f"{name}: a list must hold OTLP requests")
        yield orjson.dumps(item)


def _one_after_another(value: bytes) -> Iterator[bytes]:
    """Documents of several lines each. What is none, such as one cut off, comes as it is: the
    decoder repairs more than this parser, and says what is wrong."""
    text = value.decode("utf-8", "surrogateescape")
    parser = json.JSONDecoder(strict=False)
    start = 0
    while rest := text[start:].strip():
        start = len(text) - len(text[start:].lstrip())
        try:
            _, end = parser.raw_decode(text, start)
        except (ValueError, RecursionError):
            yield rest.encode("utf-8", "surrogateescape")
            return
        yield text[start:end].encode("utf-8", "surrogateescape")
        start = end


def _json(value: bytes, name: str) -> list[Decoded]:
    """A document may hold spans, log records or both."""
    names = {signal: (_camel(signal), signal.resources) for signal in SIGNALS}
    wanted = [s for s in SIGNALS if any(f'"{key}"'.encode() in value for key in names[s])]
    if not wanted:
        try:
            orjson.loads(value)
        except orjson.JSONDecodeError:
            raise DecodeError(f"{name}: no JSON, or cut off") from None
        raise DecodeError(f"{name}: no {' and no '.join(_camel(signal) for signal in SIGNALS)}")
    found: list[Decoded] = []
    for signal in wanted:
        try:
            found.append(decode(value, "json", signal))
        except OtlpError as error:
            raise DecodeError(f"{name}: {error.reason}") from None
    return found


def _camel(signal: Signal) -> str:
    head, *rest = signal.resources.split("_")
    return head + "".join(word.capitalize() for word in rest)


def _protobuf(value: bytes, name: str) -> Decoded:
    """Spans and log records have the same framing: what has ids where they belong decides."""
    tried: list[Decoded] = []
    reason = ""
    for signal in SIGNALS:
        try:
            tried.append(decode(value, "protobuf", signal))
        except OtlpError as error:
            reason = reason or error.reason
    if not tried:
        raise DecodeError(f"{name}: {reason}")
    spans = next((one for one in tried if one.signal is not LOGS and one.item_count), None)
    return spans or tried[-1]


def assemble(
    requests: Sequence[Request], redactor: Redactor, tenant: str, prices: PriceTable = BUNDLED
) -> Decoding:
    """Operations of all requests, in order of their start."""
    found = Decoding()
    reference_ms = max((_newest_ns(one.decoded) for one in requests), default=0) // NS_PER_MS
    traces: dict[str, TraceState] = {}
    for name, request in requests:
        item = f"{name}: {request.signal.item.replace('_', ' ')}"
        for rejected in request.rejected:
            found.problems.append(f"{item} {rejected.span_id or '?'}: {rejected.reason}")
        for placed in items_of(request):
            try:
                records = read_item(placed, request, tenant, reference_ms, redactor, prices)
                _take(records, traces, found)
            except Exception as error:  # as in the stage: one item's boundary
                found.problems.append(f"{item} {placed.item.span_id.hex() or '?'}: {_why(error)}")
    for state in traces.values():
        _conclude(state, found)
    found.operations.sort(key=lambda o: (o.call.start_ns, o.trace_id, o.span_id))
    return found


def _take(
    records: Iterable[Fragment | Evaluation], traces: dict[str, TraceState], found: Decoding
) -> None:
    for record in records:
        if isinstance(record, Fragment):
            key = (0, record.tenant, record.trace_id)
            traces.setdefault(record.trace_id, TraceState(key, evicted=False)).apply(record, 0.0)
        else:
            found.evaluations.append(record)


def _conclude(state: TraceState, found: Decoding) -> None:
    """The trace's operations."""
    for entry in state.spans.values():
        try:
            operation = state.operation(entry, EVIDENCE_BYTES)
        except Exception as error:
            found.problems.append(f"trace {state.key[2]}: {_why(error)}")
            continue
        if operation is not None:
            found.operations.append(operation)
    if lost := sum(entry.best is None for entry in state.spans.values()):
        found.problems.append(f"trace {state.key[2]}: log records of {lost} spans not at hand")


def _why(error: Exception) -> str:
    """Without what it was about: an error's text may hold content."""
    return error.reason if isinstance(error, PoisonError) else f"failed ({type(error).__name__})"


def _newest_ns(request: Decoded) -> int:
    return max((t for t in _times_ns(items_of(request)) if t < SANE_NS), default=0)


def _times_ns(items: Iterable[Placed]) -> Iterator[int]:
    for _, _, item, _ in items:
        for name in ("end_time_unix_nano", "time_unix_nano", "observed_time_unix_nano"):
            yield getattr(item, name, 0)
