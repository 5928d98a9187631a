"""The oracle: reads ClickHouse as an analyst would, and compares with the journal.

For every span that got success: one row in ``otel_traces``; if it is a GenAI call, one in
``v_calls`` with its content's hash and one ``operation`` row per active evaluator of every call,
in some state, in ``v_verdicts``; or a dead letter that names it, of a stage that the row needs:
one of ``evaluate`` explains that a verdict is missing, never a span. *Lost* is a missing one,
*duplicate* one that is visible twice, *phantom* a row of a span that was never sent.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from schemas.dead_letters import PART_ERROR_CLASS
from schemas.evaluators import EVERY_CALL
from schemas.topics import EVALUATIONS
from stack.verify.journal import Journal, SentSpan

Key = tuple[str, str]
POLL_S = 1.0
PAUSE_RATIO = 9.0
"""Pause after a comparison over the time it took."""
WITHHELD = "withheld"
EVALUATORS = tuple(str(evaluator) for evaluator in EVERY_CALL)

SPANS_SQL = "SELECT TraceId, SpanId, '' FROM otel_traces WHERE ServiceName = {service:String}"
CALLS_SQL = (
    "SELECT trace_id, span_id, if(has(flags, 'redaction_failed'), 'withheld', content_hash) "
    "FROM v_calls WHERE service_name = {service:String}"
)
VERDICTS_SQL = (
    "SELECT trace_id, span_id, evaluator FROM v_verdicts WHERE service_name = {service:String} "
    "AND target = 'operation' AND evaluator = {evaluator:String}"
)
DEAD_SQL = (
    "SELECT DISTINCT trace_id, span_id, multiIf("  # noqa: S608 - our own constants
    "stage = 'traces', 'spans', "
    f"stage = 'operations' AND error_class = '{PART_ERROR_CLASS}', 'all', "
    f"stage = 'evaluate' OR origin_topic = '{EVALUATIONS.name}', 'verdicts', 'calls') "
    "FROM genai_dead_letters WHERE trace_id != ''"
)
"""Of each dead letter that names a span, what it explains the lack of: the span's row, everything
that is made of it (bytes that no stage can read), its verdicts, or the call with its verdicts."""


@dataclass(slots=True)
class Report:
    """What the oracle found. Each list holds readable items (ids only, never content)."""

    sent: int = 0
    acked: int = 0
    calls: int = 0
    dead: int = 0
    withheld: int = 0
    """Calls without their content because the redactor failed: by design, and to be seen."""
    lost: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    phantoms: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Nothing lost, nothing twice, nothing invented."""
        return not (self.lost or self.duplicates or self.phantoms)

    def summary(self) -> str:
        """One line with the counts."""
        return (
            f"sent={self.sent} acked={self.acked} calls={self.calls} dead_letters={self.dead} "
            f"lost={len(self.lost)} duplicates={len(self.duplicates)} "
            f"phantoms={len(self.phantoms)}"
        )


def _rows(client: Client, sql: str, service: str, **more: str) -> list[tuple[str, str, str]]:
    result = client.query(sql, parameters={"service": service, **more})
    return [(str(a), str(b), str(c)) for a, b, c in result.result_rows]


def _place(name: str, key: Key, detail: str = "") -> str:
    return f"{name}{'[' + detail + ']' if detail else ''} {key[0]}/{key[1]}"


def _count(
    report: Report,
    name: str,
    expected: Iterable[Key],
    seen: Counter[Key],
    sent: set[Key],
    detail: str = "",
) -> None:
    report.lost += [_place(name, key, detail) for key in expected if not seen[key]]
    report.duplicates += [_place(name, key, detail) for key, n in seen.items() if n > 1]
    report.phantoms += [_place(name, key, detail) for key in seen if key not in sent]


def check(client: Client, journal: Journal, service: str) -> Report:
    """Compare once, now. Raises clickhouse-connect's errors when the database is away."""
    sent = set(journal.sent)
    letters: dict[str, set[Key]] = {"spans": set(), "all": set(), "calls": set(), "verdicts": set()}
    for trace_id, span_id, explained in _rows(client, DEAD_SQL, service):
        letters[explained].add((trace_id, span_id))
    dead = set().union(*letters.values())
    spans = Counter((a, b) for a, b, _ in _rows(client, SPANS_SQL, service))
    calls = _rows(client, CALLS_SQL, service)

    living_spans = journal.acked - letters["all"] - letters["spans"]
    acked_calls = {key for key in journal.acked if journal.sent[key].call}
    living_calls = acked_calls - letters["all"] - letters["calls"]
    judged = living_calls - letters["verdicts"]
    report = Report(
        sent=len(sent), acked=len(journal.acked), calls=len(living_calls), dead=len(dead & sent)
    )
    _count(report, "otel_traces", living_spans, spans, sent)
    _count(report, "v_calls", living_calls, Counter((a, b) for a, b, _ in calls), sent)
    for trace_id, span_id, content_hash in calls:
        span = journal.sent.get((trace_id, span_id))
        if content_hash == WITHHELD:
            report.withheld += 1
        elif span is not None and _content_due(span, journal) and span.content_hash != content_hash:
            report.lost.append(_place("v_calls", (trace_id, span_id), "content"))
    for evaluator in EVALUATORS:
        # One at a time: all at once can be more rows than a result may have.
        verdicts = _rows(client, VERDICTS_SQL, service, evaluator=evaluator)
        seen = Counter((a, b) for a, b, _ in verdicts)
        _count(report, "v_verdicts", judged, seen, sent, evaluator)
    return report


def _content_due(span: SentSpan, journal: Journal) -> bool:
    """Whether all requests that bring the call's content got success."""
    if span.in_logs:
        return span.key in journal.logged
    return bool(span.content_hash)


def check_until_settled(
    client: Client,
    read: Callable[[], Journal],
    service: str,
    wait_s: float,
    on_poll: Callable[[Report], None] = lambda _: None,
) -> Report:
    """Poll until nothing is missing or ``wait_s`` is over; return the last comparison.

    Late arrivals are normal while stages work through their lag; duplicates and phantoms are
    counted at the end only. A comparison of many spans takes the processor time that the stages
    need, so that the pause grows with it.
    """
    deadline = time.monotonic() + wait_s
    while True:
        began = time.monotonic()
        try:
            report = check(client, read(), service)
        except ClickHouseError:
            if time.monotonic() > deadline:
                raise
        else:
            on_poll(report)
            if not report.lost or time.monotonic() > deadline:
                return report
        time.sleep(max(POLL_S, PAUSE_RATIO * (time.monotonic() - began)))
