"""One cycle of the writer: seal what is complete, rewrite what got late rows. Blocking.

For each table: the buckets from the last sealed one up to the watermark are computed and stored in
their order, and only then counted as sealed (``genai_progress``); every five minutes, buckets below
that with rows inserted since are computed again, whole. Every statement may run any number of
times, by any number of writers: windows replace by identity, the SELECT that began last wins.

Detectors run in :meth:`WindowWriter._judge`, after windows are stored and before the mark moves:
called again with the same buckets after a crash, in their order, and never with late ones.
The baselines that they compare with are computed at the end of a cycle, a few at a time.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from clickhouse_connect.driver.client import Client

from processors.watch.windows.admission import Candidate, Known, stream_rows
from processors.watch.windows.detecting import judge
from processors.watch.windows.embedding import judge_hours
from processors.watch.windows.fitting import MOST_AT_ONCE, fit_due
from processors.watch.windows.reporting import make_reports
from processors.watch.windows.watermark import Places, places_of, watermark
from schemas.config import Config
from schemas.identity import NS_PER_S
from schemas.metrics import WINDOW_LATE_ROWS, WINDOWS_SEALED
from schemas.streams import BUCKET_S, FAMILIES, OTHER, PROMPTS, STREAM_PLACE_S, Family
from sql.client import connect
from sql.late_rows import first_row_query, late_query
from sql.rule_scans import PROGRESS
from sql.tables import table
from sql.windows import (
    END,
    SETTINGS,
    bucket_of,
    candidates_query,
    windows_insert,
)

CHUNK_BUCKETS = 12
"""Buckets of one statement: an hour's rows fit its memory."""
OLDEST_S = 31 * 86_400
"""Windows further back are neither made nor rewritten."""
LOOK_EVERY_S = 300
FIT_EVERY_S = 300
"""Once nothing is due any more."""
OVERLAP_S = 60
"""A row may show this long after its ``inserted_at``."""
STATEMENT_SETTINGS = {**SETTINGS, "max_execution_time": 100}
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a table's windows are, s since 1970; 0 = nowhere yet."""

    sealed_s: int = 0
    read_s: int = 0


