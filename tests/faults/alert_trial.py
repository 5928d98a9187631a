"""One seeded run of faults against alerts: ``make faults NAME=alerts``.

Each seed kills, one after the other, evaluators and notifiers with SIGKILL at a named point and at
any moment, freezes one of each beyond its session so that it wakes as the owner that it no longer
is, and lets receivers fail. Right is: the transitions are those of an undisturbed evaluator, each
under one id; every receiver took each of them; what came again came under the same key.
"""

import asyncio
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

from schemas.alert_records import AlertTransition
from schemas.encoding import encode_batch
from schemas.identity import trace_partition
from schemas.records import encode_record
from schemas.topics import EVALUATIONS
from sql.client import connect
from tests.faults import catalogue
from tests.faults.alert_line import AlertLine
from tests.faults.alert_receiver import OUTAGES, Inbox, Receivers, counted
from tests.faults.alert_story import BURSTS, RUN_S, TENANT, Key, Story, key_of, write_rules
from tests.faults.alert_transitions import Expected, named, written
from tests.faults.seeds import turn
from tests.faults.trial import Result
from tests.kafka.service import Service
from tests.stack.line import produce

STORY_S = 60
FIRST_S = 12
"""From the first traffic to the story's beginning, and to the first fault."""
SETTLE_S = 150.0
FROZEN_S = (10.0, 13.0)
DOWN_S = (0.2, 11.0)
"""Less and more than the session: the same worker comes back, or the other one takes over."""
OUTAGE_S = (5.0, 9.0)
MOMENT_WAIT_S = 20.0
EVALUATOR = ("asked", "produced", "processed", "acked")
"""``asked``: a rule's question is on its way to ClickHouse; others as failpoints name them."""
NOTIFIER = ("received", "answered", "produced", "processed", "acked")
"""``received``: a receiver has read a notification; ``answered``: it said that it took it."""
_STORED = """SELECT fingerprint, status, toUnixTimestamp64Nano(starts_at), count()
FROM genai_alert_events FINAL WHERE rule NOT IN ('Watchdog', 'RuleNotEvaluated') GROUP BY ALL"""


