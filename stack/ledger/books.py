"""ClickHouse's side of the books, and whether both sides agree."""

from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from clickhouse_connect.driver.client import Client

from schemas.topics import RAW_SPANS
from sql.client import allowed
from stack.ledger.gateway import GatewayItems
from stack.ledger.positions import Acknowledged, Positions
from stack.printable import counted

EXAMPLES = 5
_LOST_PLACES_MAX = 10_000

_WINDOW = """topic = {topic:String} AND incarnation = {incarnation:String}
  AND stage = {stage:String}
  AND offset >= transform(partition, {numbers:Array(Int32)}, {starts:Array(Int64)}, toInt64(-1))
  AND offset < transform(partition, {numbers:Array(Int32)}, {stops:Array(Int64)}, toInt64(-1))"""
SETTINGS = {"do_not_merge_across_partitions_select_final": 1}

INCARNATION_SQL = """SELECT argMax(incarnation, (inserted_at, message_time)) FROM genai_ledger
WHERE topic = {topic:String}"""
BOOKS_SQL = f"""SELECT tenant, uniqExact(partition, offset) AS messages, sum(items_in),
  sum(items_out), sum(filtered), sum(dead), countIf(items_in != items_out + filtered + dead)
FROM genai_ledger FINAL WHERE {_WINDOW} GROUP BY tenant ORDER BY tenant"""  # noqa: S608
LETTERS_SQL = f"""SELECT tenant, stage, reason, count(), sum(items) FROM genai_dead_letters FINAL
WHERE origin_topic = {{topic:String}} AND (origin_partition, origin_offset) IN
  (SELECT partition, offset FROM genai_ledger WHERE {_WINDOW})
GROUP BY tenant, stage, reason ORDER BY tenant, stage, reason"""  # noqa: S608
UNWRITTEN_SQL = f"""SELECT partition, offset FROM genai_ledger FINAL
WHERE {_WINDOW} AND dead > 0 AND (partition, offset) NOT IN
  (SELECT origin_partition, origin_offset FROM genai_dead_letters
   WHERE origin_topic = {{topic:String}})
ORDER BY partition, offset LIMIT {_LOST_PLACES_MAX}"""  # noqa: S608
UNBOOKED_SQL = f"""SELECT partition, offset FROM
(
  SELECT number AS partition, arrayJoin(range(toUInt64(start), toUInt64(stop))) AS offset
  FROM (SELECT tupleElement(w, 1) AS number, tupleElement(w, 2) AS start, tupleElement(w, 3) AS stop
    FROM (SELECT arrayJoin(arrayZip({{numbers:Array(Int32)}}, {{starts:Array(Int64)}},
      {{stops:Array(Int64)}})) AS w))
)
WHERE (partition, toInt64(offset)) NOT IN (SELECT partition, offset FROM genai_ledger WHERE {_WINDOW})
ORDER BY partition, offset LIMIT {_LOST_PLACES_MAX}"""  # noqa: S608, E501
DIFFER_SQL = f"""SELECT count() FROM
(
  SELECT partition, offset FROM genai_ledger FINAL
  WHERE {_WINDOW.replace("stage = {stage:String}", "stage IN ('traces', 'operations')")}
  GROUP BY partition, offset HAVING uniqExact(stage) = 2 AND uniqExact(tenant, items_in) > 1
)"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Books:
    """One tenant's items of one raw topic, as one stage counted them.

    ``letters`` is the items in dead letters of any stage.
    """

    tenant: str
    topic: str
    stage: str
    messages: int
    items_in: int
    items_out: int
    filtered: int
    dead: int
    letters: int


@dataclass(frozen=True, slots=True)
class Letters:
    """One tenant's dead letters of one raw topic, by the stage that gave up and why."""

    tenant: str
    topic: str
    stage: str
    reason: str
    letters: int
    items: int


@dataclass(frozen=True, slots=True)
class Account:
    """One stage's account of one raw topic; in flight is what waits or is not stored yet."""

    topic: str
    stage: str
    acknowledged: int
    booked: int
    on_the_way: int
    waiting: int


@dataclass(slots=True)
class Ledger:
    """The answer."""

    books: list[Books] = field(default_factory=list)
    dead: list[Letters] = field(default_factory=list)
    """The letters of the messages in the books."""
    accounts: list[Account] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What does not balance; empty if everything does."""
    open_because: str = ""
    """Why nothing can be said yet, if so."""
    gateway: list[GatewayItems] = field(default_factory=list)
    """What the gateway asked counted since it started; empty if it does not answer."""

    @property
    def balanced(self) -> bool:
        """Whether every acknowledged message is accounted for."""
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {"balanced": self.balanced, **asdict(self)}


def read_ledger(client: Client, positions: Positions) -> Ledger:
    """Compare the books with the positions. Raises clickhouse-connect's errors."""
    ledger = Ledger(open_because=positions.behind)
    for acknowledged in positions.acknowledged:
        if acknowledged.messages or acknowledged.waiting:
            _Check(client, positions, acknowledged, ledger).run()
    return ledger


