"""What is made when sealed windows pass an hour: reports, and new releases compared. Blocking.

Reports are SQL alone (:mod:`sql.reports`). A stream of a model, prompt version or release that was
first seen a while ago is compared with its predecessor, the one of the same application with the
most values in the seven days before: after 1, 6, 24 and 72 hours, which is four looks, so each asks
for a quarter of the chance. Changes on purpose: a ticket at most.

Made before windows count as sealed, so made again after a crash, with the same identity. What is
long past is not made: at a first start there may be a month to be sealed. A report that the server
gives up on is missing, and said to be in the log.
"""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from processors.watch.drift import DriftState, Policy, ReleaseChange, release_change
from processors.watch.drift.words import interval_text, moved_bins
from processors.watch.windows.detecting import bins_of, detectors_of, insert_drift
from processors.watch.windows.explaining import HISTORY_S, Counts, counted
from processors.watch.windows.silenced import silenced_buckets, stream_labels
from schemas.streams import BUCKET_S, METRICS
from sql.drift import BEFORE_AND_AFTER, NAMED, NEWCOMERS, TENANTS, asked, families_of, utc
from sql.reports import REPORTS, WEEK_S, WEEKS, Report, Silenced, report_insert
from sql.silences import past_silences
from sql.windows import SETTINGS

logger = logging.getLogger(__name__)

HOUR_S = 3600
LOOKS_H = (1, 6, 24, 72)
POLICY = Policy(release_p=Policy().release_p / len(LOOKS_H))
PREDECESSOR = "predecessor"
STATEMENT_SETTINGS = {**SETTINGS, "max_execution_time": 100, "max_query_size": 16 << 20}
"""A silence of a whole tenant names all of its streams."""


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A new stream and one that may be its predecessor, as NEWCOMERS has them."""

    tenant: str
    stream: str
    family: str
    metric: str
    dimensions: str
    label: str
    first_s: int
    before: str
    before_label: str
    phi: float


def make_reports(client: Client, source: str, buckets: Sequence[int], now_s: int) -> None:
    """Make what is due at the hours that these buckets end. Raises as queries do."""
    families = families_of(source)
    from_s, until_s = buckets[0], buckets[-1] + BUCKET_S
    ends = range((from_s // HOUR_S + 1) * HOUR_S, until_s + 1, HOUR_S)
    for end_s in ends:
        for report in REPORTS:
            if end_s % report.every_s or now_s - end_s >= 2 * report.every_s:
                continue
            given = {"families": families, "now": now_s}
            for (tenant,) in asked(client, TENANTS, given):
                _make(client, report, end_s, families, tenant)
        if now_s - end_s < 2 * HOUR_S:
            compare_releases(client, end_s, families)


def _make(client: Client, report: Report, end_s: int, families: Sequence[str], tenant: str) -> None:
    """One report of a tenant; one that takes too long must not hold windows and detectors."""
    oldest_s = end_s - report.length_s - WEEKS * WEEK_S
    silenced = _silenced(client, tenant, families, oldest_s, end_s)
    statement = report_insert(report, end_s, families, silenced)
    try:
        client.command(statement, parameters={"tenant": tenant}, settings=STATEMENT_SETTINGS)
    except DatabaseError as error:
        code = getattr(error, "code", None)  # the text may quote what the tables hold
        logger.warning("%s of %s is missing: code %s", report.name, utc(end_s), code)


def _silenced(
    client: Client, tenant: str, families: Sequence[str], from_s: int, to_s: int
) -> list[Silenced]:
    """Streams that silences covered in [from, to). Raises as queries do."""
    silences = past_silences(client, tenant, from_s, to_s)
    if not silences:
        return []
    streams: dict[tuple[int, int], list[str]] = defaultdict(list)
    given = {"tenant": tenant, "families": families}
    for stream, family, metric, evaluator, labels in asked(client, NAMED, given):
        said = stream_labels(tenant, family, metric, evaluator, labels)
        for span in set(silenced_buckets(silences, said)):
            streams[span].append(stream)
    return [
        (members, max(0, first) * BUCKET_S, min(end * BUCKET_S, to_s))
        for (first, end), members in streams.items()
    ]


def compare_releases(client: Client, end_s: int, families: Sequence[str]) -> None:
    """Compare streams that were first seen so many hours ago with their predecessors."""
    hours = [end_s - look * HOUR_S for look in LOOKS_H]
    found = asked(client, NEWCOMERS, {"hours": hours, "families": families})
    pairs = [Newcomer(*row) for row in found]
    if not pairs:
        return
    since: dict[str, int] = {}
    for pair in pairs:
        for stream in (pair.stream, pair.before):
            since[stream] = min(pair.first_s, since.get(stream, pair.first_s))
    given = {
        "tenants": sorted({pair.tenant for pair in pairs}),
        "from": min(since.values()) - HISTORY_S,
        "to": end_s - BUCKET_S,
        "streams": sorted(since.items()),
    }
    counts: dict[str, tuple[Counts, Counts]] = {
        stream: (tuple(said[:3]), tuple(said[3:]))
        for stream, *said in asked(client, BEFORE_AND_AFTER, given)
    }
    candidates: dict[str, list[Newcomer]] = defaultdict(list)
    for pair in pairs:
        if pair.before in counts and pair.stream in counts:
            candidates[pair.stream].append(pair)
    rows = []
    for members in candidates.values():
        chosen = max(members, key=lambda pair: (counts[pair.before][0][0], pair.before))
        rows.append(_row(chosen, counts, end_s))
    insert_drift(client, rows)


def _row(
    pair: Newcomer, counts: Mapping[str, tuple[Counts, Counts]], end_s: int
) -> dict[str, object]:
    metric = METRICS[pair.family, pair.metric]
    names = bins_of(metric, detectors_of(metric)[0])
    before = counted(counts[pair.before][0], len(names))
    after = counted(counts[pair.stream][1], len(names))
    found = release_change(before, after, pair.phi, POLICY)
    moved = moved_bins(before, after, names) if found.state is DriftState.DRIFT else []
    bucket, effect = utc(end_s - BUCKET_S), found.effect
    explanation: dict[str, object] = {
        "predecessor": {"dimension": pair.dimensions, "label": pair.before_label}
    }
    if moved:
        explanation["bins"] = [{"bin": name, "before": p, "now": q} for name, p, q in moved]
    return {
        "tenant": pair.tenant,
        "stream_id": pair.stream,
        "detector": "release_change",
        "detector_version": "1",
        "bucket": bucket,
        "day": bucket.date(),
        "revision": end_s * 1_000_000_000,
        "state": str(found.state),
        "severity": str(found.severity),
        "baseline": PREDECESSOR,
        "baseline_version": pair.first_s,
        "n": int(after.sum()),
        "baseline_n": int(before.sum()),
        "evidence": None,
        "p_value": found.p,
        "effect": effect.value if effect else None,
        "effect_low": effect.low if effect else None,
        "effect_high": effect.high if effect else None,
        "statistics": {},
        "explanation": explanation,
        "explained": _said(pair, found, len(names)),
        "since": utc(pair.first_s),
        "fired_at": bucket if found.state is DriftState.DRIFT else utc(0),
    }


def _said(pair: Newcomer, found: ReleaseChange, bins: int) -> str:
    if found.state is not DriftState.DRIFT or found.effect is None:
        return ""
    size = f"{found.effect.value:.3g}{interval_text(found.effect, '')}"
    what = f"{size} times the rate" if bins == 2 else f"PSI {size} against the values"
    return f"{pair.dimensions} {pair.label}: {what} of {pair.before_label}"