class AlertTrial:
    """A run with a line of its own in ``folder``."""

    def __init__(self, seed: int, folder: Path) -> None:
        self._seed = seed
        self._rng = random.Random(seed)
        self._receivers = Receivers("steady", "failing", grouping="grouping")
        self._line = AlertLine(folder, folder / "rules.yaml", self._receivers.entries)
        self._done: list[str] = []
        self._broken: list[str] = []

    def run(self) -> Result:
        """The faults, then what was told by whom."""
        started = time.monotonic()
        try:
            story = self._started()
            with self._line.supervised():
                self._faults_under_traffic(story)
                ended = time.monotonic()
                expected = story.expected(self._line.rules_file)
                settled = self._settled(expected)
            facts, problems = self._compared(expected)
            if not settled:
                problems.append(f"not settled {SETTLE_S:.0f} s after the last fault")
            facts["recovered_s"] = round(time.monotonic() - ended, 1)
        finally:
            self._line.stop()
            self._receivers.close()
        facts["seconds"] = round(time.monotonic() - started, 1)
        facts["problems"] = len(problems)
        return Result(facts, problems)

    def _started(self) -> Story:
        """The line, evaluating a story that is about to begin."""
        write_rules(self._line.rules_file, self._seed)
        self._line.start()
        begin_s = int(time.time()) // RUN_S * RUN_S + FIRST_S
        story = Story(self._seed, begin_s, begin_s + STORY_S)
        client = connect(self._line.config.clickhouse)
        story.tell(client)
        client.close()
        return story

    # --- faults ------------------------------------------------------------------------------

    def _faults_under_traffic(self, story: Story) -> None:
        acts = [
            threading.Thread(target=self._safely, args=(act,))
            for act in (self._evaluators_fall, self._notifiers_fall, self._receivers_fail)
        ]
        for act in acts:
            act.start()
        pause_s = (story.end_s - time.time()) / BURSTS
        for burst in story.verdicts():
            partition = trace_partition(
                TENANT, burst[0].trace_id, self._line.config.kafka.partitions
            )
            value = encode_batch([encode_record(row) for row in burst])
            # Twice, as evaluate does that was killed before its acknowledgement.
            sent = produce(self._line.config, EVALUATIONS.name, value, value, partition=partition)
            asyncio.run(sent)
            time.sleep(pause_s)
        for act in acts:
            act.join()

    def _safely(self, act: Callable[[], None]) -> None:
        """A fault that could not be done or mended is a problem of the run, not silence."""
        try:
            act()
        except Exception as error:  # a thread's end would tell nobody
            self._broken.append(f"{act.__name__}: {error!r}")

    def _evaluators_fall(self) -> None:
        self._fall("watch", turn(EVALUATOR, self._seed, "evaluator"))

    def _notifiers_fall(self) -> None:
        self._fall("notify", turn(NOTIFIER, self._seed, "notifier"))

    def _fall(self, stage: str, point: str) -> None:
        """At a point, at any moment, and frozen: each time one of the stage's two workers."""
        rng = random.Random(f"{self._seed} {stage}")
        workers = self._line.of(stage)
        time.sleep(FIRST_S + rng.uniform(0, 3))
        victim = rng.choice(workers)
        reached = self._killed_at(victim, workers, point, rng)
        self._did(f"{victim.name} killed {'at' if reached else 'before it came to'} {point}")
        time.sleep(rng.uniform(0, 4))
        victim = rng.choice(workers)
        catalogue.killed(victim, rng.uniform(*DOWN_S))
        self._did(f"{victim.name} killed")
        time.sleep(rng.uniform(0, 4))
        victim = rng.choice(workers)
        catalogue.frozen(victim, rng.uniform(*FROZEN_S))
        self._did(f"{victim.name} frozen")

    def _did(self, what: str) -> None:
        self._done.append(what)

    def _killed_at(
        self, victim: Service, workers: list[Service], point: str, rng: random.Random
    ) -> bool:
        """Whether it came there; it runs again afterwards."""
        down_s = rng.uniform(*DOWN_S)
        if point == "asked":
            return self._killed_when(self._at_question, [victim], down_s)
        if point in ("received", "answered"):
            # Either of the two may be who sends; the moment is one of both.
            return self._killed_when(lambda act: self._at_delivery(point, act), workers, down_s)
        victim.held = True
        victim.kill()
        reached = catalogue.killed_at_point(victim, point, rng.randint(1, 4))
        return reached

    def _killed_when(
        self, arm: Callable[[Callable[[], None]], None], victims: list[Service], down_s: float
    ) -> bool:
        """Kill when the moment comes."""
        came = threading.Event()
        for victim in victims:
            victim.held = True

        def act() -> None:
            if not came.is_set():
                for victim in victims:
                    victim.signal(9)
                came.set()

        arm(act)
        reached = came.wait(MOMENT_WAIT_S)
        arm(lambda: None)
        for victim in victims:
            catalogue.killed(victim, down_s if victim is victims[0] else 0.0)
        return reached

    def _at_question(self, act: Callable[[], None]) -> None:
        self._line.questions.seen = lambda piece: act() if b"CRC32" in piece else None

    def _at_delivery(self, point: str, act: Callable[[], None]) -> None:
        for inbox in self._receivers.inboxes.values():
            if point == "received":
                inbox.arriving = act
            else:
                inbox.answered = act

    def _receivers_fail(self) -> None:
        """One of them twice, the other once, each time in another way."""
        rng = random.Random(f"{self._seed} receivers")
        ways = list(OUTAGES)
        rng.shuffle(ways)
        time.sleep(FIRST_S)
        for way, name in zip(ways, ("failing", "failing", "steady"), strict=True):
            time.sleep(rng.uniform(2, 8))
            self._receivers.inboxes[name].outage = way
            time.sleep(rng.uniform(*OUTAGE_S))
            self._receivers.inboxes[name].outage = ""
            self._did(f"receiver {name} {way}")

    # --- afterwards --------------------------------------------------------------------------

    def _stored(self) -> dict[Key, int]:
        client = connect(self._line.config.clickhouse)
        rows = client.query(_STORED).result_rows
        client.close()
        return {_key(mark, status, int(start_ns)): int(n) for mark, status, start_ns, n in rows}

    def _settled(self, expected: Expected) -> bool:
        """Whether everything that is due was told, taken and stored in time."""
        deadline = time.monotonic() + SETTLE_S
        due = expected.keys()
        while time.monotonic() < deadline:
            taken = [due <= inbox.taken.keys() for inbox in self._receivers.inboxes.values()]
            if all(taken) and due <= self._stored().keys():
                return True
            time.sleep(1)
        return False

    def _compared(self, expected: Expected) -> tuple[dict[str, object], list[str]]:
        found, stored = written(self._line.config), self._stored()
        due = expected.keys()
        inboxes = self._receivers.inboxes.values()
        problems = [f"the test itself: {one}" for one in self._broken]
        problems += found.problems(expected)
        problems += [f"not stored {named(expected[key])}" for key in due - stored.keys()]
        problems += [f"stored twice {key}" for key, n in stored.items() if n > 1]
        for inbox in inboxes:
            problems += self._delivered(inbox, expected)
        sums = counted(self._receivers.inboxes)
        facts: dict[str, object] = {
            "seed": self._seed,
            "faults": self._done,
            "transitions": len(due),
            "lost": len(due - found.ids.keys()),
            "two_ids": len(found.two_ids),
            "written_again": found.again,
            "deliveries": sums["taken"],
            "undelivered": sum(len(due - inbox.taken.keys()) for inbox in inboxes),
            "delivered_again": sums["repeats"],
            "under_another_key": sum(len(inbox.other_keys) for inbox in inboxes),
            "refused": sums["refused"],
            "restarts": self._line.restarts,
        }
        return facts, problems

    def _delivered(self, inbox: Inbox, expected: Expected) -> list[str]:
        name = inbox.name
        return [
            *(f"{name} never got {named(expected[key])}" for key in expected.keys() - inbox.taken),
            *(f"{name} got without reason {key}" for key in inbox.taken.keys() - expected),
            *(f"{name} got {key} under another key" for key in inbox.other_keys),
            *(f"{name} heard of an end first {key}" for key in inbox.ends_first),
        ]


def _key(mark: str, status: str, start_ns: int) -> Key:
    shown = AlertTransition(
        tenant=TENANT, transition_id="", fingerprint=mark, rule="", rule_version="",
        status=status, labels={}, starts_at_ns=start_ns,
    )  # fmt: skip
    return key_of(shown)
