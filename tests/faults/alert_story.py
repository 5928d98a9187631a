"""What happens in the watched world of a seed, and the transitions that it calls for.

Timed rules ask ClickHouse a question whose answer is a function of the time that it is asked for,
so that what an undisturbed evaluator would have told is known exactly. Single verdicts come in
bursts, each at one moment of the past and of a service of its own: in whatever order they are read,
each burst is one alert (a verdict older than its labels' newest alert would join that one).
"""

import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clickhouse_connect.driver.client import Client

from processors.notify.encoding import rfc3339
from processors.watch.replay import of_verdicts
from processors.watch.timed_alerts import Found, TimedAlerts
from schemas.alert_records import AlertTransition
from schemas.evaluators import Label
from schemas.records import Evaluation
from schemas.rules import SignalRule, TimedRule, load_rules
from tests.sql.records import evaluation

NS_PER_S = 1_000_000_000
TENANT = "default"
TIMED_RULES = 6
SERVICES = 3
STEP_S = 2
"""Between evaluations."""
RUN_S = 6
"""A condition holds or does not for spells of this length."""
RECOVERY_S = 5
BURSTS = 12
BURST_APART_S = 60
CALLS = 3
Key = tuple[str, str, str]

_TIMED = """
      - alert: Timed{number}
        expr: >-
          SELECT concat('service-', toString(number)) AS service_name, 1 AS value
          FROM numbers({services})
          WHERE (SELECT count() FROM story WHERE toUnixTimestamp({{at:DateTime}}) >= begin
              AND toUnixTimestamp({{at:DateTime}}) < end) > 0
            AND CRC32(concat('{salt}/', toString(intDiv(toUnixTimestamp({{at:DateTime}}), {run})), '/',
              toString(number))) % 3 = 0
        interval: {step}s
        eval_delay: 0s
        for: {for_s}s
        keep_firing_for: {keep_s}s"""  # noqa: E501 - as it stands in a file
_FAST = f"""
      - alert: Fast
        evaluation: {{evaluator: injection, label: page}}
        group_interval_s: 1
        recovery_s: {RECOVERY_S}"""


@dataclass(frozen=True, slots=True)
class Story:
    """One seed's world between two moments, s since 1970."""

    seed: int
    begin_s: int
    end_s: int

    def tell(self, client: Client) -> None:
        """Let the rules' questions know of it: until then none of them has an answer."""
        client.command(
            "CREATE TABLE told (begin UInt32, end UInt32) ENGINE = MergeTree ORDER BY begin"
        )
        client.insert("told", [(self.begin_s, self.end_s)], column_names=["begin", "end"])
        client.command("RENAME TABLE told TO story")

    def verdicts(self) -> list[list[Evaluation]]:
        """Bursts in the order in which they are sent."""
        return [list(self._burst(number)) for number in range(BURSTS)]

    def expected(self, rules_file: Path) -> dict[Key, AlertTransition]:
        """What is told once, by fingerprint, status and start."""
        told: list[AlertTransition] = []
        for rule in load_rules(rules_file):
            if isinstance(rule, TimedRule):
                told += self._of_times(rule)
            elif isinstance(rule, SignalRule):
                rows = sorted(
                    (row for burst in self.verdicts() for row in burst),
                    key=lambda row: row.span_end_ns,
                )
                told += [one.transition for one in of_verdicts(rule, rows, self.end_s)]
        return {key_of(transition): transition for transition in told}

    def _of_times(self, rule: TimedRule) -> Iterator[AlertTransition]:
        alerts = TimedAlerts(rule)
        salt = _salt(self.seed, int(rule.alert.removeprefix("Timed")))
        for at_s in range(self.begin_s - STEP_S, self.end_s + 20, STEP_S):
            found = [
                Found(TENANT, {"service_name": f"service-{number}"}, 1.0)
                for number in range(SERVICES)
                if self.begin_s <= at_s < self.end_s
                and zlib.crc32(f"{salt}/{at_s // RUN_S}/{number}".encode()) % 3 == 0
            ]
            yield from alerts.evaluate(at_s * NS_PER_S, found)

    def _burst(self, number: int) -> Iterator[Evaluation]:
        begin_s = self.begin_s - BURSTS * BURST_APART_S - 60
        end_ns = (begin_s + number * BURST_APART_S) * NS_PER_S
        for call in range(CALLS):
            trace = (self.seed * BURSTS + number) * CALLS + call + 1
            yield evaluation(
                trace, 1, tenant=TENANT, span_end_ns=end_ns, score=0.99, label=Label.PAGE,
                service_name=f"service-{number}", input_hash=f"hash{trace}",
            )  # fmt: skip


def write_rules(path: Path, seed: int) -> None:
    """The rules file that asks about a seed's story."""
    rng = random.Random(seed)
    rules = [
        _TIMED.format(
            number=number, services=SERVICES, run=RUN_S, step=STEP_S, salt=_salt(seed, number),
            for_s=rng.choice((0, 4, 8)), keep_s=rng.choice((0, 2, 6)),
        )
        for number in range(TIMED_RULES)
    ]  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"groups:\n  - name: story\n    rules:{''.join(rules)}{_FAST}\n")


def key_of(transition: AlertTransition) -> Key:
    """What a transition is known by, as receivers are told it."""
    return transition.fingerprint, transition.status, rfc3339(transition.starts_at_ns)


def _salt(seed: int, number: int) -> str:
    return f"{seed}-{number}"
