"""Why a stream drifted: which labels and users changed most, what is new, and calls to look at.

Only figures, labels and ids are kept: texts stay where they are. Ids of users stand in the
explanation alone, which people read where they read operations; never in the sentence, which goes
out with alerts.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from clickhouse_connect.driver.client import Client

from processors.watch.drift import Severity, group_contributions
from processors.watch.drift.series import BUCKETS_PER_HOUR, Ints
from schemas.streams import BUCKET_S, FAMILIES, METRICS, DimensionSet, Family
from sql.drift import BEFORE_AND_AFTER, RELATED, asked
from sql.windows import bin_condition, samples_query, users_query

MOST = 20
"""Verdicts that get groups and samples at once, pages first."""
GROUPS_NAMED = 3
USERS_READ = 1000
USER_SHARE_MIN, USER_ROWS_MIN = 0.1, 5
"""Of many users some seem to have changed by chance: less is not named."""
USER_BUCKETS = BUCKETS_PER_HOUR
"""Rows of an hour before the change and of the newest hour: windows know no users."""
SAMPLES = 3
NEW_BEFORE_S = 3600
"""A label first seen this long before a change began may be its cause."""
HISTORY_S = 7 * 86_400
SETTLED_S = 86_400
"""Labels of an application seen for less than a day are all new: none explains anything."""
RATE_BINS = 2


@dataclass(frozen=True, slots=True)
class Drifting:
    """A row of ``genai_drift`` with a verdict of drift, and what its stream measures."""

    row: dict[str, Any]
    family: str
    metric: str
    bins: Sequence[str]

    @property
    def since_s(self) -> int:
        """When the change began, s since 1970."""
        since: datetime = self.row["since"]
        return int(since.timestamp())


@dataclass(frozen=True, slots=True)
class Part:
    """A stream that counts a part of what a drifting one counts, as RELATED has it."""

    stream: str
    dimensions: str
    label: str
    first_s: int


@dataclass(slots=True)
class Whole:
    """A drifting stream and its parts, as RELATED has it."""

    dimensions: str
    labels: dict[str, str]
    judge: tuple[str, str]
    first_s: int
    parts: list[Part]


def explain(client: Client, drifting: Sequence[Drifting]) -> None:
    """Add to the rows' explanations; a page in which something new began becomes a ticket.

    What was released on purpose is compared with its predecessor by ``release_change``: nobody is
    to be woken by it. Raises clickhouse-connect's errors.
    """
    wholes = name_new(client, drifting)
    newest = {(one.row["stream_id"], one.row["detector"]): one for one in drifting}
    pages_first = sorted(newest.values(), key=lambda one: one.row["severity"] != Severity.PAGE)
    chosen = pages_first[:MOST]
    counts = _before_and_after(client, chosen, wholes)
    for one in chosen:
        whole = wholes[one.row["stream_id"]]
        if groups := _groups(one, whole, counts):
            one.row["explanation"]["groups"] = groups
            most = groups[0]
            one.row["explained"] += f"; most of it in {most['dimension']} {most['label']}"
        if users := _users(client, one, whole):
            named: list[object] = one.row["explanation"].setdefault("groups", [])
            named += users
        one.row["explanation"]["samples"] = _samples(client, one, whole)


def name_new(client: Client, drifting: Sequence[Drifting]) -> dict[str, Whole]:
    """Name what began about when the change did, which makes a page a ticket; the wholes by stream.

    Raises clickhouse-connect's errors.
    """
    if not drifting:
        return {}
    wholes = _related(client, drifting)
    for one in drifting:
        if new := _new(one, wholes[one.row["stream_id"]]):
            one.row["severity"] = str(Severity.TICKET)
            said = [{"dimension": part.dimensions, "label": part.label} for part in new]
            one.row["explanation"]["new"] = said
            one.row["explained"] += f"; new since then: {new[0].dimensions} {new[0].label}"
    return wholes


def _related(client: Client, chosen: Sequence[Drifting]) -> dict[str, Whole]:
    names = sorted({one.row["stream_id"] for one in chosen})
    found: dict[str, Whole] = {}
    for stream, dimensions, labels, *rest in asked(client, RELATED, {"streams": names}):
        evaluator, version, first_s, part, of, label, part_s = rest
        whole = Whole(dimensions, labels, (evaluator, version), first_s, [])
        whole = found.setdefault(stream, whole)
        if part and part != stream:
            whole.parts.append(Part(part, of, label, part_s))
    return found


def _new(one: Drifting, whole: Whole) -> list[Part]:
    """Parts that began about when the change did."""
    from_s = max(one.since_s - NEW_BEFORE_S, whole.first_s + SETTLED_S)
    until_s = one.row["bucket"].timestamp()
    return sorted(
        (part for part in whole.parts if from_s <= part.first_s <= until_s),
        key=lambda part: (part.first_s, part.dimensions, part.label),
    )


Counts = tuple[int, int, Sequence[int]]
"""n, flagged, hist."""


def _before_and_after(
    client: Client, chosen: Sequence[Drifting], wholes: dict[str, Whole]
) -> dict[str, tuple[Counts, Counts]]:
    """Of the parts of whole services: (n, flagged, hist) before the change and since."""
    since: dict[str, int] = {}
    for one in chosen:
        whole = wholes[one.row["stream_id"]]
        for part in whole.parts if whole.dimensions == "service" else ():
            since[part.stream] = min(one.since_s, since.get(part.stream, one.since_s))
    if not since:
        return {}
    given = {
        "tenants": sorted({one.row["tenant"] for one in chosen}),
        "from": min(since.values()) - HISTORY_S,
        "to": round(max(one.row["bucket"].timestamp() for one in chosen)),
        "streams": sorted(since.items()),
    }
    return {
        stream: (tuple(counts[:3]), tuple(counts[3:]))
        for stream, *counts in asked(client, BEFORE_AND_AFTER, given)
    }


def _groups(
    one: Drifting, whole: Whole, counts: dict[str, tuple[Counts, Counts]]
) -> list[dict[str, object]]:
    """The parts that contribute most, of every dimension, largest share of the change first."""
    by_dimension: dict[str, list[Part]] = defaultdict(list)
    for part in whole.parts:
        if part.stream in counts:
            by_dimension[part.dimensions].append(part)
    found: list[dict[str, object]] = []
    for dimension, parts in by_dimension.items():
        bins = len(one.bins)
        before = {part.label: counted(counts[part.stream][0], bins) for part in parts}
        after = {part.label: counted(counts[part.stream][1], bins) for part in parts}
        made = group_contributions(before, after)
        total = sum(group.total for group in made)
        found += [
            {
                "dimension": dimension,
                "label": group.group,
                "share": group.total / total,
                "mix": group.mix / total,
                "within": group.within / total,
                "n": group.rows,
            }
            for group in made[:GROUPS_NAMED]
            if total > 0 and group.total > 0
        ]
    return sorted(found, key=lambda group: (-float(str(group["share"])), str(group["label"])))


def _users(client: Client, one: Drifting, whole: Whole) -> list[dict[str, object]]:
    """Users who contribute most, as far as the stream's rows of two hours tell."""
    last_s = round(one.row["bucket"].timestamp())
    first_s = max(one.since_s, last_s - (USER_BUCKETS - 1) * BUCKET_S)
    spans = [
        range(one.since_s - USER_BUCKETS * BUCKET_S, one.since_s, BUCKET_S),
        range(first_s, last_s + 1, BUCKET_S),
    ]
    family, chosen, given = _stream(one, whole)
    metric = METRICS[one.family, one.metric]
    if len(one.bins) == RATE_BINS:
        flag = metric.flagged if metric.is_distribution else metric.value
        bins = [f"({metric.value}) IS NOT NULL AND NOT {flag}", flag]
    else:
        bins = [bin_condition(metric, place) for place in range(len(one.bins))]
    before, after = (
        {
            str(user): np.asarray(counts, np.int64)
            for user, counts in asked(
                client, users_query(family, chosen, list(span), bins, USERS_READ), given
            )
        }
        for span in spans
    )
    made = group_contributions(before, after)
    total = sum(group.total for group in made)
    return [
        {
            "dimension": "user",
            "label": group.group,
            "share": group.total / total,
            "mix": group.mix / total,
            "within": group.within / total,
            "n": group.rows,
        }
        for group in made
        if group.group
        and total > 0
        and group.total / total >= USER_SHARE_MIN
        and group.rows >= USER_ROWS_MIN
    ][:GROUPS_NAMED]


