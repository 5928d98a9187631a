"""Until when the rows of a table are complete: the watermark that seals windows, and that query
rules wait for. Pure.

``store`` says of each partition of a topic, every few seconds (:mod:`processors.store.progress`):
``end_time``, when the spans of the newest messages it inserted ended, and ``idle_until``, set only
while nothing of the partition has waited for half a minute. From that:

1. A partition that is not idle is complete up to its ``end_time``: messages are inserted in order,
   so a backlog of ours or of an earlier stage shows there, and what is a little out of order comes
   within the allowed lateness. (The median of the services' medians, and never later than the
   message it came in: one application whose clock is in the future, or that sends what is long
   past, moves nothing where there are others.)
2. An idle partition is complete up to ``idle_until``: a quiet partition does not hold the others.
   But one is not idle while its *upstream*, the same partition of the topic before, got spans that
   end more than a minute later: then the stage between them is behind or down, and what it owes
   counts. Once the upstream has been quiet for an hour too, what it owes will not come.
3. A partition of which nothing is said yet is complete up to nothing, so nothing is sealed before
   ``store`` has seen every partition. One whose owner is gone stays where it was: silence is no
   evidence.
4. The watermark is the least of the partitions, no later than ClickHouse's clock, less the allowed
   lateness. Verdicts are complete no further than operations are, which say what is a duplicate.

What has been sealed stays sealed (the writer keeps the highest); rows that come later rewrite their
windows. A stage that is down before the first topic of the chain cannot be seen here: its windows
are sealed without its spans, which are late rows when they come.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.identity import NS_PER_S
from schemas.topics import EVALUATIONS, FRAGMENTS, OPERATIONS

UPSTREAM_SLACK_NS = 60 * NS_PER_S
UPSTREAM_QUIET_NS = 3600 * NS_PER_S

_VERDICTS = ((OPERATIONS.name, FRAGMENTS.name), (EVALUATIONS.name, OPERATIONS.name))
_CHAIN = {
    "genai_operations": ((OPERATIONS.name, FRAGMENTS.name),),
    "genai_evaluations": _VERDICTS,
    # Of a sample, so its own topic is mostly empty and says little: what is embedded is emitted
    # right after the call's verdicts.
    "genai_embeddings": _VERDICTS,
}
"""Topics that a table's windows wait for, each with its upstream."""


@dataclass(frozen=True, slots=True)
class Place:
    """What ``store`` says of a partition, ns since 1970; 0 is not known, or not idle."""

    end_ns: int
    idle_until_ns: int


Places = Mapping[tuple[str, int], Place]
"""By topic and partition."""


def places_of(rows: Iterable[Sequence[Any]]) -> Places:
    """What ``store`` says, of the rows of :data:`sql.rule_scans.PROGRESS`."""
    return {
        (str(topic), int(partition)): Place(end_ns, idle_ns)
        for stage, topic, partition, end_ns, idle_ns, _ in rows
        if stage == "store"
    }


def watermark(
    table: str, places: Places, partitions: int, now_ns: int, lateness_ns: int
) -> int | None:
    """Spans of the table that end before this are there, ns since 1970; None if nobody knows."""
    complete_ns = now_ns
    for topic, upstream in _CHAIN[table]:
        for partition in range(partitions):
            place = places.get((topic, partition))
            if place is None:
                return None
            before = places.get((upstream, partition))
            complete_ns = min(complete_ns, _complete_ns(place, before))
    return complete_ns - lateness_ns


def _complete_ns(place: Place, upstream: Place | None) -> int:
    idle_ns = place.idle_until_ns
    if not idle_ns:
        return place.end_ns
    if upstream is None or upstream.end_ns <= place.end_ns + UPSTREAM_SLACK_NS:
        return max(idle_ns, place.end_ns)
    quiet = upstream.idle_until_ns - upstream.end_ns > UPSTREAM_QUIET_NS
    return idle_ns if quiet else place.end_ns