class WindowWriter:
    """Computes windows over one connection; used by one thread at a time, ended by any."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._client: Client | None = None
        self._ended = threading.Event()
        self._fitted_s = 0

    def end(self) -> None:
        """Begin no further statement."""
        self._ended.set()

    def cycle(self) -> None:
        """Compute what is due. Raises clickhouse-connect's errors; then nothing is half done."""
        try:
            if self._client is None:
                self._client = connect(self._config.clickhouse)
            now_s, places, marks = self._progress(self._client)
            for source in END:
                lateness_ns = round(self._config.watch.window_lateness_s * NS_PER_S)
                complete_ns = watermark(
                    source, places, self._config.kafka.partitions, now_s * NS_PER_S, lateness_ns
                )
                if complete_ns is not None:
                    mark = marks.get(source, Mark())
                    self._advance(self._client, source, mark, complete_ns // NS_PER_S, now_s)
            self._fit(self._client, now_s)
        except BaseException:
            self._client = None
            raise

    def _advance(
        self, client: Client, source: str, mark: Mark, complete_s: int, now_s: int
    ) -> None:
        """Seal up to the watermark, then look for late rows."""
        until_s = bucket_of(complete_s)
        oldest_s = bucket_of(now_s - OLDEST_S)
        mark = Mark(max(mark.sealed_s, oldest_s), mark.read_s or now_s)
        for buckets in self._chunks(self._from_first_row(client, source, mark.sealed_s, until_s)):
            mark = self._seal(client, source, buckets, mark, now_s)
        if mark.sealed_s < until_s and not self._ended.is_set():
            self._judge(client, source, (), mark.sealed_s, until_s, now_s)
            mark = Mark(until_s, mark.read_s)
            self._note(client, source, mark)
        WINDOWS_SEALED.labels(source).set(mark.sealed_s)
        if now_s - mark.read_s >= LOOK_EVERY_S:
            self._rewrite_late(client, source, mark, oldest_s, now_s)

    def _seal(
        self, client: Client, source: str, buckets: Sequence[int], mark: Mark, now_s: int
    ) -> Mark:
        self._write(client, source, buckets)
        until_s = buckets[-1] + BUCKET_S
        self._judge(client, source, buckets, mark.sealed_s, until_s, now_s)
        mark = Mark(until_s, mark.read_s)
        self._note(client, source, mark)
        return mark

    def _judge(
        self,
        client: Client,
        source: str,
        buckets: Sequence[int],
        from_s: int,
        until_s: int,
        now_s: int,
    ) -> None:
        """Detectors and reports over [from, until), of which ``buckets`` had rows.

        Of embeddings every hour that ends there, though its last windows may be empty.
        """
        ((began_ns,),) = _rows(client, "SELECT toUnixTimestamp64Nano(now64(9))")
        if source == PROMPTS.source:
            judge_hours(client, from_s, until_s, now_s, began_ns)
        elif buckets:
            judge(client, source, buckets, now_s, began_ns)
            make_reports(client, source, buckets, now_s)

    def _fit(self, client: Client, now_s: int) -> None:
        """Compute some of the baselines that are due; the rest in the next cycles."""
        if self._ended.is_set() or now_s - self._fitted_s < FIT_EVERY_S:
            return
        if fit_due(client, self._config.watch, now_s) < MOST_AT_ONCE:
            self._fitted_s = now_s

    def _rewrite_late(
        self, client: Client, source: str, mark: Mark, oldest_s: int, now_s: int
    ) -> None:
        given = {
            "since": mark.read_s - OVERLAP_S,
            "seen": mark.read_s,
            "oldest": oldest_s,
            "sealed": mark.sealed_s,
            "overlap": OVERLAP_S,
        }
        found = _rows(client, late_query(source), given)
        WINDOW_LATE_ROWS.labels(source).inc(sum(n for _, n in found))
        for buckets in self._chunks(bucket for bucket, _ in found):
            self._write(client, source, buckets)
        if not self._ended.is_set():
            self._note(client, source, Mark(mark.sealed_s, now_s))

    def _from_first_row(
        self, client: Client, source: str, from_s: int, until_s: int
    ) -> Iterator[int]:
        """Buckets to be sealed, from the first that has a row on."""
        if from_s < until_s:
            ((first,),) = _rows(client, first_row_query(source), {"since": from_s})
            if first is not None:
                yield from range(first, until_s, BUCKET_S)

    def _chunks(self, buckets: Iterable[int]) -> Iterator[list[int]]:
        """Rising buckets in groups for one statement: of one UTC day, few enough."""
        for _, day in groupby(buckets, lambda bucket: bucket // _DAY_S):
            members = list(day)
            for start in range(0, len(members), CHUNK_BUCKETS):
                if self._ended.is_set():
                    return
                yield members[start : start + CHUNK_BUCKETS]

    def _write(self, client: Client, source: str, buckets: Sequence[int]) -> None:
        for family in FAMILIES:
            if family.source == source:
                self._admit(client, family, buckets)
                client.command(windows_insert(family, buckets), settings=STATEMENT_SETTINGS)

    def _admit(self, client: Client, family: Family, buckets: Sequence[int]) -> None:
        """Give places to label sets that are new in the buckets."""
        most = self._config.watch.streams_per_tenant
        found = [Candidate(*row) for row in _rows(client, candidates_query(family, buckets, most))]
        if not found:
            return
        scopes = {scope for one in found for scope in (one.scope, one.other_scope)}
        known = {
            int(scope): Known(first_s, last_s)
            for scope, first_s, last_s in _rows(client, _KNOWN, {"scopes": sorted(scopes)})
        }
        given = {"since": buckets[0] - STREAM_PLACE_S}
        used = {str(row[0]): int(row[1]) for row in _rows(client, _USED, given)}
        if rows := stream_rows(family, found, known, used, most):
            names = table("genai_streams").columns
            client.insert("genai_streams", rows, column_names=names, settings=_INSERT_SETTINGS)

    def _progress(self, client: Client) -> tuple[int, Places, dict[str, Mark]]:
        ((now_s,),) = _rows(client, "SELECT toUnixTimestamp(now())")
        rows = _rows(client, PROGRESS, {"incarnation": self._config.kafka.incarnation})
        marks = {
            str(topic): Mark(end_ns // NS_PER_S, read_ns // NS_PER_S)
            for stage, topic, _, end_ns, _, read_ns in rows
            if stage == "watch"
        }
        return now_s, places_of(rows), marks

    def _note(self, client: Client, source: str, mark: Mark) -> None:
        """Remember how far the windows are."""
        client.command(
            _NOTE,
            parameters={
                "source": source,
                "incarnation": self._config.kafka.incarnation,
                "sealed": mark.sealed_s,
                "read": mark.read_s,
            },
            settings=STATEMENT_SETTINGS,
        )


_INSERT_SETTINGS = {"async_insert": 0, "distributed_foreground_insert": 1}
_KNOWN = """
SELECT scope, toUnixTimestamp(min(first_seen)), toUnixTimestamp(max(last_seen))
FROM genai_streams FINAL WHERE scope IN {scopes:Array(UInt64)} GROUP BY scope
"""
_USED = f"""
SELECT tenant, count() FROM genai_streams FINAL
WHERE last_seen >= toDateTime({{since:UInt32}}, 'UTC') AND labels['service_name'] != '{OTHER}'
GROUP BY tenant
"""  # noqa: S608 - a constant
_NOTE = """
INSERT INTO genai_progress
  (stage, topic, incarnation, partition, revision, offset, end_time, idle_until, read_until)
SELECT 'watch', {source:String}, {incarnation:String}, 0, toUnixTimestamp64Nano(now64(9)), -1,
  toDateTime64({sealed:UInt32}, 9, 'UTC'), toDateTime64(0, 9, 'UTC'),
  toDateTime64({read:UInt32}, 9, 'UTC')
"""


def _rows(
    client: Client, query: str, parameters: Mapping[str, object] | None = None
) -> Sequence[Sequence[Any]]:
    """Rows of an answer."""
    answer = client.query(query, parameters=parameters, settings=STATEMENT_SETTINGS)
    return list(answer.result_rows)