def _stream(one: Drifting, whole: Whole) -> tuple[Family, DimensionSet, dict[str, object]]:
    """Family, label set and parameters by which a stream's rows are found."""
    family = next(family for family in FAMILIES if family.name == one.family)
    chosen = next(d for d in family.dimension_sets if d.name == whole.dimensions)
    given: dict[str, object] = {
        "tenant": one.row["tenant"],
        "evaluator": whole.judge[0],
        "model_version": whole.judge[1],
        "labels": [whole.labels[label] for label in chosen.labels],
    }
    return family, chosen, given


def counted(counts: Counts, bins: int) -> Ints:
    """Counts by the bins of a rate or of a histogram."""
    n, flagged, hist = counts
    if bins == RATE_BINS:
        return np.array([n - flagged, flagged], np.int64)
    return np.asarray(hist or [0] * bins, np.int64)


def _samples(client: Client, one: Drifting, whole: Whole) -> list[dict[str, str]]:
    """Spans of the last window: flagged ones, or those in the bin that grew most."""
    metric = METRICS[one.family, one.metric]
    family, chosen, given = _stream(one, whole)
    if len(one.bins) == RATE_BINS:
        condition = metric.flagged if metric.is_distribution else metric.value
    else:
        bins = one.row["explanation"]["bins"]
        grown = max(bins, key=lambda entry: entry["now"] - entry["before"])
        condition = bin_condition(metric, one.bins.index(grown["bin"]))
    bucket = round(one.row["bucket"].timestamp())
    query = samples_query(family, chosen, bucket, condition, SAMPLES)
    return [
        {"trace_id": trace_id, "span_id": span_id}
        for trace_id, span_id in asked(client, query, given)
    ]
