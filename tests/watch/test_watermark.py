"""Until when rows are complete, by what store says of its partitions; who gets a stream."""

from collections.abc import Mapping

import pytest

from processors.runtime.memory import START_NS, FakeClock
from processors.store.progress import IDLE_S, SAMPLE_RECORDS, SERVICES_MAX, TELL_S, Progress
from processors.watch.windows.admission import Candidate, Known, stream_rows
from processors.watch.windows.watermark import Place, watermark
from schemas.protocols import Message
from schemas.records import Record
from schemas.streams import BUCKET_S, CALLS, EDGES, OTHER, STREAM_PLACE_S, VERDICTS, quantile
from schemas.streams import sketch_key as key_of
from schemas.topics import EVALUATIONS, FRAGMENTS, OPERATIONS
from sql.tables import table
from tests.sql.records import call, evaluation, fragment, operation

S_NS = 1_000_000_000
MINUTE_NS = 60 * S_NS
HOUR_NS = 60 * MINUTE_NS
NOW_NS = 100 * HOUR_NS
LATENESS_NS = 2 * MINUTE_NS
NAMES = {"f": FRAGMENTS.name, "o": OPERATIONS.name, "e": EVALUATIONS.name}
IDLE = Place(NOW_NS - 10 * MINUTE_NS, NOW_NS - 5 * S_NS)
DAY = "2026-01-01"


def mark(
    source: str, changes: Mapping[tuple[str, int], Place | None], partitions: int = 2
) -> int | None:
    """Ns before now of the watermark, less the lateness, where all partitions are idle but some."""
    places = {(name, p): IDLE for name in NAMES.values() for p in range(partitions)}
    for (name, partition), place in changes.items():
        if place is None:
            del places[NAMES[name], partition]
        else:
            places[NAMES[name], partition] = place
    found = watermark(source, places, partitions, NOW_NS, LATENESS_NS)
    return None if found is None else NOW_NS - LATENESS_NS - found


def busy(ago_ns: int) -> Place:
    return Place(NOW_NS - ago_ns, 0)


def idle(ago_ns: int, until_ago_ns: int = 5 * S_NS) -> Place:
    return Place(NOW_NS - ago_ns, NOW_NS - until_ago_ns)


@pytest.mark.parametrize(
    ("source", "changes", "behind_ns"),
    [
        ("genai_operations", {}, 5 * S_NS),
        ("genai_evaluations", {}, 5 * S_NS),
        # A backlog holds, in its own topic and for verdicts in the one before.
        ("genai_operations", {("o", 1): busy(HOUR_NS)}, HOUR_NS),
        ("genai_evaluations", {("o", 1): busy(HOUR_NS)}, HOUR_NS),
        ("genai_operations", {("e", 1): busy(HOUR_NS)}, 5 * S_NS),
        ("genai_evaluations", {("e", 1): busy(HOUR_NS)}, HOUR_NS),
        # A partition without an owner stays where it was.
        ("genai_operations", {("o", 0): idle(HOUR_NS, HOUR_NS)}, HOUR_NS),
        # A stage that is down: the topic after it is quiet, the one before is not.
        ("genai_evaluations", {("o", 0): busy(0), ("e", 0): idle(HOUR_NS)}, HOUR_NS),
        ("genai_operations", {("f", 0): busy(0), ("o", 0): idle(HOUR_NS)}, HOUR_NS),
        ("genai_evaluations", {("f", 0): busy(0), ("o", 0): idle(HOUR_NS)}, HOUR_NS),
        ("genai_evaluations", {("o", 0): busy(0), ("e", 1): idle(HOUR_NS)}, HOUR_NS),
        ("genai_evaluations", {("o", 0): busy(0), ("e", 0): idle(30 * S_NS)}, 5 * S_NS),
        # What it owes will not come once everything has been quiet for an hour.
        (
            "genai_evaluations",
            {
                ("f", 0): idle(2 * HOUR_NS),
                ("o", 0): idle(2 * HOUR_NS),
                ("e", 0): idle(3 * HOUR_NS),
            },
            5 * S_NS,
        ),
        # A store that has just started does not know what it stored before.
        ("genai_evaluations", {("o", 0): busy(0), ("e", 0): Place(0, NOW_NS)}, NOW_NS),
        # ClickHouse's clock bounds all others.
        ("genai_operations", {("o", 0): busy(-HOUR_NS), ("o", 1): busy(-HOUR_NS)}, 0),
    ],
)
def test_the_watermark_is_what_the_slowest_partition_allows(
    source: str, changes: dict[tuple[str, int], Place | None], behind_ns: int
) -> None:
    assert mark(source, changes) == behind_ns


