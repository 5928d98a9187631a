"""Which label sets get streams of their own: at most so many a tenant, then ``other``. Pure.

First come, first served, coarse sets before fine ones, and a place is kept for as long as its
stream is seen: so a window computed again has the same streams. Two writers at once may each give
away the last places; the tenant has a few streams more then, until some are not seen any more.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from schemas.identity import stream_id
from schemas.streams import OTHER, STREAM_PLACE_S, STREAM_REFRESH_S, Family
from sql.tables import table

Row = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A label set seen in buckets (s since 1970) that has no place, or none told of lately."""

    tenant: str
    scope: int
    other_scope: int
    evaluator: str
    model_version: str
    dimensions: str
    values: Sequence[str]
    first_s: int
    last_s: int


@dataclass(frozen=True, slots=True)
class Known:
    """What ``genai_streams`` says of a scope."""

    first_s: int
    last_s: int

    def has_place(self, at_s: int) -> bool:
        """Whether the place is still kept at that time."""
        return self.last_s >= at_s - STREAM_PLACE_S


def stream_rows(
    family: Family,
    candidates: Iterable[Candidate],
    known: Mapping[int, Known],
    used: Mapping[str, int],
    most: int,
) -> list[Row]:
    """Rows of ``genai_streams`` to be written: streams with a place, and ``other`` for the rest.

    ``used`` is the number of streams with a place by tenant.
    """
    taken = dict(used)
    rows: list[Row] = []
    without: dict[int, Candidate] = {}
    for candidate in candidates:
        before = known.get(candidate.scope)
        if before is None or not before.has_place(candidate.first_s):
            wanted = taken.get(candidate.tenant, 0) + len(family.metrics)
            if wanted > most:
                _join(without, candidate)
                continue
            taken[candidate.tenant] = wanted
        rows += _rows(family, candidate, before)
    for candidate in without.values():
        before = known.get(candidate.scope)
        if before is None or before.last_s <= candidate.last_s - STREAM_REFRESH_S:
            rows += _rows(family, candidate, before)
    return rows


def _join(without: dict[int, Candidate], candidate: Candidate) -> None:
    """Count a candidate with the others of its dimensions."""
    joined = without.get(candidate.other_scope, candidate)
    without[candidate.other_scope] = replace(
        joined,
        scope=candidate.other_scope,
        values=(OTHER,) * len(candidate.values),
        first_s=min(joined.first_s, candidate.first_s),
        last_s=max(joined.last_s, candidate.last_s),
    )


def _rows(family: Family, candidate: Candidate, before: Known | None) -> Iterator[Row]:
    chosen = next(s for s in family.dimension_sets if s.name == candidate.dimensions)
    labels = dict(zip(chosen.labels, candidate.values, strict=True))
    first_s = min(candidate.first_s, before.first_s) if before else candidate.first_s
    last_s = max(candidate.last_s, before.last_s) if before else candidate.last_s
    judge = (candidate.evaluator, candidate.model_version)
    for metric in family.metrics:
        yield table("genai_streams").row(
            {
                "tenant": candidate.tenant,
                "stream_id": stream_id(
                    candidate.tenant, family.name, metric.name, judge, chosen.name, labels
                ),
                "revision": last_s,
                "family": family.name,
                "metric": metric.name,
                "evaluator": candidate.evaluator,
                "model_version": candidate.model_version,
                "dimensions": candidate.dimensions,
                "labels": labels,
                "edges": metric.edges.version,
                "scope": candidate.scope,
                "first_seen": first_s,
                "last_seen": last_s,
            }
        )