class _Check:
    """The books of one stage and raw topic."""

    def __init__(
        self, client: Client, positions: Positions, acknowledged: Acknowledged, ledger: Ledger
    ) -> None:
        self._client = client
        self._positions = positions
        self._acknowledged = acknowledged
        self._ledger = ledger
        self._settings = allowed(client, SETTINGS)
        numbers = sorted(acknowledged.stops)
        topic = acknowledged.topic
        (incarnation,) = client.query(INCARNATION_SQL, parameters={"topic": topic}).result_rows[0]
        self._parameters = {
            "stage": acknowledged.stage,
            "topic": topic,
            "incarnation": incarnation,
            "numbers": numbers,
            "starts": [acknowledged.starts[number] for number in numbers],
            "stops": [acknowledged.stops[number] for number in numbers],
        }

    def run(self) -> None:
        """Add to the ledger."""
        topic, stage = self._acknowledged.topic, self._acknowledged.stage
        letters: Counter[str] = Counter()
        for tenant, gave_up, reason, count, items in self._rows(LETTERS_SQL):
            letters[tenant] += items
            self._letters(Letters(tenant, topic, gave_up, reason, count, items))
        unbalanced = booked = 0
        for tenant, messages, items_in, items_out, filtered, dead, odd in self._rows(BOOKS_SQL):
            items = (items_in, items_out, filtered, dead, letters[tenant])
            self._ledger.books.append(Books(tenant, topic, stage, messages, *items))
            booked += messages
            unbalanced += odd
        on_the_way = self._on_the_way(booked)
        self._ledger.accounts.append(
            Account(
                topic, stage, self._acknowledged.messages, booked, on_the_way,
                self._acknowledged.waiting,
            )
        )  # fmt: skip
        if unbalanced:
            self._problem(f"{counted(unbalanced, 'message')} where in is not out + filtered + dead")
        self._dead_without_letter()
        if stage == "operations" and topic in {topic.name for topic in RAW_SPANS}:
            ((differ,),) = self._rows(DIFFER_SQL)
            if differ:
                self._problem(f"{counted(differ, 'message')} in which traces counted other items")

    def _letters(self, found: Letters) -> None:
        """Both stages of a topic have the same letters: the one that is further knows them all."""
        for place, known in enumerate(self._ledger.dead):
            same = replace(known, letters=found.letters, items=found.items)
            if same == found:
                self._ledger.dead[place] = max(known, found, key=lambda one: one.letters)
                return
        self._ledger.dead.append(found)

    def _on_the_way(self, booked: int) -> int:
        """Acknowledged messages whose row is not stored yet; a missing row is a problem."""
        if booked >= self._acknowledged.messages:
            return 0
        topic = self._acknowledged.topic
        unread = self._positions.unread_rows if self._acknowledged.stage == "operations" else set()
        unbooked = [(topic, *place) for place in self._rows(UNBOOKED_SQL)]
        lost = [place for place in unbooked if place not in unread]
        if lost and not self._positions.behind:
            self._problem(f"{_some(lost)} acknowledged without a row in the books")
        return len(unbooked) - len(lost)

    def _dead_without_letter(self) -> None:
        topic = self._acknowledged.topic
        found = [(topic, *place) for place in self._rows(UNWRITTEN_SQL)]
        lost = [place for place in found if place not in self._positions.unread_letters]
        if lost and not self._positions.behind:
            self._problem(f"{_some(lost)} with dead items and no dead letter")

    def _problem(self, text: str) -> None:
        self._ledger.problems.append(
            f"{self._acknowledged.stage} of {self._acknowledged.topic}: {text}"
        )

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        found = self._client.query(sql, parameters=self._parameters, settings=self._settings)
        return list(found.result_rows)


def _some(places: list[tuple[Any, ...]]) -> str:
    """How many messages, and where the first of them are."""
    shown = ", ".join(f"{partition}@{offset}" for _, partition, offset in places[:EXAMPLES])
    more = ", ..." if len(places) > EXAMPLES else ""
    least = "at least " if len(places) >= _LOST_PLACES_MAX else ""
    return f"{least}{counted(len(places), 'message')} (partition@offset {shown}{more})"