def test_nothing_is_sealed_before_every_partition_was_seen() -> None:
    assert mark("genai_operations", {("o", 1): None}) is None
    assert mark("genai_evaluations", {("e", 0): None}) is None
    assert mark("genai_operations", {("e", 0): None, ("f", 0): None}) is not None


def message(topic: str, offset: int, time_ns: int) -> Message:
    return Message(topic, 0, offset, time_ns // 1_000_000, None, b"")


def told(progress: Progress) -> list[tuple[str, int, int, int]]:
    """(topic, offset, end, idle until), times in seconds from the start; 0 is unset."""
    rows = [dict(zip(table("genai_progress").columns, row, strict=True)) for row in progress.rows()]

    def since(time_ns: int) -> int:
        return (time_ns - START_NS) // S_NS if time_ns else 0

    return [
        (row["topic"], row["offset"], since(row["end_time"]), since(row["idle_until"]))
        for row in rows
    ]


def store(progress: Progress, taken: Message, *records: Record) -> None:
    progress.begin(taken)
    progress.stored(taken, records)
    progress.end(taken)


def ended(at_s: int, **fields: object) -> Record:
    return operation(1, 1, day=DAY, call=call(end_ns=START_NS + at_s * S_NS), **fields)


async def test_store_tells_ends_while_busy_and_the_time_while_idle() -> None:
    clock = FakeClock()
    progress = Progress("1", clock)
    progress.adopt(OPERATIONS.name, 0)
    progress.adopt("genai.ledger.v1", 0)
    assert told(progress) == [], "nothing is known yet"
    await clock.advance(10)
    store(progress, message(OPERATIONS.name, 6, clock.time_ns()), ended(4), ended(5), ended(6))
    assert told(progress) == [(OPERATIONS.name, 7, 5, 0)]
    assert told(progress) == [], "nothing changed"
    await clock.advance(IDLE_S)
    assert told(progress) == [(OPERATIONS.name, 7, 5, 40)]
    waiting = message(OPERATIONS.name, 7, clock.time_ns())
    progress.begin(waiting)
    await clock.advance(1000)
    assert told(progress) == [], "a message in hand is no silence"
    progress.end(waiting)
    await clock.advance(IDLE_S)
    assert told(progress) == [(OPERATIONS.name, 7, 5, 1070)]
    progress.forget(OPERATIONS.name, 0)
    await clock.advance(IDLE_S)
    assert told(progress) == []


async def test_while_clickhouse_does_not_keep_up_nothing_is_idle() -> None:
    """What a quiet partition has may wait for room behind what is in hand."""
    clock = FakeClock()
    progress = Progress("1", clock)
    progress.adopt(OPERATIONS.name, 0)
    progress.adopt(EVALUATIONS.name, 0)
    waiting = message(OPERATIONS.name, 0, START_NS)
    progress.begin(waiting)
    await clock.advance(IDLE_S)
    assert told(progress) == []
    await clock.advance(1000)
    progress.end(waiting)
    await clock.advance(IDLE_S - 1)
    assert told(progress) == [], "it gets time to bring what it has"
    await clock.advance(1)
    ends_s = {topic: idle_s for topic, _, _, idle_s in told(progress)}
    assert ends_s == {OPERATIONS.name: 1060, EVALUATIONS.name: 1060}


RULE_DELAY_S = 30
"""``eval_delay`` of query rules, unless they say another."""


@pytest.mark.parametrize("gap_s", [1, 5, 10, 20, 25, 29, 31, 60, 300])
async def test_a_rule_that_waits_for_a_healthy_line_is_late_by_less_than_100_s(
    gap_s: int,
) -> None:
    """One call every ``gap_s`` in a partition, judged and stored 5 s after its end."""
    clock = FakeClock()
    progress = Progress("1", clock)
    chain = (FRAGMENTS.name, OPERATIONS.name, EVALUATIONS.name)
    for topic in chain:
        progress.adopt(topic, 0)
    places: dict[tuple[str, int], Place] = {}
    behind_s = []
    for now_s in range(1, 1200):
        await clock.advance(1)
        if now_s % gap_s == 5 % gap_s:
            ends = {"day": DAY, "call": call(end_ns=clock.time_ns() - 5 * S_NS)}
            store(progress, message(chain[0], now_s, clock.time_ns()), fragment(1, 1, "a", **ends))
            store(progress, message(chain[1], now_s, clock.time_ns()), operation(1, 1, **ends))
            judged = evaluation(1, 1, day=DAY, span_end_ns=clock.time_ns() - 5 * S_NS)
            store(progress, message(chain[2], now_s, clock.time_ns()), judged)
        if now_s % TELL_S == 0:
            columns = list(table("genai_progress").columns)
            for row in (dict(zip(columns, row, strict=True)) for row in progress.rows()):
                places[row["topic"], 0] = Place(row["end_time"], row["idle_until"])
        found = watermark("genai_evaluations", places, 1, clock.time_ns(), RULE_DELAY_S * S_NS)
        if now_s > 600 and found is not None:
            behind_s.append((clock.time_ns() - found) // S_NS)
    assert len(behind_s) == 599
    assert RULE_DELAY_S <= max(behind_s) < 100


async def test_clocks_that_run_ahead_say_nothing() -> None:
    clock = FakeClock()
    await clock.advance(7200)
    progress = Progress("1", clock)
    backlog = [ended(600 + number) for number in range(SAMPLE_RECORDS - 1)]
    store(progress, message(OPERATIONS.name, 0, clock.time_ns()), *backlog)
    store(progress, message(OPERATIONS.name, 1, clock.time_ns()), ended(90_000))
    ((_, offset, end_s, _),) = told(progress)
    assert offset == 2
    assert 640 < end_s < 660
    alone = Progress("1", clock)
    store(alone, message(OPERATIONS.name, 0, clock.time_ns()), ended(90_000))
    assert told(alone) == [(OPERATIONS.name, 1, 7200, 0)], "never later than its message"


async def test_what_windows_do_not_count_moves_nothing() -> None:
    clock = FakeClock()
    progress = Progress("1", clock)
    log = fragment(1, 1, "ab", signal="log", day=DAY)
    store(progress, message(FRAGMENTS.name, 0, START_NS), log)
    untrusted, duplicate = ended(-5).model_copy(update={"day": "1970-01-01"}), ended(-5)
    duplicate = duplicate.model_copy(update={"duplicate_of": "ab"})
    store(progress, message(OPERATIONS.name, 0, START_NS), untrusted, duplicate)
    foreign = evaluation(1, 1, source="external", evaluator="mine", span_end_ns=START_NS - S_NS)
    store(progress, message(EVALUATIONS.name, 0, START_NS), foreign)
    rescored = evaluation(1, 1, day=DAY, mode="shadow", span_end_ns=START_NS - S_NS)
    store(progress, message(EVALUATIONS.name, 1, START_NS), rescored)
    assert {end_s for _, _, end_s, _ in told(progress)} == {0}


async def test_a_service_that_sends_what_is_long_past_does_not_hold_the_others() -> None:
    clock = FakeClock()
    await clock.advance(7200)
    progress = Progress("1", clock)

    def of(service: str, *ago_s: int) -> list[Record]:
        now_ns = clock.time_ns()
        ends = [call(service_name=service, end_ns=now_ns - s * S_NS) for s in ago_s]
        return [operation(1, 1, day=DAY, call=one) for one in ends]

    live = [*of("shop", 2), *of("bot", 3)]
    imported, ahead = of("archive", *range(3600, 4600)), of("ahead", *[-7000] * 500)
    store(progress, message(OPERATIONS.name, 0, clock.time_ns()), *live, *imported)
    assert [end_s for _, _, end_s, _ in told(progress)] == [7197]
    backlog = [one for name in ("shop", "bot", "desk") for one in of(name, 5000, 5001)]
    later = message(OPERATIONS.name, 1, clock.time_ns() + 60 * S_NS)
    store(progress, later, *backlog, *ahead)
    assert [end_s for _, _, end_s, _ in told(progress)] == [2199], "ours is in all of them"


async def test_a_message_that_says_nothing_leaves_what_is_known() -> None:
    clock = FakeClock()
    progress = Progress("1", clock)
    store(progress, message(OPERATIONS.name, 0, START_NS), ended(-5))
    before = told(progress)
    duplicate = ended(-5).model_copy(update={"duplicate_of": "ab"})
    store(progress, message(OPERATIONS.name, 1, START_NS + 600 * S_NS), duplicate)
    assert [end_s for _, _, end_s, _ in told(progress)] == [before[0][2]]


async def test_the_services_of_a_partition_are_bounded() -> None:
    clock = FakeClock()
    progress = Progress("1", clock)
    many = [
        operation(1, 1, day=DAY, call=call(service_name=f"s{n}", end_ns=START_NS - n * S_NS))
        for n in range(3 * SERVICES_MAX)
    ]
    store(progress, message(OPERATIONS.name, 0, START_NS), *many)
    ((_, _, end_s, _),) = told(progress)
    assert -3 * SERVICES_MAX < end_s <= -2 * SERVICES_MAX, "the newest count"


async def test_old_messages_leave_the_sample() -> None:
    clock = FakeClock()
    progress = Progress("1", clock)
    store(progress, message(OPERATIONS.name, 0, START_NS), *[ended(-5)] * 50)
    late = START_NS + 600 * S_NS
    store(progress, message(OPERATIONS.name, 1, late), ended(590))
    assert told(progress) == [(OPERATIONS.name, 2, 590, 0)]


def candidate(number: int, dimensions: str = "service", first_s: int = 0) -> Candidate:
    values = [f"app-{number}", "prod", *(["m"] if dimensions == "model" else [])]
    scope = number + (1 << 40 if dimensions == "model" else 0)
    return Candidate("acme", scope, -1, "", "", dimensions, values, first_s, first_s)


def names(rows: list[tuple[object, ...]]) -> list[str]:
    columns = table("genai_streams").columns
    said = [dict(zip(columns, row, strict=True)) for row in rows]
    assert len({row["stream_id"] for row in said}) == len(said)
    return [row["labels"]["service_name"] for row in said]


def test_the_2001st_stream_goes_to_other() -> None:
    verdicts = [candidate(number) for number in range(2000)]
    assert OTHER not in names(stream_rows(VERDICTS, verdicts, {}, {}, 2000))
    found = names(stream_rows(VERDICTS, [*verdicts, candidate(2000)], {}, {}, 2000))
    assert len(found) == 2001
    assert found[2000] == OTHER
    full = names(stream_rows(VERDICTS, [candidate(1), candidate(2)], {}, {"acme": 2000}, 2000))
    assert full == [OTHER], "however many have no place"
    other_tenant = names(stream_rows(VERDICTS, [candidate(1)], {}, {"shop": 2000}, 2000))
    assert other_tenant == ["app-1"]


def test_a_place_is_kept_while_its_stream_is_seen_and_no_longer() -> None:
    late_s = STREAM_PLACE_S + 10
    seen = {1: Known(0, 10)}
    kept = stream_rows(CALLS, [candidate(1, first_s=late_s)], seen, {"acme": 2000}, 2000)
    assert set(names(kept)) == {"app-1"}
    lost = stream_rows(CALLS, [candidate(1, first_s=late_s + 1)], seen, {"acme": 2000}, 2000)
    assert set(names(lost)) == {OTHER}
    told_lately = {-1: Known(0, late_s)}
    assert not stream_rows(CALLS, [candidate(9, first_s=late_s)], told_lately, {"acme": 1999}, 2000)


@pytest.mark.parametrize("version", sorted(EDGES))
def test_bins_cover_every_key_once(version: str) -> None:
    edges = EDGES[version]
    assert len(edges.keys) == len(edges.bins)
    assert list(edges.keys) == sorted(set(edges.keys))
    if edges.bounds:
        assert (edges.keys[0], edges.keys[-1]) == (-32_768, 32_767)
        assert edges.bins[0] == "0"


def test_quantiles_are_within_one_percent() -> None:
    values = [0.0] * 10 + [1.13**number for number in range(190)]
    sketch: dict[int, int] = {}
    for value in values:
        sketch[key_of(value)] = sketch.get(key_of(value), 0) + 1
    for share in (0.0, 0.04, 0.5, 0.95, 0.99, 1.0):
        exact = sorted(values)[int(share * (len(values) - 1))]
        assert quantile(sketch, share) == pytest.approx(exact, rel=0.0101)
    assert quantile({}, 0.5) is None
    assert key_of(1.0) == 0
    assert BUCKET_S == 300
